"""Pictures in tar files, as webdataset keeps them."""

from __future__ import annotations

import glob
import json
import re
import tarfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from registry.names import natural
from zoo.data.base import DataError
from zoo.data.encoded import Encoded
from zoo.data.members import Member
from zoo.data.pictures import SUFFIXES, UnreadableError, image_shape, upright_size

_RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")
_BLOCK, _MEGABYTE = 512, 1 << 20
_PACKED = (".gz", ".tgz", ".bz2", ".xz", ".zst")


@dataclass
class _Shard:
    """What one tar holds, by key and ending.

    Args:
        samples: key -> ending -> member.
        trouble: why not all of it could be read; empty for none.
    """

    samples: dict[str, dict[str, Member]] = field(default_factory=dict)
    trouble: str = ""

    def drop_torn(self, ending: str) -> dict[str, str]:
        """Drop the last example of a damaged tar when it has no member of that ending: its name -> why, if so."""
        last = next(reversed(self.samples), None)
        if not self.trouble or last is None or ending in self.samples[last]:
            return {}
        torn = self.samples.pop(last)
        return {_name(torn): f"its .{ending} is lost to the damage of the tar"}


class Shards(Encoded):
    """Tar files of pictures: members of one name up to its first dot are one example, their endings tell what they are.

    Only the heads of members are read at the start, and a picture when it is asked for; nothing is unpacked. Examples
    without a picture, and pictures that are none, are left out and counted. Of a damaged tar what lies before the
    damage is used, less a last example that lost its class to it.

    Args:
        path: a folder of .tar files, one of them, or a pattern: ``data-{000000..000012}.tar``, ``data-*.tar``. Without
            compression: an example is read where it stands.
        image: ending of the pictures, such as "jpg" or "512.jpg"; None where no example has more than one.
        label: where the class is, a whole number: "cls" for the members of that ending, "json.label" for an entry of
            the members that end so; None for data without classes.
        classes: their number; None for one more than the largest label.
        horizontal_flip: whether every picture is there twice, as it is and mirrored.
        shape: of the model, (1 or 3, H, W).

    Attributes:
        members: the pictures, in the order of the tars.
        unreadable: name of an example -> why it is left out.
        damaged: tar -> what is wrong with it.

    Raises:
        DataError: there are no tars, or no examples in them; one is compressed; an example has no class, or several
            pictures of which ``image`` says none.
    """

    def __init__(
        self,
        *,
        path: str,
        image: str | None = None,
        label: str | None = None,
        classes: int | None = None,
        horizontal_flip: bool = False,
        shape: Sequence[int | None] | None = None,
    ) -> None:
        self.path = path
        files = _shards(path)
        with ThreadPoolExecutor() as pool:
            shards = list(pool.map(_indexed, files))
            torn = [shard.drop_torn(label.partition(".")[0]) for shard in shards] if label else []
            samples = [sample for shard in shards for sample in shard.samples.values()]
            chosen = [_picture(sample, image) for sample in samples]
            wrong = list(pool.map(_trouble, chosen))
        self.members = [one for one, why in zip(chosen, wrong, strict=True) if one is not None and not why]
        labels = [_label(sample, label) if label else -1 for sample, why in zip(samples, wrong, strict=True) if not why]
        self.shards = len(files)
        self.unreadable = {_name(sample): why for sample, why in zip(samples, wrong, strict=True) if why}
        self.unreadable |= {name: why for one in torn for name, why in one.items()}
        self.damaged = {str(file): shard.trouble for file, shard in zip(files, shards, strict=True) if shard.trouble}
        if not self.members:
            why = f"; {next(iter(self.damaged.values()))}" if self.damaged else ""
            what = f"with an ending .{image}" if image else "with a picture's ending"
            raise DataError(f"shards: no member {what} in {self.shards} tar files of {path}{why}")
        super().__init__("shards", image_shape(shape, "shards"), labels, classes, horizontal_flip=horizontal_flip)

    def open(self, index: int) -> IO[bytes]:
        return self.members[index].open()

    def title(self, index: int) -> str:
        return str(self.members[index])

    def left_out(self) -> dict[str, str]:
        return self.unreadable

    def describe(self) -> str:
        skipped = f"; {len(self.unreadable)} examples that are no whole pictures skipped" if self.unreadable else ""
        damaged = f"; {len(self.damaged)} damaged: {next(iter(self.damaged.values()))}" if self.damaged else ""
        files = "1 tar file" if self.shards == 1 else f"{self.shards} tar files"
        return f"{len(self.labels):,} images in {files} of {self.path}{self._looks()}{skipped}{damaged}{self._losses()}"


def _shards(path: str) -> list[Path]:
    """The tars of a path, in natural order."""
    place = Path(path).expanduser()
    if place.is_dir():
        found = [file for file in place.iterdir() if file.name.endswith(".tar") and file.is_file()]
        packed = [file for file in place.iterdir() if ".tar" in file.name and file.suffix in _PACKED]
        packed += list(place.glob("*.tgz"))
    else:
        names = list(_braces(str(place)))
        found = [Path(file) for name in names for file in (glob.glob(name) if glob.has_magic(name) else [name])]
        packed = [file for file in found if file.suffix in _PACKED]
        missing = [file for file in found if not file.is_file()]
        if missing:
            raise DataError(f"shards: there is no file {missing[0]}")
    if packed:
        raise DataError(
            f"shards: {packed[0]} is compressed, so no example can be read without all before it; unpack it to a .tar"
        )
    if not found:
        raise DataError(f"shards: no .tar files in {path}; data.path names a folder of them, or a pattern")
    return sorted(found, key=lambda file: natural(str(file)))


def _braces(pattern: str) -> Iterator[str]:
    """``{000..002}`` as 000, 001, 002."""
    found = _RANGE.search(pattern)
    if found is None:
        yield pattern
        return
    first, last = found.groups()
    for number in range(int(first), int(last) + 1):
        yield from _braces(pattern[: found.start()] + str(number).zfill(len(first)) + pattern[found.end() :])


def _indexed(file: Path) -> _Shard:
    """The heads of a tar's members, up to where it is damaged."""
    shard = _Shard()
    length, last = file.stat().st_size, ""
    try:
        with tarfile.open(file, "r:") as tar:
            for info in tar:
                last = info.name
                folder, _, name = info.name.rpartition("/")
                key, dot, ending = name.partition(".")
                # a sparse file does not stand in the tar as it is
                if not info.isfile() or info.issparse() or not key or not dot:
                    continue
                if info.offset_data + info.size > length:
                    shard.trouble = f"{file} ends within {info.name}"
                    break
                member = Member(file, info.name, info.offset_data, info.size)
                shard.samples.setdefault(f"{folder}/{key}", {})[ending.lower()] = member
            # where the reader stopped; it takes a damaged head for the end
            end = tar.offset
        shard.trouble = shard.trouble or _behind(file, end, last)
    except (tarfile.TarError, OSError, ValueError) as error:
        shard.trouble = f"{file} cannot be read to its end: {error}"
    return shard


def _behind(file: Path, end: int, last: str) -> str:
    """What is wrong with the end of a tar, which is zeros and nothing else; empty for nothing."""
    with file.open("rb") as held:
        held.seek(end)
        first = held.read(_BLOCK)
        if len(first) < _BLOCK:
            return f"{file} has no end, it was cut short"
        if any(first):
            return f"{file} is damaged behind {last}"
        while rest := held.read(_MEGABYTE):
            if rest.count(0) < len(rest):
                return f"{file} goes on behind its end, which follows {last}: it is damaged, or was joined of several"
    return ""


def _name(sample: dict[str, Member]) -> str:
    return str(next(iter(sample.values())))


def _picture(sample: dict[str, Member], image: str | None) -> Member | None:
    if image is not None:
        return sample.get(image.lower().removeprefix("."))
    found = {ending: member for ending, member in sample.items() if Path(f"x.{ending}").suffix in SUFFIXES}
    if len(found) > 1:
        # the first in the tar may be a photo here and its mask there
        endings = " ".join(f".{ending}" for ending in found)
        raise DataError(
            f"shards: {_name(found)} is one of several pictures of an example ({endings}); data.image says which"
        )
    return next(iter(found.values()), None)


def _trouble(member: Member | None) -> str:
    """Why a member is no picture; empty when it is one, as far as its head tells."""
    if member is None:
        return "it has no picture"
    try:
        with member.open() as file:
            upright_size(file, str(member))
    except UnreadableError as error:
        return error.why
    except OSError as error:
        return (error.strerror or str(error)).lower()
    return ""


def _label(sample: dict[str, Member], label: str) -> int:
    """The class of an example: the number in a member, or an entry of one that is JSON."""
    ending, _, entry = label.partition(".")
    member = sample.get(ending)
    some = next(iter(sample.values()))
    if member is None:
        have = " ".join(f".{one}" for one in sample)
        raise DataError(f"shards: {some} has no member .{ending} beside it (there are {have}); data.label says which")
    with member.open() as file:
        content = file.read()
    try:
        value = json.loads(content)[entry] if entry else content.decode("ascii").strip()
        if isinstance(value, float | bool):
            raise ValueError("no whole number")
        return int(value)
    except (ValueError, KeyError, TypeError) as error:
        where = f"its entry {entry!r}" if entry else "what it holds"
        raise DataError(f"shards: {member}: {where} is no class, a whole number ({error})") from None
