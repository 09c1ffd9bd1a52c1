"""Plots: the only room that knows matplotlib, and none of its global state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Literal

from matplotlib.backends.backend_agg import FigureCanvasAgg
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
