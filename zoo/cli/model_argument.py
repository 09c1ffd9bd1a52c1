"""What verbs share: names that complete, and models from names, configs and files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

from zoo import config

if TYPE_CHECKING:
    from zoo.core.diffusion import Diffusion

Complete = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]

WEIGHTS = (".safetensors",)


def complete(kind: str) -> Complete:
    """A completer over a kind of the registry, or "models"; loads no torch."""

    def completer(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
        from zoo.listing import names

        found = [CompletionItem(name) for name in names(kind, f"{incomplete}*")]
        return found or [CompletionItem(incomplete, type="file")]

    return completer


def is_file(model: str) -> bool:
    """Whether this means a file of weights and not a config."""
    return model.endswith(WEIGHTS) or (Path(model).exists() and not model.endswith((".yaml", ".yml", ".json")))


def opened(model: str, overrides: Sequence[str], *, random_weights: bool = False) -> Diffusion:
    """A model with its weights.

    Args:
        model: the name of a config with shipped weights, a config, or a file of weights.
        overrides: ``key=value`` arguments over a config.
        random_weights: build the config without weights.
    """
    from zoo import checkpoint, factory, loading

    if is_file(model):
        if overrides:
            raise click.UsageError(f"{model} is a file of weights and holds its config; leave out {overrides[0]!r}")
        return loading.load(model)
    loaded = config.load(model, command_line=overrides)
    tree = config.resolve(loaded)
    built = factory.assemble(tree, empty=not random_weights and _trained(tree))
    if random_weights or not _trained(tree):
        return built.eval()
    checkpoint.fill(built, checkpoint.shipped(loaded.name))
    return built.eval()


def _trained(tree: dict[str, object]) -> bool:
    """Whether the denoiser has anything to train; an analytic one is complete as it is."""
    from registry import denoisers

    denoiser = tree["denoiser"]
    assert isinstance(denoiser, dict)
    return not denoisers.entry(denoiser["name"]).facts.get("analytic", False)
