"""Two networks side by side: the same inputs, every module watched, and the place named where they part.

    weights paired -> inputs made -> both run, watched -> modules paired -> inputs and outputs compared

A difference that no module shows, another function between two of them, is found as well: then the deepest module
around it is named, and the modules it lies between.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from zoo import config as configs
from zoo import factory, loading
from zoo.comparison.calling import Way, canonical, find_way
from zoo.comparison.errors import ComparisonError
from zoo.comparison.hooks import record
from zoo.comparison.inputs import garbage
from zoo.comparison.layers import Origin, Row, compare_layers
from zoo.comparison.measure import NOISE, Difference
from zoo.comparison.old import OldModule, old_module
from zoo.comparison.pairing import Pair, Side, pair_modules
from zoo.comparison.report import Comparison
from zoo.comparison.weights import Weight, compare_tensors, compare_weights
from zoo.core.diffusion import Diffusion

__all__ = [
    "Comparison",
    "ComparisonError",
    "Difference",
    "OldModule",
    "Origin",
    "Pair",
    "Row",
    "Weight",
    "compare",
    "old_module",
]

Source = Diffusion | nn.Module | str | PathLike[str]

_ATOL = 1e-9
_CONDITIONER = "conditioner"


def compare(
    a: Source,
    b: Source,
    inputs: Mapping[str, Any] | Sequence[Any] | None = None,
    *,
    names: Mapping[str, str] | None = None,
    rtol: float | None = None,
    atol: float = _ATOL,
    seed: int = 0,
) -> Comparison:
    """Compare two networks, layer by layer.

    Args:
        a: a model, any ``nn.Module``, the path of a file that ``zoo.load`` reads, or a name with shipped weights.
        b: the other. Of a model the denoiser is run, and what else it holds is compared as well.
        inputs: ``x``: (B, ...), ``t``: (B,) and conditions by name, for both, or ``(x, t, cond)``; None for random
            ones of the right shapes. Features for the conditioner (units, f0, ...) go through that of each model.
        names: modules of ``a`` and what they are called in ``b``, with all that lies below them; the others are
            paired by name, then by shape and order.
        rtol: differences up to this part of a tensor's largest number are noise; None for 1e-5 in float32, and in
            other dtypes as much as rounding costs there.
        atol: differences up to this are noise.
        seed: of random inputs.

    Returns:
        The tables, and where the two part.

    Raises:
        ComparisonError: they cannot be called with the same inputs, or ``names`` names what is not there.
        CheckpointError: a file cannot be loaded.
    """
    one, other = _opened(a), _opened(b)
    given = garbage(one, other, seed) if inputs is None else canonical(inputs)
    if "x" not in given or "t" not in given:
        raise ComparisonError(f"inputs need x and t, got {', '.join(given) or 'nothing'}")
    made = [f"inputs: random, seed {seed}"] if inputs is None else []
    (side_a, way_a), (side_b, way_b) = _watched(one, given, other), _watched(other, given, one)
    if unused := [name for name in given if name not in way_a.taken | way_b.taken]:
        raise ComparisonError(f"inputs: neither side takes {', '.join(unused)}; a is called as {way_a.text}")
    rtol = max(_noise(one), _noise(other)) if rtol is None else rtol
    pairs = pair_modules(side_a, side_b, names or {})
    weights, compared = compare_weights(side_a, side_b, pairs, rtol, atol)
    parts = compare_tensors(_parts(one), _parts(other), rtol, atol) if _models(one, other) else []
    rows, origins = compare_layers(side_a, side_b, pairs, weights, rtol, atol)
    return Comparison(
        a=_title(a, one),
        b=_title(b, other),
        rows=tuple(rows),
        origins=tuple(origins),
        weights=(*weights, *parts),
        weights_compared=compared,
        pairing=tuple(pairs),
        remarks=(*made, f"a is called as {way_a.text}", f"b is called as {way_b.text}", *_remarks(a, b)),
        rtol=rtol,
        atol=atol,
    )


def _opened(source: Source) -> nn.Module:
    """The network or model that is meant: a module is itself, an old one what it wraps."""
    if isinstance(source, OldModule):
        return source.network
    if isinstance(source, nn.Module):
        return source
    shipped = not Path(source).exists() and str(source) in configs.names()
    opened: nn.Module = factory.build(source, pretrained=True) if shipped else loading.load(source)
    return opened


def _watched(one: nn.Module, inputs: Mapping[str, Any], other: nn.Module) -> tuple[Side, Way]:
    """Run a network, or a model with its conditioner, and watch it."""
    network = one.denoiser if isinstance(one, Diffusion) else one
    modules = dict(network.named_modules())
    x, t, features = inputs["x"], inputs["t"], {key: inputs[key] for key in inputs if key not in ("x", "t")}
    conditioned = next((model for model in (one, other) if isinstance(model, Diffusion) and model.conditioner), None)
    own = isinstance(one, Diffusion) and one.conditioner is not None
    watched = own and _models(one, other)
    if watched:
        modules |= dict(one.get_submodule(_CONDITIONER).named_modules(prefix=_CONDITIONER))

    def conditions() -> dict[str, Any]:
        model = one if own else conditioned
        return model.conditions(**_moved(features, model.device)) if isinstance(model, Diffusion) else features

    device = next((tensor.device for tensor in network.parameters()), torch.device("cpu"))
    with torch.no_grad():
        made = conditions()
    way = find_way(network, _moved({"x": x, "t": t, **made}, device))
    # features that a conditioner made into something else have been taken by it
    way = replace(way, taken=way.taken | (features.keys() - made.keys()))

    def run() -> None:
        if watched:
            conditions()
        way.call()

    return Side(modules, record(modules, run)), way


def _moved(inputs: Mapping[str, Any], device: torch.device) -> dict[str, Any]:
    return {name: value.to(device) if isinstance(value, Tensor) else value for name, value in inputs.items()}


def _noise(one: nn.Module) -> float:
    """The tolerance of the coarsest dtype among the parameters."""
    kinds = {weight.dtype for weight in one.parameters() if weight.dtype in NOISE}
    return max((NOISE[kind] for kind in kinds), default=NOISE[torch.float32])


def _models(one: nn.Module, other: nn.Module) -> bool:
    return isinstance(one, Diffusion) and isinstance(other, Diffusion)


def _parts(model: nn.Module) -> dict[str, Tensor]:
    """What a model holds outside its networks: its schedule as alpha at eleven times, and its scaling."""
    assert isinstance(model, Diffusion)
    schedule = model.schedule
    times = torch.linspace(schedule.t_clean, schedule.t_max, 11, dtype=torch.float64)
    scaling = {key: tensor for key, tensor in model.part_tensors().items() if key.startswith("scaling.")}
    return {"schedule (alpha)": schedule(times).alpha.float(), **{key: value.float() for key, value in scaling.items()}}


def _title(source: Source, module: nn.Module) -> str:
    network = module.denoiser if isinstance(module, Diffusion) else module
    kind = f"{type(network).__name__}, {sum(weight.numel() for weight in network.parameters()):,} parameters"
    return kind if isinstance(source, nn.Module) else f"{source} ({kind})"


def _remarks(*sources: Source) -> list[str]:
    return [remark for source in sources if isinstance(source, OldModule) for remark in source.remarks]
