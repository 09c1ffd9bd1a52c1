"""``zoo list``."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import click

from registry import broken, kinds
from zoo import backbones
from zoo.cli.model_argument import complete
from zoo.cli.output import as_json, note, table, terminal, width
from zoo.config import find
from zoo.listing import kinds_matching, summaries

# From here on there is room for the papers beside the summaries
_WIDE = 150


def _kinds(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    return [kind for kind in (*kinds, "backbones", "models") if kind.startswith(incomplete)]


@click.command("list")
@click.argument("kind", default="*", shell_complete=_kinds)
@click.argument("pattern", default="*", shell_complete=complete("*"))
@click.option("--json", "json_", is_flag=True, help="For programs.")
def command(kind: str, pattern: str, json_: bool) -> None:
    """What the zoo holds, by name.

    KIND is one in the plural (models, denoisers, samplers, schedules, ...), or a pattern over them; PATTERN is matched
    with the names.

    \b
    zoo list                       everything
    zoo list samplers              with order, evaluations and noise
    zoo list models 'ddpm-*'
    zoo list backbones 'convnext*' timm's models, and which denoiser takes them
    """
    found = {one: _rows(one, pattern) for one in kinds_matching(kind)}
    if json_:
        as_json(found)
    else:
        for one, rows in found.items():
            if rows:
                _print(one, rows)
        if not any(found.values()):
            note(f"nothing matches {pattern!r}")
    for plugin in (*broken(), *find.broken()):
        note(f"broken plug-in: {plugin.kind} {plugin.name!r} of {plugin.owner}: {plugin.reason}")


def _rows(kind: str, pattern: str) -> list[dict[str, Any]]:
    if kind == "backbones":
        return [asdict(row) for row in backbones.table(pattern)]
    if kind == "models":
        return [{"name": name, "summary": summary} for name, summary in summaries(pattern).items()]
    registry = kinds[kind]
    entries = [registry.entry(name) for name in registry.names(pattern)]
    return [
        {"name": entry.name, **entry.facts, "summary": entry.summary, "paper": entry.paper, "owner": entry.owner}
        for entry in entries
    ]


def _print(kind: str, rows: list[dict[str, Any]]) -> None:
    left_out = set() if terminal() and width() >= _WIDE else {"paper"}
    if all(row.get("owner") == "zoo" for row in rows):
        left_out.add("owner")
    keys = [key for key in dict.fromkeys(key for row in rows for key in row) if key not in left_out]
    keys = [key for key in keys if any(row.get(key) not in ("", None) for row in rows)]
    # The summary stands last but for the paper, after the facts
    keys.sort(key=lambda key: {"name": 0, "summary": 2, "note": 2, "paper": 3, "owner": 4}.get(key, 1))
    prose = [place for place, key in enumerate(keys) if key in ("summary", "note", "paper")]
    cells = [[_text(row.get(key, "")) for key in keys] for row in rows]
    table(kind, [key.replace("_", " ") for key in keys], cells, prose=prose)
    if terminal():
        click.echo()


def _text(value: Any) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)
