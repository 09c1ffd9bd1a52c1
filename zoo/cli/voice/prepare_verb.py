"""``zoo voice prepare``."""

from __future__ import annotations

from pathlib import Path

import click

from zoo.cli.model_argument import complete
from zoo.cli.output import bar, note

_SHOWN = 10


@click.command("prepare")
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("overrides", nargs=-1)
@click.option(
    "--config", required=True, help="Of the model to train, such as svc-16k.", shell_complete=complete("models")
)
@click.option("--out", required=True, type=click.Path(file_okay=False, path_type=Path), help="The prepared folder.")
@click.option("--speakers", is_flag=True, help="Each folder in FOLDER is a speaker.")
@click.option("--threshold-db", type=click.FloatRange(max=0.0, max_open=True), default=-40.0, show_default=True)
@click.option("--min-seconds", type=float, default=0.4, show_default=True, help="Shorter slices are left out.")
@click.option(
    "--max-seconds", type=float, default=12.0, show_default=True, help="Longer ones are cut at a quiet place."
)
@click.option("--key-shifts", type=click.IntRange(min=0), default=0, help="Copies with a moved timbre, a slice.")
@click.option("--hold-out", type=click.FloatRange(0.0, 1.0, max_open=True), default=0.02, show_default=True)
@click.option("--workers", type=click.IntRange(min=0), default=0, help="Processes; 0 takes this one.  [default: 0]")
@click.option("--device", default="cpu", show_default=True, help="Where encoders run.")
def command(
    folder: Path,
    overrides: tuple[str, ...],
    config: str,
    out: Path,
    speakers: bool,
    threshold_db: float,
    min_seconds: float,
    max_seconds: float,
    key_shifts: int,
    hold_out: float,
    workers: int,
    device: str,
) -> None:
    """Make training data of a folder of recordings: slices, units, pitch and mel.

    OVERRIDES are key=value over the config. What is there already is kept, so that the same command goes on where it
    was stopped. Files that cannot be used are told at the end.

    \b
    zoo voice prepare recordings --config svc-16k --out data/her --workers 2
    zoo train data/her/config.yaml --out runs/her
    """
    from zoo.core.device import usable
    from zoo.voice.prepare import prepare, recordings
    from zoo.voice.prepared import Cut, read_index

    cut = Cut(threshold_db=threshold_db, min_seconds=min_seconds, max_seconds=max_seconds, key_shifts=key_shifts)
    left_out = []
    with bar() as progress:
        task = progress.add_task("preparing", total=len(recordings(folder)))
        for item in prepare(
            folder,
            out,
            config=config,
            command_line=overrides,
            cut=cut,
            speakers=speakers,
            hold_out=hold_out,
            workers=workers,
            device=usable(device),
        ):
            progress.advance(task)
            if item.reason:
                left_out.append(item)
    for item in left_out[:_SHOWN]:
        note(f"left out: {item.source}: {item.reason}")
    if len(left_out) > _SHOWN:
        note(f"left out: {len(left_out) - _SHOWN} more, listed in {out / 'prepared.json'}")
    prepared = read_index(out)
    statistics = prepared.statistics
    note(
        f"{out}: {statistics['seconds'] / 60:.1f} minutes of {len(prepared.trained)} recordings to train on, "
        f"{len(prepared.held_out)} held out, pitch {statistics['f0_5']:.0f} to {statistics['f0_95']:.0f} Hz; "
        f"go on with: zoo train {out / 'config.yaml'}"
    )
