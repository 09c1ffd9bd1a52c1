"""``zoo data``."""

from __future__ import annotations

import click

from zoo.cli.verbs import Verbs

_VERBS = {
    "show": "What a model will see of your pictures, and what is wrong with them.",
}


@click.group("data", cls=Verbs, verbs=_VERBS, package="zoo.cli.data")
def command() -> None:
    """Data: what there is to learn from, before a model is trained.

    \b
    zoo data show ~/Pictures/cat --out sheet.png
    """
