"""What verbs share: names that complete, models from names, configs and files, and arguments that several take."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from zoo import config

if TYPE_CHECKING:
    from zoo.core.diffusion import Diffusion

Complete = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]

WEIGHTS = (".safetensors", ".pt", ".pth", ".ckpt", ".bin")


def complete(kind: str) -> Complete:
    """A completer over a kind of the registry, or "models"; loads no torch."""

    def completer(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
        from zoo.listing import names

        found = [CompletionItem(name) for name in names(kind, f"{incomplete}*")]
        return found or [CompletionItem(incomplete, type="file")]

    return completer


def is_file(model: str) -> bool:
    """Whether this means a file or folder of weights and not a config, whose name wins over a folder of that name."""
    if model in config.names():
        return False
    return model.endswith(WEIGHTS) or (Path(model).exists() and not model.endswith((".yaml", ".yml", ".json")))


def foreign_hint(model: str) -> str:
    """What to do with a file that the zoo did not write, as the next line of a message; else empty."""
    from zoo.header import is_model

    if not Path(model).is_file() or not Path(model).stat().st_size or is_model(model):
        return ""
    return "\n    'zoo convert' makes a model of other people's weights"


def opened(model: str, overrides: Sequence[str], *, random_weights: bool = False, untrained_by: str = "") -> Diffusion:
    """A model with its weights.

    Args:
        model: the name of a config with shipped weights, a config, or a file of weights.
        overrides: ``key=value`` arguments over a config.
        random_weights: build the config without weights.
        untrained_by: the option of the verb that asks for ``random_weights``, for the message that suggests it.
    """
    from zoo import checkpoint, factory, loading

    if is_file(model):
        if overrides:
            raise click.UsageError(f"{model} is a file of weights and holds its config; leave out {overrides[0]!r}")
        return loading.load_model(model)
    loaded = config.load(model, command_line=overrides)
    tree = config.resolve(loaded)
    if random_weights or not _trained(tree):
        return factory.assemble(tree).eval()
    try:
        weights = checkpoint.shipped(loaded.name)
    except checkpoint.CheckpointError as error:
        reason = str(error).partition(". ")[0]
        other = f", or add {untrained_by}" if untrained_by else ""
        raise click.ClickException(f"{reason}\n    give a file of weights in its place{other}") from None
    built = factory.assemble(tree, empty=True)
    checkpoint.fill(built, weights)
    return built.eval()


def check_out(out: Path) -> None:
    """Refuse a file that cannot be written, before the work and not after it."""
    if not out.parent.is_dir():
        raise click.UsageError(f"--out: there is no folder {str(out.parent)!r}")
    if not os.access(out.parent, os.W_OK):
        raise click.UsageError(f"--out: nothing can be written into the folder {str(out.parent)!r}")


def check_new_model(out: Path, *, force: bool) -> None:
    """Refuse a file that is not for a model, is there already, or cannot be written."""
    if out.suffix != ".safetensors":
        raise click.UsageError(f"--out: {out.name!r} is no .safetensors file")
    if out.exists() and not force:
        raise click.UsageError(f"--out: {str(out)!r} exists; --force replaces it")
    check_out(out)


def shape_of(text: str | None) -> tuple[int, ...] | None:
    """``3,32,32`` as numbers."""
    if text is None:
        return None
    try:
        sides = tuple(int(side) for side in text.split(","))
    except ValueError:
        sides = (0,)
    if min(sides) < 1:
        raise click.UsageError(f"--shape: expected the sides of one sample such as 3,32,32, got {text!r}")
    return sides


def _trained(tree: dict[str, object]) -> bool:
    """Whether the denoiser has anything to train; an analytic one is complete as it is."""
    from registry import denoisers

    denoiser = tree["denoiser"]
    assert isinstance(denoiser, dict)
    return not denoisers.entry(denoiser["name"]).facts.get("analytic", False)


def spec_of(text: str | None) -> dict[str, Any] | None:
    """``ddim eta=0.5`` as ``{name: ddim, eta: 0.5}``."""
    if text is None:
        return None
    from zoo.config.compose import from_command_line

    name, *arguments = _pieces(text) or [""]
    return {"name": name, **from_command_line(arguments).tree}


def _pieces(text: str) -> list[str]:
    """What stands between blanks, those in quotes and brackets left aside."""
    found, quote, depth = [""], "", 0
    for sign in text:
        if sign.isspace() and not quote and depth <= 0:
            found.append("")
            continue
        found[-1] += sign
        if quote:
            quote = "" if sign == quote else quote
        elif sign in "'\"":
            quote = sign
        else:
            depth += (sign in "[{") - (sign in "]}")
    return [piece for piece in found if piece]


guidance_option = click.option(
    "--guidance",
    multiple=True,
    shell_complete=complete("guidances"),
    help="Scale of classifier-free guidance, 1 is none; or a name, with arguments: 'cfg scale=2 rescale=0.7'. Several "
    "are applied in their order.",
)
"""Of the verbs that sample; :func:`guidance_of` reads it."""


def guidance_of(texts: Sequence[str]) -> float | list[dict[str, Any]] | None:
    """``2`` as the scale of classifier-free guidance, ``cfg scale=2`` as a spec; several in their order."""
    if len(texts) == 1 and (scale := _number(texts[0])) is not None:
        return scale
    specs = [spec_of(text if _number(text) is None else f"cfg scale={text}") for text in texts]
    return [spec for spec in specs if spec is not None] or None


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
