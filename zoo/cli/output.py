"""What verbs print with: tables, trees and complaints."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.progress import Progress, ProgressColumn

_NARROW = 14


def colour() -> bool | None:
    """False where nobody wants any; None leaves it to the stream."""
    return False if os.environ.get("NO_COLOR") else None


def fail(message: str, *, hint: str = "") -> None:
    """One complaint on stderr."""
    click.echo(click.style("error: ", fg="red", bold=True) + message, err=True, color=colour())
    if hint:
        click.echo(f"    {hint}", err=True)


def note(message: str) -> None:
    """A remark beside the result, on stderr, so that pipes stay clean."""
    click.echo(message, err=True)


def as_json(value: Any) -> None:
    """A result for programs, on stdout."""
    click.echo(json.dumps(value, indent=2, default=str))


def bar(*columns: ProgressColumn, silent: bool = False) -> Progress:
    """A progress bar on stderr, silent when nobody is looking, or when asked to be."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    return Progress(*columns, console=console, transient=True, disable=silent or not console.is_terminal)


def terminal() -> bool:
    """Whether a human is looking."""
    return sys.stdout.isatty()


def width() -> int:
    """Columns of the terminal."""
    return shutil.get_terminal_size().columns


def table(
    title: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    right: Sequence[int] = (),
    prose: Sequence[int] = (),
) -> None:
    """A table: drawn for a terminal, aligned plain text for a pipe.

    Args:
        title: stands above it.
        columns: heads.
        rows: cells; a row of empty cells draws a rule. A second line of a cell is what differs from the first: a
            terminal shows it below in colour, a pipe as ``first | second``.
        right: numbers of the columns that are aligned to the right.
        prose: numbers of the columns that a narrow terminal breaks before any other.
    """
    if terminal():
        _drawn(title, columns, rows, right, prose)
        return
    lines = [[cell.replace("\n", " | ") for cell in row] for row in (columns, *rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    if title:
        click.echo(title)
    for line in lines:
        cells = [
            cell.rjust(wide) if place in right else cell.ljust(wide)
            for place, (cell, wide) in enumerate(zip(line, widths, strict=True))
        ]
        click.echo("  ".join(cells).rstrip())


def _drawn(
    title: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    right: Sequence[int],
    prose: Sequence[int],
) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(width=width())
    cells = [max(len(line) for row in rows for line in row[place].split("\n")) for place in range(len(columns))]
    gaps = len(columns) - 1
    roomy = sum(map(max, zip(cells, map(len, columns), strict=True))) + 2 * gaps <= console.width
    # nothing is ever cut: prose breaks first, else whatever is widest
    firm = roomy or bool(prose) or sum(cells) + gaps <= console.width
    drawn = Table(
        title=Text(title, "bold", justify="left") if title else None,
        title_justify="left",
        box=box.HORIZONTALS,
        show_edge=False,
        pad_edge=False,
        padding=(0, 1 if roomy or prose else 0, 0, 0),
    )
    for place, name in enumerate(columns):
        drawn.add_column(
            Text(name if roomy else name.replace(" ", "\n")),
            justify="right" if place in right else "left",
            style="cyan" if place == 0 else None,
            no_wrap=firm and place not in prose and (place == 0 or roomy or not prose),
            overflow="fold",
            max_width=_NARROW if prose and not roomy and place and place not in prose else None,
        )
    for row in rows:
        if any(row):
            drawn.add_row(*(Text("\n").join((Text(a), Text(b, "yellow"))) if b else Text(a) for a, b in map(_two, row)))
        else:
            drawn.add_section()
    console.print(drawn)


def _two(cell: str) -> tuple[str, str]:
    first, _, second = cell.partition("\n")
    return first, second
