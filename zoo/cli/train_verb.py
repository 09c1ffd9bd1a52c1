"""``zoo train``."""

from __future__ import annotations

from pathlib import Path

import click

from zoo.cli.model_argument import complete
from zoo.cli.output import bar, note


@click.command("train")
@click.argument("config", shell_complete=complete("models"))
@click.argument("overrides", nargs=-1)
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), help="Folder of the run.  [default: runs/CONFIG]"
)
@click.option("--fresh", is_flag=True, help="Refuse to continue a run that the folder holds.")
@click.option("--device", help="cpu, cuda, ...  [default: the GPU when there is one]")
def command(config: str, overrides: tuple[str, ...], out: Path | None, fresh: bool, device: str | None) -> None:
    """Train a model on your own data.

    CONFIG is a name or a YAML file, OVERRIDES are key=value. A run that was stopped, or killed, goes on where it was.

    \b
    zoo train ddpm-digits --out runs/digits
    zoo train ddpm-cifar10 data='{name: images, path: ~/Pictures/cat}' training.batch_size=32 --out runs/cat
    zoo train ddpm-mnist data.path=package/src/digits training.steps=2000
    """
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

    from zoo.training import events
    from zoo.training.progress import Finished, Sampled, Saved, Started, Stepped

    folder = out or Path("runs") / Path(config).stem
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=12),
        MofNCompleteColumn(),
        TextColumn("{task.fields[told]}"),
        TimeRemainingColumn(),
    )
    saved = 0
    with bar(*columns) as progress:
        task = progress.add_task("training", total=None, told="")
        try:
            for event in events(config, out=folder, command_line=overrides, device=device, resume=not fresh):
                match event:
                    case Started():
                        where = f", from step {event.step}" if event.step else ""
                        note(f"{event.data}; {event.parameters:,} parameters on {event.device}{where}")
                        progress.update(task, total=event.steps, completed=event.step)
                        saved = event.step
                    case Stepped():
                        told = (
                            f"loss {event.loss:.4f} lr {event.learning_rate:.1e} {event.images_per_second:.0f} images/s"
                        )
                        progress.update(task, completed=event.step, told=told)
                    case Sampled():
                        note(f"step {event.step}: samples in {event.path}")
                    case Saved():
                        saved = event.step
                        if progress.disable:
                            note(f"step {event.step}: saved {event.path}")
                    case Finished():
                        progress.update(task, completed=event.step)
                        note(f"{event.path}: trained for {event.step} steps")
        except KeyboardInterrupt:
            if saved:
                note(f"{folder} holds step {saved}; the same command goes on from there")
            raise
