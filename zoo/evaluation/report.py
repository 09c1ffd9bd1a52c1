"""The report of an evaluation: numbers for programs, a page for readers, and three pictures."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from PIL import Image
from torch import Tensor

from zoo import plots
from zoo.evaluation.distances import Distances
from zoo.evaluation.neighbours import COLUMNS
from zoo.evaluation.noise_levels import Level
from zoo.files import write_atomically
from zoo.images import grid, save_png

FORMAT = 1

_SHOWN = 64


@dataclass(frozen=True)
class Evaluation:
    """Everything that was found, and what is needed to find it again.

    Args:
        model: what was judged.
        data: what it was judged by.
        looked_at: how many pictures of the data.
        beside: how many of these both columns are compared with.
        copies_of: how many of these samples may be copies of.
        data_size: how many there are.
        frechet_name: FID in the features of Inception, and no other; else FD and the name of the features.
        kernel_name: likewise.
        features: the extractor with its arguments.
        feature_facts: what it tells about itself.
        sampling: settings of the samples.
        seed: of the first sample.
        drawn: how many samples.
        samples: the distances of the first of them, as many as are set aside of the data.
        floor: those of the half of the data that was set aside, which no model can be much better than.
        levels: the loss by noise level.
        remarks: what a reader must know of these numbers.
        versions: what it ran with.
        origin: SHA-256 of the weights and of the pictures that were looked at, and what features are of.
        seconds: by stage.
        pictures: (N, C, H, W) samples, for the sheet.
        nearest: the sheet of neighbours.
    """

    model: str
    data: str
    looked_at: int
    beside: int
    copies_of: int
    data_size: int
    frechet_name: str
    kernel_name: str
    features: Mapping[str, Any]
    feature_facts: Mapping[str, float | int]
    sampling: Mapping[str, Any]
    seed: int
    drawn: int
    samples: Distances
    floor: Distances
    levels: Sequence[Level]
    remarks: Sequence[str]
    versions: Mapping[str, str]
    origin: Mapping[str, str]
    seconds: Mapping[str, float]
    pictures: Tensor
    nearest: Image.Image

    def to_dict(self) -> dict[str, Any]:
        """All of it but the pictures, for JSON; what is not finite is None."""
        kept = {name: getattr(self, name) for name in self.__dataclass_fields__ if name not in ("pictures", "nearest")}
        tree = {"format": FORMAT, **kept}
        for name in ("samples", "floor"):
            tree[name] = asdict(tree[name])
        tree["levels"] = [asdict(level) for level in self.levels]
        plain: dict[str, Any] = _plain(tree)
        return plain

    def rows(self) -> list[tuple[str, str, str, str]]:
        """What each measure is called, its value for the samples and for the data itself, and which value is good."""
        a, b = self.samples, self.floor
        kernel, own_kernel = (f"{one.kernel.mean:.3g} ± {one.kernel.std:.2g}" for one in (a, b))
        rows = [
            (self.frechet_name, f"{a.frechet:.4g}", f"{b.frechet:.4g}", "low"),
            (f"{self.frechet_name}, all beside all", f"{a.frechet_all:.4g}", "-", "low"),
            (self.kernel_name, kernel, own_kernel, "low; 0 on average for data"),
            ("precision", f"{a.precision:.3f}", f"{b.precision:.3f}", "high"),
            ("recall", f"{a.recall:.3f}", f"{b.recall:.3f}", "high"),
            ("density", f"{a.density:.3f}", f"{b.density:.3f}", "near that of data"),
            ("coverage", f"{a.coverage:.3f}", f"{b.coverage:.3f}", "high"),
            ("nearer to data than data, features", f"{a.nearer:.3f}", f"{b.nearer:.3f}", "no more than data"),
            (
                "nearer to data than data, pixels",
                f"{a.nearer_pixels:.3f}",
                f"{b.nearer_pixels:.3f}",
                "no more than data",
            ),
        ]
        if a.as_asked is not None:
            rows.append(
                ("the class asked for", f"{a.as_asked:.3f}", f"{self.feature_facts['held_out_accuracy']:.3f}", "high")
            )
        return rows

    def markdown(self) -> str:
        """The page."""
        facts = ", ".join(f"{key.replace('_', ' ')} {value:.4g}" for key, value in self.feature_facts.items())
        settings = ", ".join(f"{key} {_short(value)}" for key, value in self.sampling.items())
        seconds = ", ".join(f"{stage} {took:.1f} s" for stage, took in self.seconds.items())
        kernel, scaled = self.samples.kernel, "" if self.kernel_name == "KID" else ", of features of mean square 1"
        table = "\n".join(f"| {' | '.join(row)} |" for row in self.rows())
        remarks = "".join(f"- {remark}\n" for remark in self.remarks)
        origin = "".join(f"- {key.replace('_', ' ')}: {value}\n" for key, value in self.origin.items())
        return f"""# {self.model}: {self.drawn:,} samples beside the data

| measure | samples | data | good is |
|---|---|---|---|
{table}

Both columns are of {self.samples.pictures:,} pictures, beside one half of the data, {self.beside:,} pictures. Those \
of the column "data" are of the other half: what a perfect model would come to. "All beside all" is of all \
{self.drawn:,} samples and all {self.looked_at:,} pictures. {self.kernel_name} is the mean ± the standard deviation of \
{kernel.subsets:,} subsets of {kernel.size:,} pictures{scaled}.
{remarks and chr(10) + remarks}
![samples](samples.png)

## Copies?

![samples beside their nearest neighbours](nearest.png)

The samples that are nearest to a picture of the data, in units of how near its own neighbour is. In each row: the \
sample, the {COLUMNS} nearest pictures in features, the {COLUMNS} nearest in pixels.

"Nearer to data than data" is the share of pictures whose nearest picture of the data has no other that near. For \
samples it is taken over {self.copies_of:,} pictures; a copy of another is not seen. Copies bring it close to 1; far \
above the column "data" it is a warning.

## Loss by noise level

![loss by noise level](loss-by-noise.png)

The mean over {self.levels[0].pictures:,} pictures of the data, unweighted; standard errors are in report.json.

## How it was measured

- data: {self.data}; {self.looked_at:,} of {self.data_size:,} were looked at
- features: {_short(self.features)} ({facts})
- sampling: {settings}; seeds {self.seed} to {self.seed + self.drawn - 1}, one a sample
- versions: {", ".join(f"{name} {version}" for name, version in self.versions.items())}
- time: {seconds}
{origin}"""

    def save(self, folder: str | PathLike[str]) -> list[Path]:
        """Write the report into a folder, which is made; each file is the old or the new one, never half of it.

        Returns:
            What was written: report.json, report.md, samples.png, nearest.png and loss-by-noise.png.
        """
        home = Path(folder)
        home.mkdir(parents=True, exist_ok=True)
        content = json.dumps(self.to_dict(), indent=1, allow_nan=False) + "\n"
        write_atomically(home / "report.json", lambda beside: beside.write_text(content, encoding="utf-8"))
        write_atomically(home / "report.md", lambda beside: beside.write_text(self.markdown(), encoding="utf-8"))
        save_png(grid(self.pictures[:_SHOWN]), home / "samples.png")
        save_png(self.nearest, home / "nearest.png")
        losses = [level.loss for level in self.levels]
        plots.lines(
            home / "loss-by-noise.png",
            {"loss": ([level.log_snr for level in self.levels], losses)},
            title="loss by noise level",
            x_label="log SNR (noise at the left, data at the right)",
            y_label="squared error of the network's output",
            y_scale="log" if min(losses) > 0 else "linear",
        )
        names = ("report.json", "report.md", "samples.png", "nearest.png", "loss-by-noise.png")
        return [home / name for name in names]


def _short(value: Any) -> str:
    """A spec as it would be typed: its name, then its arguments."""
    if isinstance(value, Mapping):
        name = [str(value["name"])] if "name" in value else []
        return " ".join([*name, *(f"{key}={_short(part)}" for key, part in value.items() if key != "name")])
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_short, value)) + "]"
    return "null" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
