"""What was found about a set of pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from zoo.survey.sheets import Sheet
from zoo.survey.sizes import Sizes

FORMAT = 1

_LISTED = 40


@dataclass(frozen=True)
class Group:
    """Pictures that are alike.

    Args:
        names: of the one that stands for all, then of the others.
        distances: how far each of the others is from the first, in units of their contrast; 0 for copies.
    """

    names: Sequence[str]
    distances: Sequence[float]


@dataclass(frozen=True, kw_only=True)
class Survey:
    """What a model will see before it is trained.

    Attributes:
        data: what the set says about itself.
        shape: of the model.
        pictures: how many can be read, mirror images left out.
        examples: how many an epoch has.
        unreadable: name -> why it is left out.
        classes: name -> how many pictures; empty for none.
        folders: folders right below that could be classes and are not; empty where pictures lie beside them.
        no_classes: folders right below that are no classes only for want of pictures.
        sizes: of the files; None for data that is no folder of them.
        buckets: "HxW" -> how many pictures are cut to it; empty without buckets.
        blank: pictures of one colour.
        copies: pictures that are equal at the model's size, a group each.
        near: pictures that are nearly the same, those of one colour left out; of copies only the first is looked at.
        two_classes: groups of copies of which not all are of one class.
        distinct: pictures that are neither copies of nor near to one before them.
        sheet: pictures as the model sees them.
        duplicates: those that are alike, a group a row; None when there are none.
        loses_colours: whether the model is grey and pictures have colours.
        remarks: what to know and to do before training.
    """

    data: str
    shape: tuple[int, ...]
    pictures: int
    examples: int
    unreadable: Mapping[str, str]
    classes: Mapping[str, int]
    folders: Sequence[str]
    no_classes: Sequence[str]
    sizes: Sizes | None
    buckets: Mapping[str, int]
    blank: Sequence[str]
    copies: Sequence[Group]
    near: Sequence[Group]
    two_classes: Sequence[Group]
    distinct: int
    sheet: Sheet
    duplicates: Sheet | None
    loses_colours: bool = False
    remarks: Sequence[str] = ()

    def to_dict(self) -> dict[str, Any]:
        """All of it but the sheets, as plain data."""
        kept = {name: getattr(self, name) for name in self.__dataclass_fields__ if name not in ("sheet", "duplicates")}
        for name in ("copies", "near", "two_classes"):
            kept[name] = [{"names": list(g.names), "distances": list(g.distances)} for g in kept[name]]
        sizes = None if self.sizes is None else {key: _plain(value) for key, value in asdict(self.sizes).items()}
        return {"format": FORMAT, **{key: _plain(value) for key, value in kept.items()}, "sizes": sizes}

    def rows(self) -> list[tuple[str, str]]:
        """What is asked of a set, and the answer."""
        rows = [
            ("data", self.data),
            ("pictures", f"{self.pictures:,}, {self.distinct:,} of them different"),
            ("unreadable", f"{len(self.unreadable):,}" if self.unreadable else "none"),
            ("copies", _alike(self.copies)),
            ("nearly the same", _alike(self.near)),
            ("of one colour", f"{len(self.blank):,}" if self.blank else "none"),
        ]
        if self.sizes is not None:
            least, median, greatest = self.sizes.aspects
            rows += [
                ("sizes", f"{_sides(self.sizes.smallest)} to {_sides(self.sizes.largest)}"),
                ("enlarged", f"{self.sizes.enlarged:,}" if self.sizes.enlarged else "none"),
                ("width / height", f"{least:.2f} to {greatest:.2f}, median {median:.2f}"),
                (
                    "cut away",
                    f"{self.sizes.cut:.0%} on average, more than a quarter of {self.sizes.cut_much:,} pictures",
                ),
            ]
        return rows + _counts("bucket", self.buckets) + _counts("class", self.classes)


def _counts(kind: str, counts: Mapping[str, int]) -> list[tuple[str, str]]:
    """A row each, or one for all where they are many."""
    if len(counts) <= _LISTED:
        return [(f"{kind} {name}", f"{count:,}") for name, count in counts.items()]
    by_count = sorted((count, name) for name, count in counts.items())
    (least, rare), (most, common) = by_count[0], by_count[-1]
    return [(f"{len(counts):,} of {kind}", f"{least:,} pictures ({rare}) to {most:,} ({common})")]


def _alike(groups: Sequence[Group]) -> str:
    return f"{sum(len(group.distances) for group in groups):,} of {len(groups):,} others" if groups else "none"


def _sides(sides: tuple[int, int]) -> str:
    return f"{sides[0]} x {sides[1]}"


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(part) for key, part in value.items()}
    return [_plain(part) for part in value] if isinstance(value, list | tuple) else value
