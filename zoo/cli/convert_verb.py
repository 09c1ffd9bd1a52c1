"""``zoo convert``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from zoo.cli.model_argument import check_new_model, check_out, complete
from zoo.cli.output import as_json, note

if TYPE_CHECKING:
    from zoo.importers.base import Report

_SHOWN = 4


@click.command("convert")
@click.argument("source", type=click.Path(exists=True, path_type=Path))
@click.argument("overrides", nargs=-1)
@click.option("--out", required=True, type=click.Path(path_type=Path), help="A .safetensors file; with --to a folder.")
@click.option("--to", type=click.Choice(["diffusers"]), help="Write as another project reads it.")
@click.option("--format", "format_", shell_complete=complete("importers"), help="The importer, when it cannot be told.")
@click.option("--config", multiple=True, help="The foreign config: a YAML or JSON file, or one field as key=value.")
@click.option(
    "--weights", type=click.Choice(["ema", "raw"]), help="Which copy.  [default: the average if there is one]"
)
@click.option("--half", is_flag=True, help="Store parameters in float16.")
@click.option("--force", is_flag=True, help="Replace a file that is there.")
@click.option("--json", "json_", is_flag=True, help="For programs.")
def command(
    source: Path,
    overrides: tuple[str, ...],
    out: Path,
    to: Literal["diffusers"] | None,
    format_: str | None,
    config: tuple[str, ...],
    weights: Literal["ema", "raw"] | None,
    half: bool,
    force: bool,
    json_: bool,
) -> None:
    """Turn somebody else's checkpoint into one safetensors file.

    SOURCE is a file or a folder; it is only read. `zoo list importers` shows the formats. With --to, OVERRIDES such as
    `sampling.spacing=trailing` sample otherwise there than here.

    \b
    zoo convert ckpt.pth --format ddim --config cifar10.yml --out model.safetensors
    zoo convert ckpt.pth --format ddim --config data.image_size=32 --out model.safetensors
    zoo convert model.safetensors --to diffusers --out pipeline
    """
    if to is not None and (force or out.suffix == ".safetensors"):
        raise click.UsageError(f"--to {to} writes a new folder: --out names one, and --force replaces none")
    if to is None and overrides:
        raise click.UsageError(f"{overrides[0]!r}: overrides go with --to; a foreign config is given by --config")
    if to is None:
        check_new_model(out, force=force)
    else:
        check_out(out)
    import torch

    from zoo import checkpoint, exporting, loading
    from zoo.config.compose import from_command_line
    from zoo.importers.fields import MissingField

    reports: list[Report] = []
    try:
        model = loading.load(source, format=format_, config=_foreign(config), weights=weights, report=reports.append)
    except MissingField as error:
        raise click.ClickException(f"{error}\n    here: --config FILE, or --config FIELD=VALUE") from error
    report = reports[0] if reports else None
    held = {} if report else checkpoint.read_header(source).metadata
    copy = report.weights if report else held.get("zoo.weights", "unknown")
    step = report.step if report else int(held["zoo.step"]) if "zoo.step" in held else None
    unsaid: list[str] = []
    if to is not None:
        unsaid = exporting.export(model, out, format=to, half=half, **from_command_line(list(overrides)).tree)
    else:
        checkpoint.save(model, out, step=step, weights=copy, dtype=torch.float16 if half else None)  # type: ignore[arg-type]
    parameters = sum(parameter.numel() for parameter in model.parameters())
    if json_:
        told = {} if report is None else {key: getattr(report, key) for key in ("importer", "weights", "step")}
        lists = {} if report is None else {key: list(getattr(report, key)) for key in ("kept", "dropped", "assumed")}
        as_json({"out": str(out), "parameters": parameters, **told, **lists, **({"unsaid": unsaid} if to else {})})
        return
    if report is not None:
        note(f"importer {report.importer}, {report.weights} weights: {len(report.kept)} tensors kept")
        if report.dropped:
            more = (
                f" and {len(report.dropped) - _SHOWN} more (--json lists them)" if len(report.dropped) > _SHOWN else ""
            )
            note(f"dropped: {', '.join(report.dropped[:_SHOWN])}{more}")
        for title, lines in (("assumed", report.assumed), ("note", report.remarks)):
            for line in lines:
                note(f"{title}: {line}")
    for line in unsaid:
        note(f"note: {line}")
    note(f"{out}: {parameters:,} parameters")


def _foreign(given: tuple[str, ...]) -> dict[str, Any] | str | None:
    """A file as it is, or fields as a mapping."""
    fields = [one for one in given if "=" in one and not Path(one).exists()]
    if len(fields) < len(given):
        if len(given) > 1:
            raise click.UsageError("--config: give one file, or fields as key=value")
        return given[0]
    from zoo.config.compose import from_command_line

    return from_command_line(fields).tree if fields else None
