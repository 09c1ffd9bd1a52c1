"""``zoo compare``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from zoo.cli.model_argument import complete, is_file
from zoo.cli.output import as_json, table

if TYPE_CHECKING:
    from torch import nn

    from zoo.comparison import Comparison, OldModule
    from zoo.core.diffusion import Diffusion


@click.command("compare")
@click.argument("a", shell_complete=complete("models"))
@click.argument("b", required=False, shell_complete=complete("models"))
@click.option("--config", type=click.Path(exists=True, dir_okay=False), help="The YAML or JSON of foreign files.")
@click.option("--format", "format_", shell_complete=complete("importers"), help="The importer of foreign files.")
@click.option("--old", metavar="FILE:CLASS", help="An old network in place of B; this runs its code.")
@click.option("--old-root", type=click.Path(exists=True, file_okay=False), help="Where its imports start from.")
@click.option(
    "--old-config", type=click.Path(exists=True, dir_okay=False), help="Fills its hparams.  [default: --config]"
)
@click.option("--old-args", multiple=True, metavar="NAME=VALUE", help="An argument of its constructor; repeatable.")
@click.option("--inputs", type=click.Path(exists=True, dir_okay=False), help="A .safetensors with x, t, cond, ...")
@click.option("--names", multiple=True, metavar="A=B", help="A module of A, and its name in B; repeatable.")
@click.option("--rtol", type=click.FloatRange(min=0), help="Noise, as part of a tensor's largest number.")
@click.option("--atol", type=click.FloatRange(min=0), default=1e-9, show_default=True, help="Noise, in numbers.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of random inputs.")
@click.option("--json", "json_", is_flag=True, help="For programs.")
def command(
    a: str,
    b: str | None,
    config: str | None,
    format_: str | None,
    old: str | None,
    old_root: str | None,
    old_config: str | None,
    old_args: tuple[str, ...],
    inputs: str | None,
    names: tuple[str, ...],
    rtol: float | None,
    atol: float,
    seed: int,
    json_: bool,
) -> None:
    """Two networks side by side, layer by layer: where they part, and by how much.

    A and B are files or folders of weights, in any format that `zoo list importers` shows, or names of configs. Both
    get the same random inputs. With --old, the weights of A go into a class of your own, which takes the place of B.

    Exit code 0 when they are equal, 1 when they differ.

    \b
    zoo compare model_ckpt_steps_100000.ckpt model.safetensors --config config.yaml
    zoo compare model.safetensors --old network/diff/net.py:DiffNet --old-root . --old-config config.yaml
    """
    if (b is None) == (old is None):
        raise click.UsageError("name B, or an old class by --old FILE:CLASS" + ("" if b is None else ", not both"))
    if old is None and (old_root or old_config or old_args):
        raise click.UsageError("--old-root, --old-config and --old-args belong to --old FILE:CLASS")
    from zoo.comparison import compare

    pairs = dict(_split("--names", name) for name in names)
    one = _opened(a, config, format_)
    other: nn.Module = (
        _old(a, one, old, old_root, old_config or config, old_args) if old else _opened(b, config, format_)
    )
    result = compare(one, other, _inputs(inputs), names=pairs, rtol=rtol, atol=atol, seed=seed)
    result = replace(result, a=f"{a}: {result.a}", b=f"{old or b}: {result.b}")
    if json_:
        as_json(result.to_dict())
    else:
        _printed(result)
    sys.exit(0 if result.equal else 1)


def _opened(model: str | None, config: str | None, format_: str | None) -> Diffusion:
    """A model; the foreign config goes to foreign files alone."""
    from zoo import checkpoint, loading
    from zoo.cli.model_argument import opened

    assert model is not None
    path = Path(model)
    if not path.exists() or checkpoint.is_model(path) or not is_file(model):
        return opened(model, ())
    return loading.load_model(path, config=config, format=format_)


def _old(a: str, model: Diffusion, spec: str, root: str | None, config: str | None, args: Sequence[str]) -> OldModule:
    from zoo.comparison import old_module
    from zoo.config.compose import from_command_line

    # as they stand in the file, where that is one: then nothing of ours comes between it and the old class
    weights = a if Path(a).is_file() and is_file(a) else model.denoiser.state_dict()
    return old_module(spec, root=root, config=config, args=from_command_line(list(args)).tree, weights=weights)


def _inputs(path: str | None) -> dict[str, Any] | None:
    if path is None:
        return None
    from zoo.importers.source import Source

    return dict(Source(path))


def _split(option: str, text: str) -> tuple[str, str]:
    left, equals, right = text.partition("=")
    if not left or not equals or not right:
        raise click.UsageError(f"{option}: expected A=B, got {text!r}")
    return left, right


def _printed(result: Comparison) -> None:
    from zoo.comparison.report import HEADER, WEIGHT_HEADER

    click.echo(f"a  {result.a}\nb  {result.b}")
    for remark in result.remarks:
        click.echo(f"   {remark}")
    click.echo()
    if result.weights:
        table("weights", WEIGHT_HEADER, result.shown_weights(), right=(3, 4))
        if result.weights_left_out:
            click.echo(f"and {result.weights_left_out} more weights; --json has all of them")
    else:
        click.echo(f"all {result.weights_compared} weights are the same to the last bit")
    click.echo(f"\n{result.pairing_summary()}")
    for pair in result.renamed():
        click.echo(f"  {pair.a} = {pair.b} ({pair.how})")
    click.echo()
    table("layers, in the order in which they ended", HEADER, result.layer_lines(), right=(2, 3, 4))
    click.echo(f"noise is up to {result.rtol:g} of the largest number of a tensor, or {result.atol:g}")
    click.echo(click.style(result.verdict, bold=True, fg="green" if result.equal else "red"))
