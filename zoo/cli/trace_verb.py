"""``zoo trace``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from zoo.cli.model_argument import check_out, complete, opened, spec_of
from zoo.cli.output import as_json, note

if TYPE_CHECKING:
    from zoo.core.diffusion import Diffusion

_USUAL = ("ddim", "plms", "dpmpp-2m", "unipc", "heun", "lms", "ddpm", "euler-ancestral")


@click.command("trace")
@click.argument("model", default="tiny-mixture", shell_complete=complete("models"))
@click.argument("overrides", nargs=-1)
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="The picture, a .png file.")
@click.option("--table", "table_", is_flag=True, help="Print the weights of each step, computed before the walk.")
@click.option(
    "--sampler",
    "samplers",
    multiple=True,
    shell_complete=complete("samplers"),
    help="A name, with arguments: 'ddim eta=0.5'; give several.  [default: eight of them]",
)
@click.option("--steps", type=click.IntRange(min=1), help="Of each walk.")
@click.option("--spacing", shell_complete=complete("spacings"), help="A name, with arguments: 'karras rho=5'.")
@click.option("-n", "--number", type=click.IntRange(min=1), default=14, show_default=True, help="How many paths.")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--json", "json_", is_flag=True, help="For programs.")
def command(
    model: str,
    overrides: tuple[str, ...],
    out: Path | None,
    table_: bool,
    samplers: tuple[str, ...],
    steps: int | None,
    spacing: str | None,
    number: int,
    seed: int,
    json_: bool,
) -> None:
    """Draw the paths of samplers side by side, from the same noise.

    MODEL is of data of two numbers, as tiny-mixture is; grey lines are the exact paths of the probability-flow ODE, and
    the error is the distance from their ends. With --table any model will do: most samplers only form weighted sums,
    whose weights are printed.

    \b
    zoo trace --out paths.png
    zoo trace --out paths.png --sampler ddim --sampler 'dpmpp-2m' --sampler 'ddim eta=1' --steps 8
    zoo trace ddpm-mnist --table --sampler plms --steps 5
    """
    if (out is None) == (not table_):
        raise click.UsageError("add --out paths.png for a picture, or --table for the weights")
    if out is not None:
        if out.suffix.lower() != ".png":
            raise click.UsageError(f"--out: {out.name!r} is no .png file")
        check_out(out)
    diffusion = opened(model, overrides, random_weights=table_)
    specs = [spec for text in samplers or _usual() if (spec := spec_of(text)) is not None]
    if out is None:
        _print_tables(diffusion, specs, steps, spec_of(spacing), json_)
        return
    from zoo.plots import plane
    from zoo.trajectories import trace

    paths = trace(diffusion, specs, n=number, steps=steps, spacing=spec_of(spacing), seed=seed)
    found = [
        {"sampler": path.name, "nfe": path.nfe, "error": path.error, "ends": path.states[-1].tolist()}
        for path in paths.several
    ]
    panels = [(path.name, _below(path.nfe, path.error), path.states.transpose(0, 1).tolist()) for path in paths.several]
    plane(out, panels, exact=paths.exact.transpose(0, 1).tolist(), data=paths.data.tolist())
    if json_:
        as_json({"out": str(out), "paths": found})
    else:
        note(f"{out}: {len(panels)} samplers, {number} paths each")


def _usual() -> list[str]:
    from registry import samplers

    return [name for name in _USUAL if name in samplers.names()]


def _below(nfe: int, error: float | None) -> str:
    return f"{nfe} evaluations, " + ("draws noise" if error is None else f"error {error:.2g}")


def _print_tables(
    diffusion: Diffusion, specs: list[dict[str, Any]], steps: int | None, spacing: Mapping[str, Any] | None, json_: bool
) -> None:
    from zoo.trajectories import table

    found = {spec["name"]: table(diffusion, spec, steps=steps, spacing=spacing) for spec in specs}
    if json_:
        as_json(found)
        return
    for name, lines in found.items():
        click.echo(f"{name}:" if lines else f"{name}: is more than weighted sums, and runs as it is written")
        for line in lines or ():
            click.echo(f"  {line}")
