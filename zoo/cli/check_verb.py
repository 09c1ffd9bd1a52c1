"""``zoo check``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from registry import RegistryError
from zoo import config
from zoo.cli.model_argument import complete, foreign_hint, is_file
from zoo.cli.output import as_json, fail


@click.command("check")
@click.argument("paths", nargs=-1, required=True, shell_complete=complete("models"))
@click.option("--json", "json_", is_flag=True, help="For programs.")
def command(paths: tuple[str, ...], json_: bool) -> None:
    """Say what is wrong with a config or a file of weights.

    PATHS are YAML files, names of configs, or files of weights, whose hash is compared. Exit code 2 when anything is
    wrong.

    \b
    zoo check my.yaml runs/cat/model.safetensors
    """
    found = {path: _problems(path) for path in paths}
    if json_:
        as_json(found)
    else:
        for path, problems in found.items():
            for problem in problems:
                fail(problem)
            if not problems:
                click.echo(f"{path}: ok")
    if any(found.values()):
        sys.exit(2)


def _problems(path: str) -> list[str]:
    from zoo.core.errors import ZooError

    try:
        if is_file(path) or (Path(path).suffix == ".safetensors"):
            return _of_weights(path)
        loaded = config.load(path)
        return [str(problem) for problem in config.check(loaded)] or _of_values(config.resolve(loaded))
    except (RegistryError, ZooError) as error:
        return [f"{error}{foreign_hint(path) if is_file(path) else ''}"]


def _of_values(tree: dict[str, Any]) -> list[str]:
    """What only building finds: values of the right type that make no sense. No weight is made for it."""
    from zoo.core.errors import ZooError
    from zoo.factory import check_mix, make
    from zoo.training import matching
    from zoo.training.settings import Settings

    def trained() -> None:
        settings = Settings(**tree.get("training", {}))
        if "denoiser" in tree:
            matching.check(tree, settings)

    def mixed() -> None:
        check_mix(make(tree, empty=True))

    problems = []
    for attempt in (mixed, trained):
        try:
            attempt()
        except (RegistryError, ZooError) as error:
            problems.append(str(error))
    return problems


def _of_weights(path: str) -> list[str]:
    from zoo import checkpoint

    checkpoint.verify(path)
    return [str(problem) for problem in config.check(dict(checkpoint.read_config(path)))]
