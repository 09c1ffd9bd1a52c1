"""The curves of a benchmark: error and quality, against evaluations and time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from zoo import plots
from zoo.bench import standings
from zoo.bench.fewer import Bar, FewerRow
from zoo.bench.learning import LearningRow
from zoo.bench.quality import Yardstick
from zoo.bench.rows import Row


def draw(rows: Sequence[Row], yardsticks: Sequence[Yardstick], folder: Path) -> list[Path]:
    """One picture for each model and each pair of measures that there is something of.

    Args:
        rows: of all models.
        yardsticks: their floors are drawn beside the distances.
        folder: where the pictures go; the model is in their names when there are several.

    Returns:
        What was written.
    """
    measure = yardsticks[0].measure if yardsticks else "quality"
    wanted: list[tuple[str, str, str, Callable[[Row], float | None], Callable[[Row], float | None]]] = [
        ("error-nfe", "NFE", "RMS error to the fine solution", lambda row: row.nfe, lambda row: row.error_rms),
        ("quality-nfe", "NFE", measure, lambda row: row.nfe, lambda row: row.quality),
        ("quality-time", "seconds a batch", measure, lambda row: row.wall, lambda row: row.quality),
    ]
    models = list(dict.fromkeys(row.model for row in rows))
    written = []
    for model in models:
        floor = next((one.floor for one in yardsticks if one.model == model), None)
        for name, x_label, y_label, x_of, y_of in wanted:
            series = _series([row for row in rows if row.model == model], x_of, y_of)
            if not series:
                continue
            if floor and name.startswith("quality"):
                xs = [x for points in series.values() for x in points[0]]
                series["real data"] = ([min(xs), max(xs)], [floor, floor])
            path = folder / (f"{name}.png" if len(models) == 1 else f"{model}-{name}.png")
            plots.lines(
                path,
                series,
                title=f"{model}: {y_label} against {x_label}",
                x_label=x_label,
                y_label=y_label,
                x_scale="log",
                y_scale="log",
            )
            written.append(path)
    return written


def draw_learning(rows: Sequence[LearningRow], folder: Path) -> list[Path]:
    """The training losses of all models, over the updates and over the processor time.

    Args:
        rows: of all models.
        folder: where the pictures go.

    Returns:
        What was written.
    """
    learned = [(row.model, row.curve, row.step_cpu) for row in rows if row.curve and row.step_cpu]
    if not learned:
        return []
    over_steps = {model: ([step for step, _ in curve], [loss for _, loss in curve]) for model, curve, _ in learned}
    over_time = {
        model: ([step * seconds for step, _ in curve], [loss for _, loss in curve]) for model, curve, seconds in learned
    }
    written = []
    for name, series, x_label in (
        ("loss-step", over_steps, "updates"),
        ("loss-time", over_time, "seconds of processor time"),
    ):
        path = folder / f"{name}.png"
        plots.lines(
            path,
            series,
            title=f"training loss against {x_label}",
            x_label=x_label,
            y_label="loss",
            x_scale="linear" if name == "loss-step" else "log",
            y_scale="log",
        )
        written.append(path)
    return written


def draw_fewer(bars: Sequence[Bar], rows: Sequence[FewerRow], folder: Path) -> list[Path]:
    """The errors that were found on the way to a bar, of the best samplers, each on the spacing that serves it best.

    Args:
        bars: one a model.
        rows: of all models.
        folder: where the pictures go.

    Returns:
        What was written.
    """
    written = []
    for bar in bars:
        drawn = standings.series(bar, rows)
        if drawn:
            path = folder / ("fewer.png" if len(bars) == 1 else f"{bar.model}-fewer.png")
            plots.lines(
                path,
                drawn,
                title=f"{bar.model}: RMS error to the fine solution against NFE",
                x_label="NFE",
                y_label="RMS error to the fine solution",
                x_scale="log",
                y_scale="log",
                size=(9.0, 6.5),
            )
            written.append(path)
    return written


def _series(
    rows: Sequence[Row], x_of: Callable[[Row], float | None], y_of: Callable[[Row], float | None]
) -> dict[str, tuple[list[float], list[float]]]:
    """Points by sampler, and by spacing where there is more than one; logarithms need them positive."""
    several = len({row.spacing for row in rows}) > 1
    series: dict[str, tuple[list[float], list[float]]] = {}
    for row in rows:
        x, y = x_of(row), y_of(row)
        if x and y and x > 0 and y > 0:
            name = f"{row.sampler}, {row.spacing}" if several else row.sampler
            xs, ys = series.setdefault(name, ([], []))
            xs.append(x)
            ys.append(y)
    return series
