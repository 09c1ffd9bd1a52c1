"""Whether a network, its data and the settings of a run go together: what is refused, and what is remarked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from zoo.core.bound import UNGUIDED
from zoo.data.base import Dataset
from zoo.data.images import Images
from zoo.training import augment
from zoo.training.resume import ResumeError
from zoo.training.settings import Settings
from zoo.training.update import TrainingError


def check(tree: Mapping[str, Any], settings: Settings, data: Dataset) -> None:
    """Refuse what could not be trained, before anything is built or written.

    Args:
        tree: the resolved config.
        settings: its section `training`.
        data: its data.

    Raises:
        TrainingError: channels that are not the network's, changed pictures for a network that cannot be told of them,
            or conditions to be hidden that the data does not bring.
    """
    shape, channels = tree.get("shape"), tree["denoiser"].get("in_channels")
    if shape is not None and channels is not None and shape[0] is not None and shape[0] != channels:
        raise TrainingError(
            f"the shape has {shape[0]} channels and the network takes {channels}: set denoiser.in_channels={shape[0]}, "
            f"or shape={[channels, *shape[1:]]}"
        )
    if settings.augment:
        _can_be_told(tree["denoiser"].get("augment_channels"))
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
    if isinstance(data, Images) and data.loses_colours():
        told.append(
            "the model is grey and pictures have colours, which it will not see: set shape=[3, height, width] and "
            "denoiser.in_channels=3"
        )
    return tuple(told)


def identity(data: Dataset) -> dict[str, Any]:
    """What a run keeps of its data, to see when it goes on with other data: plain values."""
    return {
        "examples": len(data),
        "groups": [len(group) for group in data.groups() or ()],
        "class_names": list(data.class_names),
    }


def data_has_changed(before: Mapping[str, Any], data: Dataset, *, takes_labels: bool) -> tuple[str, ...]:
    """Remarks on data of which a run learned other examples so far.

    Args:
        before: its :func:`identity` then.
        data: now.
        takes_labels: whether the network is told classes.

    Raises:
        ResumeError: classes that the network has learned are others now.
    """
    now = identity(data)
    if takes_labels and before["class_names"] != now["class_names"]:
        pairs = zip(before["class_names"], now["class_names"], strict=False)
        number = next((n for n, (then, since) in enumerate(pairs) if then != since), None)
        which = (
            _listed(before["class_names"], now["class_names"])
            if number is None
            else (f"class {number} was {before['class_names'][number]!r} and is {now['class_names'][number]!r}")
        )
        raise ResumeError(
            f"the classes of the data are others than this run learned: {which}; train into another folder"
        )
    anew = "; its order begins anew" if len(before["groups"]) != len(now["groups"]) else ""
    if before["examples"] != now["examples"]:
        return (f"the data has {now['examples']:,} examples now, where this run had {before['examples']:,}{anew}",)
    if before["groups"] != now["groups"]:
        return (f"the pictures of the data have other shapes now than this run had{anew}",)
    return ()


def _listed(before: Sequence[str], now: Sequence[str]) -> str:
    more, fewer = (now, before) if len(now) > len(before) else (before, now)
    names = ", ".join(more[len(fewer) :])
    return f"{names} {'came' if more is now else 'went'}"


def _can_be_told(channels: int | None) -> None:
    """Refuse to change pictures for a network that would learn to draw them so."""
    if channels != augment.CHANNELS:
        raise TrainingError(
            f"training.augment: the network must be told how a picture was changed, and this one takes "
            f"{'no' if channels is None else channels} numbers of that: set training.augment=0, or "
            f"denoiser.augment_channels={augment.CHANNELS} of edm-song or edm-dhariwal; mirrored pictures alone are "
            "data.horizontal_flip=true"
        )
