"""Which of timm's models can be the backbone of a denoiser, found by building them.

The table is kept in a file, so that it can be listed without torch. ``python -m zoo.backbones [PATTERN ...]`` makes it
again: each model is built without memory as a denoiser for small pictures and run, and its refusals are written down.
A model that is not in the table was not tried: it may fit all the same, and building it tells.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass, fields
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

SIZES = (28, 32, 64, (64, 96))
"""The sizes of pictures that each model is tried with."""

TABLE = Path(__file__).with_name("backbones.tsv")


@dataclass(frozen=True)
class Backbone:
    """What is known of one of timm's models.

    Attributes:
        name: timm's.
        denoiser: the one that takes it as its encoder; empty for none.
        parameters: of the whole denoiser with its defaults, in three channels, at the largest size it was built for.
        reductions: how many pixels a pixel of each of its maps stands for; that of a transformer is the patch it is
            built with.
        sizes: pictures it was run on. One that is built for a single size was built for each; others for 32 pixels and
            run on 28 too, and for 64 and run on 64 x 96 too.
        note: what a user should know; the reason where no denoiser takes it.
    """

    name: str
    denoiser: str = ""
    parameters: str = ""
    reductions: str = ""
    sizes: str = ""
    note: str = ""


def table(pattern: str = "*") -> list[Backbone]:
    """The models whose name fits a pattern, in timm's order."""
    lines = TABLE.read_text(encoding="utf-8").splitlines()[2:]
    rows = (Backbone(*line.split("\t")) for line in lines)
    return [row for row in rows if fnmatchcase(row.name, pattern)]


def timm_version() -> str:
    """The version of timm that the table is of."""
    return TABLE.read_text(encoding="utf-8").split(",", 1)[0].rpartition(" ")[2]


def classify(name: str) -> Backbone:
    """Build a model as a denoiser for each of `SIZES`, without memory, and see what comes of it."""
    import torch

    from registry import denoisers
    from zoo.core.errors import ZooError
    from zoo.layers import timm_features as timm_parts

    if timm_parts.module_of(name) in timm_parts.PLAIN_VITS:
        denoiser, known, reductions = "timm-vit", {"patch": 4}, "4"
    else:
        try:
            reductions = "/".join(map(str, timm_parts.scales(name).reductions))
        except ZooError as error:
            return Backbone(name, note=_reason(error))
        denoiser, known = "timm-unet", {}
    fixed = denoiser == "timm-unet" and timm_parts.scales(name).fixed
    works, why, parameters = [], "", 0
    for built, sizes in ((one, (one,)) for one in SIZES) if fixed else ((32, (28, 32)), (64, (64, (64, 96)))):
        try:
            with torch.device("meta"):
                network = denoisers.get(denoiser)(encoder=name, resolution=built, **known)
                parameters = sum(weight.numel() for weight in network.parameters())
                for size in sizes:
                    _run(network, size)
                    works.append(_shown(size))
        except ZooError as error:
            why = why or f"{_shown(built)}: {_reason(error)}"
    if not works:
        return Backbone(name, note=why)
    notes = [why] if why else []
    if fixed:
        notes.append("built for one size")
    if denoiser == "timm-vit":
        try:
            with torch.device("meta"):
                denoisers.get(denoiser)(encoder=name, conditioning="adaln", **known)
        except ZooError:
            notes.append("conditioning: token only")
    return Backbone(name, denoiser, f"{parameters / 1e6:.2f}M", reductions, " ".join(works), "; ".join(notes))


def _run(network: Any, size: int | tuple[int, int]) -> None:
    """Run a denoiser on pictures of a size.

    Raises:
        ZooError: it refuses.
    """
    import torch

    height, width = (size, size) if isinstance(size, int) else size
    out = network.eval()(torch.zeros(2, 3, height, width), torch.zeros(2))
    assert out.shape == (2, 3, height, width)


def write(patterns: Sequence[str] = ()) -> Iterator[Backbone]:
    """Bring the table up to date, a model at a time; the file is replaced when all are done.

    Args:
        patterns: of the models that are tried; the rows of others stay as they are. All models when there are none.
    """
    import timm

    from zoo.files import write_atomically

    every = timm.list_models()
    known = {row.name: row for row in table()} if patterns else {}
    for name in every:
        if not patterns or any(fnmatchcase(name, pattern) for pattern in patterns):
            known[name] = classify(name)
            yield known[name]
    lines = [f"# timm {timm.__version__}, made by python -m zoo.backbones", "\t".join(f.name for f in fields(Backbone))]
    lines += ["\t".join(astuple(known[name])) for name in every if name in known]
    text = "\n".join(lines) + "\n"
    write_atomically(TABLE, lambda beside: beside.write_text(text, encoding="utf-8"))


def _shown(size: int | tuple[int, int]) -> str:
    return str(size) if isinstance(size, int) else "x".join(map(str, size))


def _reason(error: Exception) -> str:
    """An error's message in one line, without what the reader of the list knows already."""
    text = " ".join(str(error).split()).partition("; `zoo list backbones`")[0]
    return text.replace("\t", " ")


if __name__ == "__main__":
    import sys

    for made in write(sys.argv[1:]):
        sys.stderr.write(f"{made.name}: {made.denoiser or made.note}\n")
