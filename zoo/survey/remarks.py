"""What to know about a set before a model is trained on it, and what to do about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from zoo.data.picture_set import GREY
from zoo.survey.report import Group, Survey
from zoo.survey.sizes import Sizes

FEW = 500
"""Fewer pictures than this are learnt by heart."""

SMALL = 5_000
"""Fewer than this are learnt by heart in part, when a model is trained for long."""

FEW_OF_CLASS = 50

_NAMED = 5
_SHARE = 0.1


def remarks(found: Survey, *, can_mirror: bool) -> list[str]:
    """All that there is to say.

    Args:
        found: what the remarks are about.
        can_mirror: whether mirror images could be added.
    """
    said = [
        *_on_files(found.unreadable, found.blank),
        *_on_duplicates(found.copies, found.near, found.two_classes),
        *_on_number(found.distinct, can_mirror=can_mirror),
        *_on_classes(found.classes, found.folders),
        *_on_no_classes(found.no_classes),
    ]
    if found.loses_colours:
        said.append(GREY)
    if found.sizes is not None:
        said += _on_sizes(found.sizes, found.pictures, found.shape, buckets=bool(found.buckets))
    return said


def _on_number(distinct: int, *, can_mirror: bool) -> list[str]:
    """Whether there are enough."""
    if distinct >= SMALL:
        return []
    more = "; data.horizontal_flip=true doubles the set, where left and right may be exchanged" if can_mirror else ""
    if distinct < FEW:
        return [
            f"{_are(distinct, 'different picture')} too few to train from scratch: the model will learn them by heart "
            f"and give them back. Collect more, or begin with a trained model: training.init=MODEL{more}"
        ]
    return [
        f"{_are(distinct, 'different picture')} a small set, which a model learns by heart when trained for long: see "
        f"what 'zoo evaluate' finds nearest to its samples, and stop early{more}"
    ]


def _on_classes(classes: Mapping[str, int], folders: Sequence[str]) -> list[str]:
    """Whether each class has enough, or there could be classes."""
    few = sorted((count, name) for name, count in classes.items() if count < FEW_OF_CLASS)
    if few:
        told = _listed([f"{name} {count}" for count, name in few])
        return [f"{len(few)} of {len(classes)} classes have fewer than {FEW_OF_CLASS} pictures: {told}"]
    if len(folders) > 1:
        return [
            f"all pictures lie in {len(folders)} folders, which could be classes ({_listed(folders)}): "
            "data.class_folders=true"
        ]
    return []


def _on_no_classes(folders: Sequence[str]) -> list[str]:
    """Folders that were perhaps meant to be classes: without them the classes behind have other numbers."""
    if not folders:
        return []
    several = f"{len(folders):,} folders hold no pictures and are no classes"
    are = several if len(folders) > 1 else "1 folder holds no pictures and is no class"
    return [f"{are}: {_listed(folders)}"]


def _on_files(unreadable: Mapping[str, str], blank: Sequence[str]) -> list[str]:
    """What is wrong with files."""
    found = []
    if unreadable:
        told = _listed([f"{name} ({why})" for name, why in unreadable.items()])
        found.append(f"{_are(len(unreadable), 'unreadable file')} left out: {told}")
    if blank:
        found.append(f"{_are(len(blank), 'picture')} of one colour: {_listed(blank)}")
    return found


def _on_sizes(sizes: Sizes, pictures: int, shape: Sequence[int], *, buckets: bool) -> list[str]:
    """What pictures lose and gain."""
    found = []
    height, width = shape[1:]
    if sizes.enlarged > _SHARE * pictures:
        fits = 0 < sizes.fitting < min(height, width)
        other = f", or take a smaller model, of side {sizes.fitting}" if fits else ""
        found.append(
            f"{sizes.enlarged:,} of {pictures:,} pictures are smaller than {height} x {width} and are enlarged; the "
            f"model learns their blur: leave them out{other}"
        )
    if sizes.cut_much > _SHARE * pictures and not buckets:
        found.append(
            f"of {sizes.cut_much:,} pictures more than a quarter is cut away: data.buckets=true trains on several "
            "shapes and keeps more of them"
        )
    return found


def _on_duplicates(copies: Sequence[Group], near: Sequence[Group], two_classes: Sequence[Group]) -> list[str]:
    """What is there more than once."""
    found = []
    if copies:
        more = sum(len(group.distances) for group in copies)
        found.append(
            f"{_are(more, 'picture')} equal to others at this size, and what is there several times is learnt by heart "
            f"first: {_listed([' = '.join(group.names[:2]) for group in copies])}"
        )
    if near:
        more = sum(len(group.distances) for group in near)
        found.append(
            f"{_are(more, 'picture')} nearly the same as others: {_listed([' ~ '.join(g.names[:2]) for g in near])}"
        )
    if two_classes:
        told = _listed([" = ".join(group.names[:2]) for group in two_classes])
        found.append(f"{_are(len(two_classes), 'picture')} in two classes at once: {told}")
    return found


def _listed(items: Sequence[str]) -> str:
    more = f", and {len(items) - _NAMED:,} more" if len(items) > _NAMED else ""
    return ", ".join(items[:_NAMED]) + more


def _are(count: int, what: str) -> str:
    return f"1 {what} is" if count == 1 else f"{count:,} {what}s are"
