"""``zoo show``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from zoo import config
from zoo.cli.model_argument import complete, is_file
from zoo.cli.output import as_json, table, terminal

if TYPE_CHECKING:
    from zoo.description import Description, SideBySide


@click.command("show")
@click.argument("names", nargs=-1, required=True, shell_complete=complete("models"))
@click.option("--layers", is_flag=True, help="How the size comes about, level by level; two names stand side by side.")
@click.option("--shape", help="Of one sample, where the config leaves it open: 128,860.")
@click.option("--json", "json_", is_flag=True, help="For programs.")
def command(names: tuple[str, ...], layers: bool, shape: str | None, json_: bool) -> None:
    """A config in full, with every default; or how the size of a model comes about.

    NAMES are configs, YAML files or files of weights, and key=value overrides for all of them.

    \b
    zoo show ddpm-cifar10
    zoo show ddpm-cifar10 --layers
    zoo show ddpm-cifar10 ddpm-celeba-64 --layers
    zoo show ddpm-cifar10 denoiser.channel_mult=[1,2,4] --layers
    """
    models = [name for name in names if "=" not in name]
    overrides = [name for name in names if "=" in name]
    if not models:
        raise click.UsageError("name a config to show, such as ddpm-cifar10")
    trees = [_tree(model, overrides) for model in models]
    if layers:
        _layers(models, trees, shape, json_)
    elif json_:
        as_json(trees[0] if len(trees) == 1 else dict(zip(models, trees, strict=True)))
    else:
        for model, tree in zip(models, trees, strict=True):
            _yaml(model if len(models) > 1 else "", tree)


def _tree(model: str, overrides: list[str]) -> dict[str, Any]:
    if not is_file(model):
        return config.resolve(config.load(model, command_line=overrides))
    from zoo.header import read_config

    return dict(read_config(model))


def _yaml(title: str, tree: dict[str, Any]) -> None:
    text = (f"# {title}\n" if title else "") + config.dump(tree)
    if not terminal():
        click.echo(text, nl=False)
        return
    from rich.console import Console
    from rich.syntax import Syntax

    Console().print(Syntax(text, "yaml", background_color="default", word_wrap=True))


def _layers(models: list[str], trees: list[dict[str, Any]], shape: str | None, json_: bool) -> None:
    from zoo.description import compare, describe
    from zoo.factory import assemble

    if len(models) > 2:
        raise click.UsageError(f"--layers compares two models, got {len(models)}")
    size = _shape(shape)
    tables = [describe(assemble(tree, empty=True), size, name=model) for model, tree in zip(models, trees, strict=True)]
    if len(tables) == 2:
        both = compare(*tables)
        if json_:
            as_json(both.to_dict())
        else:
            _side_by_side(both)
    elif json_:
        as_json(tables[0].to_dict())
    else:
        _alone(tables[0])


def _shape(text: str | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    try:
        return tuple(int(side) for side in text.split(","))
    except ValueError:
        raise click.UsageError(f"--shape: expected numbers such as 3,32,32, got {text!r}") from None


def _alone(one: Description) -> None:
    from zoo.description import HEADER

    rows = [row.cells() for row in one.rows]
    title = f"{one.name}: one sample of {' x '.join(map(str, one.shape))}, memory in float32"
    table(title, HEADER, [*rows, ("",) * len(HEADER), one.total.cells()], right=range(2, len(HEADER)))


def _side_by_side(both: SideBySide) -> None:
    heads = ("part", "size", "channels", "blocks", "attention", "params", "MACs", "train act.", "infer act.")
    rows: list[tuple[str, ...]] = []
    for left, right in both.rows():
        cells = [("",) * 9 if row is None else row.cells() for row in (left, right)]
        pairs = [_differing(a, b) for a, b in zip(cells[0][1:], cells[1][1:], strict=True)]
        rows.append((cells[0][0] or cells[1][0], *pairs))
    rows.insert(-1, ("",) * len(heads))
    ratios = both.ratios()
    times = [f"x {ratios[key]:.3g}" for key in ("parameters", "macs", "saved_bytes", "peak_bytes")]
    rows.append((f"{both.b.name} / {both.a.name}", "", "", "", "", *times))
    sizes = [" x ".join(map(str, side.shape)) for side in (both.a, both.b)]
    table(f"{both.a.name} ({sizes[0]}) | {both.b.name} ({sizes[1]})", heads, rows, right=range(1, len(heads)))


def _differing(a: str, b: str) -> str:
    return a if a == b else f"{a or '-'} | {b or '-'}"
