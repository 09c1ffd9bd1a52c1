"""``zoo bench``."""

from __future__ import annotations

import json
from pathlib import Path

import click

from zoo.cli.output import as_json, bar, note, table


@click.command("bench")
@click.argument("suite", type=click.Path())
@click.argument("overrides", nargs=-1)
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="Folder of the card and the plots.")
@click.option("--device", help="cpu, cuda, ...  [default: the GPU when there is one]")
@click.option("--json", "json_", is_flag=True, help="The card, for programs.")
def command(suite: str, overrides: tuple[str, ...], out: Path | None, device: str | None, json_: bool) -> None:
    """Compare samplers: time, error and quality, from the same noise.

    SUITE is the name of one in benchmarks/ or a YAML file, OVERRIDES are key=value.

    \b
    zoo bench benchmarks/samplers.yaml --out runs/bench
    zoo bench benchmarks/overhead.yaml repeats=50
    """
    from rich.progress import MofNCompleteColumn, TextColumn, TimeElapsedColumn

    from zoo.bench import Finished, Measured, Stage, Started, events

    columns = (TextColumn("{task.description}"), MofNCompleteColumn(), TimeElapsedColumn())
    with bar(*columns) as progress:
        task = progress.add_task("starting", total=None)
        for event in events(suite, out=out, command_line=overrides, device=device):
            match event:
                case Started():
                    note(f"{event.title}: {event.cells} cells on {event.device}")
                    progress.update(task, total=event.cells)
                case Stage():
                    progress.update(task, description=event.text)
                case Measured():
                    progress.update(task, completed=event.index)
                case Finished():
                    finished = event
    if json_:
        as_json(json.loads(finished.files[0].read_text()))
        return
    cells = finished.card.columns()
    if cells:
        table(finished.card.title, list(cells), list(zip(*cells.values(), strict=True)))
    for line in finished.card.notes():
        note(line)
    for file in finished.files:
        note(str(file))
