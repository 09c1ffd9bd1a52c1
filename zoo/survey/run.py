"""A survey from beginning to end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from registry.names import natural
from zoo.data.base import Dataset
from zoo.data.images import Images
from zoo.data.picture_set import PictureSet
from zoo.progress import Events, result
from zoo.survey.duplicates import NEAR, Alike, equal, similar
from zoo.survey.looks import Looks, look, thumbs
from zoo.survey.remarks import remarks
from zoo.survey.report import Group, Survey
from zoo.survey.sheets import contact_sheet, duplicates_sheet
from zoo.survey.sizes import measure


def survey(data: Dataset, *, number: int = 96, near: float = NEAR, seed: int = 0) -> Survey:
    """Look at a set before a model is trained on it.

    Args:
        data: a dataset of pictures, or of latents.
        number: pictures on the sheet, at most.
        near: how far apart two pictures are at the most, in units of their contrast, to be taken for the same.
        seed: of their choice, which nothing else depends on.

    Raises:
        DataError: the examples are no pictures, or cannot be read.
    """
    return result(events(data, number=number, near=near, seed=seed))


def events(data: Dataset, *, number: int = 96, near: float = NEAR, seed: int = 0) -> Events[Survey]:
    """The same, telling how far it is."""
    looks = yield from look(data)
    seen = looks.seen
    copies = equal([(one.sides, one.digest) for one in seen])
    repeated = {place for group in copies for place in group.places[1:]}
    # pictures of one colour are near to each other, and nothing follows from it
    single = [place for place, one in enumerate(seen) if place not in repeated and not one.blank]
    alike = yield from similar(thumbs([seen[place] for place in single]), limit=near)
    nearly = [Alike([single[place] for place in group.places], group.distances) for group in alike]
    torn = [group for group in copies if len({seen[place].label for place in group.places}) > 1]

    files = data if isinstance(data, Images) else None
    pictures = data if isinstance(data, PictureSet) else None
    names = _class_names(data)
    per_class = Counter(one.label for one in seen)
    per_shape = Counter(one.sides for one in seen)
    shapes = files.shapes if files is not None and files.buckets else []
    found = Survey(
        data=data.describe(),
        shape=tuple(data[seen[0].index]["x_0"].shape) if pictures is None else pictures.shape,
        pictures=len(seen),
        examples=len(data),
        unreadable=looks.unreadable,
        classes={name: per_class[label] for label, name in enumerate(names)},
        folders=[] if files is None or names else _folders(looks),
        no_classes=[] if files is None else files.no_classes,
        sizes=None if files is None else measure([files.sizes[one.index] for one in seen], [one.sides for one in seen]),
        buckets={f"{height}x{width}": per_shape[height, width] for height, width in shapes},
        blank=[looks.names[one.index] for one in seen if one.blank],
        copies=_named(looks, copies),
        near=_named(looks, nearly),
        two_classes=_named(looks, torn),
        distinct=len(seen) - len(repeated) - sum(len(group.distances) for group in nearly),
        sheet=contact_sheet(data, seen, names, number, seed),
        duplicates=duplicates_sheet(data, seen, copies, nearly) if copies or nearly else None,
        loses_colours=pictures is not None and pictures.loses_colours(),
    )
    return replace(found, remarks=remarks(found, can_mirror=pictures is not None and not pictures.horizontal_flip))


def _named(looks: Looks, groups: Sequence[Alike]) -> list[Group]:
    return [
        Group([looks.names[looks.seen[place].index] for place in group.places], group.distances) for group in groups
    ]


def _class_names(data: Dataset) -> Sequence[str]:
    return data.class_names or [str(label) for label in range(data.classes or 0)]


def _folders(looks: Looks) -> list[str]:
    """The folders that all pictures lie in; empty where some lie beside them."""
    parts = [Path(looks.names[one.index]).parts for one in looks.seen]
    return [] if any(len(some) == 1 for some in parts) else sorted({some[0] for some in parts}, key=natural)
