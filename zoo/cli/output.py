"""What verbs print with: tables, trees and complaints."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.progress import Progress, ProgressColumn


def fail(message: str, *, hint: str = "") -> None:
    """One complaint on stderr."""
    click.echo(click.style("error: ", fg="red", bold=True) + message, err=True)
    if hint:
        click.echo(f"    {hint}", err=True)


def note(message: str) -> None:
    """A remark beside the result, on stderr, so that pipes stay clean."""
    click.echo(message, err=True)


def as_json(value: Any) -> None:
    """A result for programs, on stdout."""
    click.echo(json.dumps(value, indent=2, default=str))


def bar(*columns: ProgressColumn) -> Progress:
    """A progress bar on stderr, silent when nobody is looking."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


def terminal() -> bool:
    """Whether a human is looking."""
    return sys.stdout.isatty()


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[int] = ()) -> None:
    """A table: drawn for a terminal, aligned plain text for a pipe.

    Args:
        title: stands above it.
        columns: heads.
        rows: cells; a row of empty cells draws a rule.
        right: numbers of the columns that are aligned to the right.
    """
    if not terminal():
        widths = [max(map(len, column)) for column in zip(columns, *rows, strict=True)]
        if title:
            click.echo(title)
        for row in (columns, *rows):
            cells = [
                cell.rjust(width) if place in right else cell.ljust(width)
                for place, (cell, width) in enumerate(zip(row, widths, strict=True))
            ]
            click.echo("  ".join(cells).rstrip())
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table

    drawn = Table(title=title or None, title_justify="left", box=box.SIMPLE_HEAD, title_style="bold")
    for place, name in enumerate(columns):
        drawn.add_column(name, justify="right" if place in right else "left", style="cyan" if place == 0 else None)
    for row in rows:
        if not any(row):
            drawn.add_section()
        else:
            drawn.add_row(*row)
    Console().print(drawn)
