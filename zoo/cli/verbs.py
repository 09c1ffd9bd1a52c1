"""Groups of verbs that are imported when they are called."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import click

from registry import suggest


class Verbs(click.Group):
    """Verbs by name; only the one that is called is imported.

    Args:
        verbs: name -> what it does, in one line.
        package: where ``<name>_verb`` is.
    """

    def __init__(self, *args: Any, verbs: Mapping[str, str], package: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._verbs, self._package = verbs, package

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(self._verbs)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self._verbs:
            return None
        command: click.Command = importlib.import_module(f"{self._package}.{cmd_name}_verb").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Verbs"):
            formatter.write_dl(sorted(self._verbs.items()))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not args[0].startswith("-") and args[0] not in self._verbs:
            near = suggest(args[0], self._verbs)
            raise click.UsageError(f"no verb {args[0]!r}" + (f"; did you mean {near!r}?" if near else ""), ctx)
        return super().resolve_command(ctx, args)
