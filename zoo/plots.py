"""Plots: the only room that knows matplotlib, and none of its global state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from os import PathLike
from pathlib import Path
from typing import Any, Literal

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from zoo.files import write_atomically

Scale = Literal["linear", "log"]


def lines(
    path: str | PathLike[str],
    series: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    *,
    title: str = "",
    x_label: str = "",
    y_label: str = "",
    x_scale: Scale = "linear",
    y_scale: Scale = "linear",
    markers: bool = True,
    size: tuple[float, float] = (7.0, 4.5),
) -> None:
    """Lines over a common pair of axes, as a PNG.

    Args:
        path: the file.
        series: what the legend says -> (xs, ys).
        title: above the plot.
        x_label: below the plot.
        y_label: at its left.
        x_scale: of the horizontal axis.
        y_scale: of the vertical axis.
        markers: a dot at every point.
        size: in inches, at 130 dots an inch.
    """
    figure = Figure(figsize=size, dpi=130, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot(xscale=x_scale, yscale=y_scale, title=title, xlabel=x_label, ylabel=y_label)
    for axis, scale in ((axes.xaxis, x_scale), (axes.yaxis, y_scale)):
        if scale == "log":
            # 20 and 0.5, where matplotlib would write powers of ten
            axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axis.set_major_formatter(StrMethodFormatter("{x:g}"))
            axis.set_minor_formatter(NullFormatter())
    for name, (xs, ys) in series.items():
        axes.plot(xs, ys, label=name, marker="o" if markers else "", markersize=3.5, linewidth=1.3)
    axes.grid(visible=True, which="major", alpha=0.3)
    if len(series) > 1:
        axes.legend(fontsize="small", frameon=False)
    write_atomically(Path(path), lambda beside: figure.savefig(beside, format="png"))


def loss_curve(path: str | PathLike[str], steps: Sequence[int], losses: Sequence[float]) -> None:
    """The loss over the steps, as logged and averaged over about a fiftieth of the run.

    Args:
        path: the PNG file.
        steps: of the log's lines.
        losses: likewise.
    """
    window = max(1, len(losses) // 50)
    means = [sum(losses[max(0, i + 1 - window) : i + 1]) / min(window, i + 1) for i in range(len(losses))]
    lines(
        path,
        {"as logged": (steps, losses), "running mean": (steps, means)},
        title="training loss",
        x_label="step",
        y_label="loss",
        y_scale="log",
        markers=len(losses) == 1,  # a line through one point is not seen
    )


def plane(
    path: str | PathLike[str],
    panels: Sequence[tuple[str, str, Sequence[Sequence[tuple[float, float]]]]],
    *,
    exact: Sequence[Sequence[tuple[float, float]]],
    data: Sequence[tuple[float, float]],
    columns: int = 4,
) -> None:
    """Paths over a plane, a panel for each way of walking, as a PNG.

    Args:
        path: the file.
        panels: (title, line below it, paths); a path is its points, from noise to data.
        exact: the paths that a perfect walk would take, thin and grey under the others.
        data: draws of the data, as a shade.
        columns: most panels in a row.
    """
    columns = min(columns, len(panels))
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(3.1 * columns, 3.5 * rows), dpi=160, layout="constrained")
    FigureCanvasAgg(figure)
    # all starts are in the picture; a wild step on the way may leave it
    reach = 1.08 * max(max(abs(x), abs(y)) for x, y in [one[0] for one in exact] + list(data))
    for index, (title, below, paths) in enumerate(panels):
        axes = figure.add_subplot(rows, columns, index + 1)
        axes.scatter([x for x, _ in data], [y for _, y in data], s=3, color="#8fb8de", alpha=0.25, linewidths=0)
        for one in exact:
            axes.plot([x for x, _ in one], [y for _, y in one], color="#9a9a9a", linewidth=0.6)
        for one in paths:
            pieces = [[a, b] for a, b in pairwise(one)]
            shades = [0.1 + 0.75 * k / max(1, len(pieces) - 1) for k in range(len(pieces))]
            axes.add_collection(LineCollection(pieces, array=shades, cmap="plasma", clim=(0, 1), linewidths=0.9))
            xs, ys = [x for x, _ in one], [y for _, y in one]
            axes.scatter(xs, ys, s=5, c=[0.1, *shades], cmap="plasma", vmin=0, vmax=1, linewidths=0)
            axes.plot(*one[-1], marker="o", markersize=3.2, color="#1b1b1b")
        axes.set(xlim=(-reach, reach), ylim=(-reach, reach), xticks=[], yticks=[], aspect="equal")
        axes.set_title(f"{title}\n", fontsize=10, fontweight="bold", pad=1)
        axes.text(0.5, 1.015, below, transform=axes.transAxes, ha="center", va="bottom", fontsize=8)
        for spine in axes.spines.values():
            spine.set_color("#d0d0d0")
    write_atomically(Path(path), lambda beside: figure.savefig(beside, format="png"))


def mel_pictures(
    path: str | PathLike[str],
    panels: Mapping[str, Any],
    *,
    seconds: float,
    columns: int = 1,
    y_label: str = "mel bin",
) -> None:
    """Mel spectrograms side by side on one scale of colours, as a PNG.

    Args:
        path: the file.
        panels: title -> (M, T), the lowest bin first; anything that numpy reads as an array.
        seconds: from one frame to the next.
        columns: panels in a row.
        y_label: at the left of the first column.
    """
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(8.0 if columns == 1 else 6.0 * columns, 0.6 + 2.3 * rows), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    low = min(float(mel.min()) for mel in panels.values())
    high = max(float(mel.max()) for mel in panels.values())
    grid = figure.subplots(rows, columns, squeeze=False)
    shown = None
    for index, (title, mel) in enumerate(panels.items()):
        axes = grid[index // columns][index % columns]
        extent = (0.0, mel.shape[1] * seconds, 0.0, float(mel.shape[0]))
        shown = axes.imshow(
            mel, origin="lower", aspect="auto", extent=extent, vmin=low, vmax=high, cmap="magma", interpolation="none"
        )
        axes.set_title(title, fontsize=9)
        axes.set_xlabel("seconds", fontsize=8)
        if index % columns == 0:
            axes.set_ylabel(y_label, fontsize=8)
        axes.tick_params(labelsize=7)
    for axes in grid.flat[len(panels) :]:
        axes.set_visible(False)
    if shown is not None:
        figure.colorbar(shown, ax=list(grid.flat), fraction=0.02, pad=0.01).ax.tick_params(labelsize=7)
    write_atomically(Path(path), lambda beside: figure.savefig(beside, format="png"))


def pitch_curves(
    path: str | PathLike[str],
    curves: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    *,
    mel: tuple[Any, float, Sequence[float]] | None = None,
    title: str = "",
) -> None:
    """Pitch over time on an axis of octaves, as a PNG.

    Args:
        path: the file.
        curves: what the legend says -> (seconds, Hz); 0 Hz leaves a gap.
        mel: drawn under them: (M, T), seconds from one frame to the next, and the Hz of the middle of each bin.
        title: above the plot.
    """
    figure = Figure(figsize=(8.0, 3.6), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot(title=title, xlabel="seconds", ylabel="Hz", yscale="log")
    # the notes A and E of every octave: 55, 82, 110, 165, 220, ...
    axes.yaxis.set_major_locator(LogLocator(base=2, subs=(82.407 / 64, 110 / 64)))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:.0f}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    if mel is not None:
        picture, step, middles = mel
        times = [frame * step for frame in range(picture.shape[1])]
        axes.pcolormesh(times, middles, picture, cmap="magma", shading="nearest", rasterized=True)
    for name, (seconds, hertz) in curves.items():
        gapped = [value if value > 0 else float("nan") for value in hertz]
        axes.plot(seconds, gapped, label=name, linewidth=1.5, marker=".", markersize=2.5)
    heard = [value for _, hertz in curves.values() for value in hertz if value > 0] or [110.0, 440.0]
    # the first harmonics are in the picture
    axes.set_ylim(min(heard) / 1.3, max(heard) * (1.3 if mel is None else 5.0))
    if mel is None:
        axes.grid(visible=True, which="major", alpha=0.3)
    if len(curves) > 1:
        axes.legend(fontsize="small", frameon=mel is not None)
    write_atomically(Path(path), lambda beside: figure.savefig(beside, format="png"))
