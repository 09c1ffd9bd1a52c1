"""``zoo average``."""

from __future__ import annotations

from pathlib import Path

import click

from zoo.cli.model_argument import check_new_model
from zoo.cli.output import note


@click.command("average")
@click.argument("run", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--width", required=True, type=float, help="sigma_rel of the average: the share of the run that it reaches back."
)
@click.option("--step", type=click.IntRange(min=1), help="Where it ends, at a snapshot.  [default: the last]")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="A .safetensors file.")
@click.option("--force", is_flag=True, help="Replace a file that is there.")
def command(run: Path, width: float, step: int | None, out: Path, force: bool) -> None:
    """Average the weights of a run over another width, after training.

    RUN is the folder of a run with `training.ema_profiles=[0.05, 0.1]`, which keeps snapshots of two averages; they
    make one of any other width (Karras et al. 2024).

    \b
    zoo average runs/cat --width 0.08 --out cat-0.08.safetensors
    zoo average runs/cat --width 0.15 --step 20000 --out cat-0.15.safetensors
    """
    check_new_model(out, force=force)
    from zoo import checkpoint
    from zoo.training.posthoc import last_step, synthesize

    end = last_step(run, step)
    checkpoint.save(synthesize(run, width, step=end), out, step=end, weights="ema", sigma_rel=repr(width))
    note(f"{out}: sigma_rel {width:g}, up to step {end}")
