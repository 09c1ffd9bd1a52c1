"""``zoo data show``."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import click

from zoo.cli.model_argument import check_out, complete, is_file, shape_of
from zoo.cli.output import as_json, note, table
from zoo.cli.watching import watched

_SHAPE = (3, 64, 64)


@click.command("show")
@click.argument("source", metavar="FOLDER|CONFIG", shell_complete=complete("models"))
@click.argument("overrides", nargs=-1)
@click.option("--config", help="Of the model that a folder is for.", shell_complete=complete("models"))
@click.option("--shape", help="Of the model, where no config says it.  [default: 3,64,64]")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="A .png of what the model will see.")
@click.option("-n", "--number", type=click.IntRange(min=1), default=96, show_default=True, help="Pictures in it.")
@click.option(
    "--near",
    type=click.FloatRange(0.0, 2.0),
    default=0.2,
    show_default=True,
    help="Pictures that are no farther apart, in units of their contrast, are taken for the same.",
)
@click.option("--seed", type=click.IntRange(0, 2**62), default=0, show_default=True, help="Of the choice of pictures.")
@click.option("--json", "json_", is_flag=True, help="For programs.")
def command(
    source: str,
    overrides: tuple[str, ...],
    config: str | None,
    shape: str | None,
    out: Path | None,
    number: int,
    near: float,
    seed: int,
    json_: bool,
) -> None:
    """What a model will see of your pictures, and what is wrong with them.

    FOLDER is one of pictures; CONFIG is a name, or the file of a config or of a model, that says what data is trained
    on; OVERRIDES are key=value over the config. Pictures that are there twice are put into a second file beside the
    first. Latents are shown in false colours.

    \b
    zoo data show ~/Pictures/cat --out sheet.png
    zoo data show ~/Pictures/cat --shape 3,32,32 data.class_folders=true --out sheet.png
    zoo data show ~/Pictures/cat --config ddpm-emoji data.buckets=true --out sheet.png
    zoo data show ddpm-mnist data.path=package --out digits.png
    zoo data show ddpm-emoji data='{name: shards, path: "data-{000..012}.tar"}' --out sheet.png
    """
    if math.isnan(near):  # which no bound of a range holds back
        raise click.UsageError("--near: expected a number from 0 to 2, got nan")
    if out is not None:
        if out.suffix.lower() != ".png":
            raise click.UsageError(f"--out: {out.name!r} is not a .png file")
        check_out(out)
    tree = _tree(source, overrides, config, shape_of(shape))

    from registry import data as datasets
    from zoo import survey

    note("reading")
    dataset = datasets.build(tree["data"], path="data", shape=tree.get("shape"), voice=tree.get("voice"))
    found = watched(survey.events(dataset, number=number, near=near, seed=seed))
    if json_:
        as_json(found.to_dict())
    else:
        table("", ("", "what a model will see"), found.rows())
    for remark in found.remarks:
        note(f"- {remark}")
    if out is not None:
        found.sheet.save(out)
        note(f"{out}: pictures as the model sees them")
        if found.duplicates is not None:
            beside = out.with_stem(f"{out.stem}-duplicates")
            found.duplicates.save(beside)
            note(f"{beside}: pictures that are there twice")


def _tree(source: str, overrides: tuple[str, ...], name: str | None, shape: tuple[int, ...] | None) -> dict[str, Any]:
    """A config with the data that is meant; for a folder by itself, no more than that and the shape."""
    from registry import suggest
    from zoo import checkpoint, config

    is_folder = source not in config.names() and Path(source).expanduser().is_dir()
    if not is_folder and name is None and not Path(source).exists() and not suggest(source, config.names()):
        raise click.UsageError(f"{source!r} is neither a folder of pictures nor a config or a file of one")
    if name is not None and not is_folder:
        raise click.UsageError(f"--config says what model a folder is for, and {source!r} is no folder")
    if is_folder and name is None:
        wanted = list(shape or _SHAPE)
        images = {"name": "images", "path": source}
        tree = config.load({"shape": wanted, "data": images}, command_line=overrides).tree
        if strange := next((key for key in tree if key not in ("shape", "data")), None):
            raise click.UsageError(
                f"{strange}: of a folder, data.KEY=VALUE can be set; add --config for a model's keys"
            )
        return tree
    model = source if name is None else name
    base = checkpoint.read_config(Path(model)) if is_file(model) else model
    given: dict[str, Any] = {} if shape is None else {"shape": list(shape)}
    if is_folder:
        own = config.load(base).tree.get("data") or {}
        # the model's own way to read a folder: its classes, its cut
        given["data"] = {"path": source} if "path" in own else {"name": "images", "path": source}
    tree = config.resolve(config.load(base, overrides=given, command_line=overrides))
    if tree.get("data") is None:
        raise click.UsageError(
            f"{source} does not say what data it is trained on: show a folder instead, "
            f"zoo data show FOLDER --config {source}"
        )
    return tree
