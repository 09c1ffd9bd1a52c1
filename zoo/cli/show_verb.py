"""``zoo show``."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from zoo import config
from zoo.cli.model_argument import complete, foreign_hint, is_file, shape_of
from zoo.cli.output import as_json, table, terminal

if TYPE_CHECKING:
    from zoo.description import Description, SideBySide


@click.command("show")
@click.argument("names", nargs=-1, required=True, shell_complete=complete("models"))
@click.option("--layers", is_flag=True, help="How the size comes about, level by level; two names stand side by side.")
@click.option("--shape", help="Of one sample, where the config leaves it open: 128,860.")
@click.option("--batch", type=click.IntRange(min=1), help="Of --layers: the memory that sampling so many takes, too.")
@click.option("--guided", is_flag=True, help="Of --batch: under classifier-free guidance, which doubles the batch.")
@click.option("--json", "json_", is_flag=True, help="For programs.")
def command(
    names: tuple[str, ...], layers: bool, shape: str | None, batch: int | None, guided: bool, json_: bool
) -> None:
    """A config in full, with every default; or how the size of a model comes about.

    NAMES are configs, YAML files or files of weights; key=value changes the one before it. Several are compared, and
    a star marks what is not the same.

    \b
    zoo show ddpm-cifar10
    zoo show ddpm-cifar10 --layers
    zoo show diffnet-128mel --shape 128,860 --batch 16
    zoo show ddpm-cifar10 ddpm-celeba-64 --layers
    zoo show ddpm-cifar10 ddpm-cifar10 denoiser.channel_mult=[1,2,4] --layers
    """
    asked = _asked(names)
    titles = [" ".join((model, *changes)) for model, changes in asked]
    trees = [_tree(model, changes) for model, changes in asked]
    if guided and batch is None:
        raise click.UsageError("--guided belongs to --batch")
    if layers or batch is not None:
        _layers(titles, trees, shape, {"batch": batch, "guided": guided or None}, json_)
    elif shape is not None:
        raise click.UsageError("--shape belongs to --layers")
    elif json_:
        as_json(trees[0] if len(trees) == 1 else dict(zip(titles, trees, strict=True)))
    elif len(trees) == 1:
        _yaml(trees[0])
    else:
        _compared(titles, trees)


def _asked(names: Sequence[str]) -> list[tuple[str, list[str]]]:
    """The models, each with the changes that follow it."""
    asked: list[tuple[str, list[str]]] = []
    for name in names:
        if "=" not in name or Path(name).exists():
            asked.append((name, []))
        elif asked:
            asked[-1][1].append(name)
        else:
            raise click.UsageError(f"name a config before {name!r}, such as ddpm-cifar10")
    return asked


def _tree(model: str, changes: Sequence[str]) -> dict[str, Any]:
    if not is_file(model):
        return config.resolve(config.load(model, command_line=changes))
    from zoo.header import CheckpointError, read_config

    try:
        tree = read_config(model)
    except CheckpointError as error:
        raise click.ClickException(f"{error}{foreign_hint(model)}") from error
    return config.resolve(config.load(tree, command_line=changes)) if changes else tree


def _yaml(tree: Mapping[str, Any]) -> None:
    text = config.dump(tree)
    if not terminal():
        click.echo(text, nl=False)
        return
    from rich.console import Console
    from rich.syntax import Syntax

    Console().print(Syntax("", "yaml", theme="ansi_dark").highlight(text), end="", soft_wrap=True)


def _compared(titles: Sequence[str], trees: Sequence[Mapping[str, Any]]) -> None:
    flat = [dict(_leaves("", tree)) for tree in trees]
    rows = []
    for key in dict.fromkeys(key for one in flat for key in one):
        cells = [one.get(key, "-") for one in flat]
        rows.append(("" if len(set(cells)) == 1 else "*", key, *cells))
    table("", ("", "key", *titles), rows, prose=range(2, len(titles) + 2))


def _leaves(path: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping) and value:
        for key, below in value.items():
            yield from _leaves(f"{path}.{key}" if path else key, below)
    else:
        yield path, value if isinstance(value, str) else json.dumps(value)


def _layers(
    titles: Sequence[str],
    trees: Sequence[dict[str, Any]],
    shape: str | None,
    sampled: Mapping[str, Any],
    json_: bool,
) -> None:
    from zoo.core.device import usable
    from zoo.description import compare, describe
    from zoo.factory import make

    if len(trees) > 2:
        raise click.UsageError(f"--layers compares two models, got {len(trees)}")
    for title, tree in zip(titles, trees, strict=True):
        if shape is None and (tree.get("shape") is None or None in tree["shape"]):
            raise click.UsageError(f"{title} leaves the shape of a sample open: add --shape, such as --shape 128,860")
    size = shape_of(shape)
    how = {**sampled, "device": usable(None).type} if sampled["batch"] else {}
    tables = [
        describe(make(tree, empty=True), size, name=title, **how) for title, tree in zip(titles, trees, strict=True)
    ]
    if len(tables) == 2:
        both = compare(*tables)
        if json_:
            as_json(both.to_dict())
        else:
            _side_by_side(both)
            for one in tables:
                _memory(one)
    elif json_:
        as_json(tables[0].to_dict())
    else:
        _alone(tables[0])
        _memory(tables[0])


def _alone(one: Description) -> None:
    from zoo.description import HEADER

    rows = [row.cells() for row in one.rows]
    title = f"{one.name}: one sample of {' x '.join(map(str, one.shape))}, memory in float32"
    table(title, HEADER, [*rows, ("",) * len(HEADER), one.total.cells()], right=range(2, len(HEADER)))


def _memory(one: Description) -> None:
    """What sampling holds, and what this machine has for it."""
    if not one.memory:
        return
    from zoo.batches import allowed
    from zoo.core.device import usable
    from zoo.description import memory_table, mib

    (title,), head, *rows, total = memory_table(one.memory)
    click.echo()
    table(f"{one.name}: {title}", head, [*rows, ("",) * len(head), total], right=range(1, len(head)))
    room = int(allowed(usable(None)))
    fits = one.memory[0].total - one.memory[0].weights <= room
    told = "fits" if fits else "is walked in parts, with the same results"
    click.echo(f"a batch may take {mib(room)} here beside the weights: this one {told}")


def _side_by_side(both: SideBySide) -> None:
    from zoo.description import HEADER

    rows: list[tuple[str, ...]] = []
    for left, right in both.rows():
        cells = [("",) * len(HEADER) if row is None else row.cells() for row in (left, right)]
        pairs = [a if a == b else f"{a or '-'}\n{b or '-'}" for a, b in zip(cells[0][1:], cells[1][1:], strict=True)]
        rows.append((cells[0][0] or cells[1][0], *pairs))
    rows.insert(-1, ("",) * len(HEADER))
    ratios = both.ratios()
    times = [f"x {ratios[key]:.3g}" for key in ("parameters", "macs", "saved_bytes", "peak_bytes")]
    rows.append(("ratio", "", "", "", "", *times))
    a, b = (f"{side.name} ({' x '.join(map(str, side.shape))})" for side in (both.a, both.b))
    title = f"{a}\nbelow it, where it differs: {b}" if terminal() else f"{a} | {b}"
    table(title, HEADER, rows, right=range(1, len(HEADER)))
