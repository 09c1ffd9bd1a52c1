"""Whether a network, its data and the settings of a run go together: what is refused, and what is remarked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from zoo.core.bound import UNGUIDED
from zoo.data.base import Dataset
from zoo.data.picture_set import GREY, PictureSet
from zoo.training import augment
from zoo.training.resume import ResumeError
from zoo.training.settings import Settings
from zoo.training.update import TrainingError

_AS_BEFORE = ("memory_mb",)
"""Arguments of data that change no example."""


def check(tree: Mapping[str, Any], settings: Settings) -> None:
    """Refuse what no data could be learned with, before anything is built.

    Args:
        tree: the resolved config.
        settings: its section `training`.

    Raises:
        TrainingError: channels that are not the network's, or changed pictures for a network that cannot be told.
    """
    shape, channels = tree.get("shape"), tree["denoiser"].get("in_channels")
    if shape is not None and channels is not None and shape[0] is not None and shape[0] != channels:
        sides = ",".join("null" if side is None else str(side) for side in (channels, *shape[1:]))
        raise TrainingError(
            f"the shape has {shape[0]} channels and the network takes {channels}: set denoiser.in_channels={shape[0]}, "
            f"or shape=[{sides}]"
        )
    if settings.augment:
        _can_be_told(tree["denoiser"].get("augment_channels"))


def check_data(settings: Settings, data: Dataset) -> None:
    """Refuse to hide conditions that the data does not bring.

    Args:
        settings: of the run.
        data: its data.

    Raises:
        TrainingError: there are none.
    """
    if not (settings.low_res_dropout or settings.condition_dropout):
        return
    brought = set(data[0]) - {"x_0", "labels"}
    if settings.low_res_dropout and "low_res" not in brought:
        raise TrainingError(
            "training.low_res_dropout: this data brings no small pictures to be enlarged, which data.low_res_factor "
            "makes; leave it out"
        )
    if settings.condition_dropout and not brought - set(UNGUIDED):
        raise TrainingError(
            "training.condition_dropout: this data brings no conditions that guidance could leave out but labels, "
            "which training.label_dropout hides; leave it out"
        )


def takes_labels(tree: Mapping[str, Any], data: Dataset) -> bool:
    """Whether the network is told the classes of the data.

    Raises:
        TrainingError: there are none, or too many.
    """
    classes = tree["denoiser"].get("classes")
    if classes is None:
        return False
    if data.classes is None:
        raise TrainingError(
            f"the network has {classes} classes and the data has no labels: set denoiser.classes=null, "
            "or data.class_folders=true where folders are classes"
        )
    if data.classes > classes:
        raise TrainingError(
            f"the data has {data.classes} classes and the network {classes}: set denoiser.classes={data.classes}"
        )
    return True


def remarks(tree: Mapping[str, Any], data: Dataset) -> tuple[str, ...]:
    """What does not stop a run and may not be meant, a line each."""
    denoiser, shape, told = tree["denoiser"], tree.get("shape"), []
    classes = denoiser.get("classes")
    if classes is None and data.classes:
        how = f": set denoiser.classes={data.classes}" if "classes" in denoiser else ""
        told.append(f"the data has {data.classes} classes, and the network is not told of them{how}")
    if classes and data.classes and classes > data.classes:
        untrained = f"{data.classes} to {classes - 1}" if classes - data.classes > 1 else f"{data.classes}"
        told.append(f"the data has {data.classes} classes and the network {classes}: it will not learn {untrained}")
    side = denoiser.get("resolution")
    if isinstance(side, int) and shape is not None and None not in shape and max(shape[1:]) != side:
        told.append(
            f"the network is built for {side} pixels and learns pictures of {shape[1]} x {shape[2]}: set shape and "
            "denoiser.resolution alike, unless that is meant"
        )
    if isinstance(data, PictureSet) and data.loses_colours():
        told.append(GREY)
    return tuple(told)


def identity(data: Dataset) -> dict[str, Any]:
    """What a run keeps of its data, to see when it goes on with other data: plain values."""
    return {
        "examples": len(data),
        "groups": [len(group) for group in data.groups() or ()],
        "classes": data.classes,
        "class_names": list(data.class_names),
    }


def other_data(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """What a spec of data said before and does not say now, as ``data.key=value``; empty for nothing."""
    return ", ".join(
        f"data.{key}={value}"
        for key, value in before.items()
        if key not in _AS_BEFORE and _meant(key, value) != _meant(key, now.get(key))
    )


def data_has_changed(before: Mapping[str, Any], data: Dataset, *, takes_labels: bool) -> tuple[str, ...]:
    """Remarks on data of which a run learned other examples so far.

    Args:
        before: its :func:`identity` then; empty for runs that began before it was kept.
        data: now.
        takes_labels: whether the network is told classes.

    Raises:
        ResumeError: a class that the network has learned is another now, or went.
    """
    if not before:
        return ()
    now, told = identity(data), []
    if takes_labels and before["class_names"] and now["class_names"]:
        told += _on_class_names(before["class_names"], now["class_names"])
    elif takes_labels and before["classes"] != now["classes"]:
        told.append(f"the data has {now['classes']} classes now, where this run had {before['classes']}")
    anew = "; its order begins anew" if len(before["groups"]) != len(now["groups"]) else ""
    if before["examples"] != now["examples"]:
        told.append(f"the data has {now['examples']:,} examples now, where this run had {before['examples']:,}{anew}")
    elif before["groups"] != now["groups"]:
        told.append(f"the pictures of the data have other shapes now than this run had{anew}")
    return tuple(told)


def _on_class_names(before: Sequence[str], now: Sequence[str]) -> list[str]:
    """A line on classes that came behind those that were learned."""
    for number, name in enumerate(before):
        if number >= len(now) or now[number] != name:
            since = f"is {now[number]!r}" if number < len(now) else "is no more"
            raise ResumeError(
                f"the classes of the data are others than this run learned: class {number} was {name!r} and {since}; "
                "train into another folder"
            )
    came = ", ".join(now[len(before) :])
    return [f"the data has classes that this run did not have: {came}"] if came else []


def _meant(key: str, value: Any) -> Any:
    """A value of a spec, whichever way a path is written."""
    return Path(value).expanduser().resolve() if key == "path" and isinstance(value, str) else value


def _can_be_told(channels: int | None) -> None:
    """Refuse to change pictures for a network that would learn to draw them so."""
    if channels != augment.CHANNELS:
        raise TrainingError(
            f"training.augment: the network must be told how a picture was changed, and this one takes "
            f"{'no' if channels is None else channels} numbers of that: set training.augment=0, or "
            f"denoiser.augment_channels={augment.CHANNELS} of edm-song or edm-dhariwal; mirrored pictures alone are "
            "data.horizontal_flip=true"
        )
