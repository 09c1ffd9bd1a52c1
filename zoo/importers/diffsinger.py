"""Checkpoints of openvpi/DiffSinger: acoustic models of its DDPM and its rectified flow, with or without aux decoder.

What makes the condition reads the words of a song; it stays behind, and the condition is given as ``cond``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from torch import Tensor

from zoo.header import CheckpointError
from zoo.importers.base import Copy
from zoo.importers.fields import Fields
from zoo.importers.mel_nets import Names, Net, nets, network
from zoo.importers.source import Source
from zoo.importers.voice import DERIVED, TRAINING, VoiceImporter, newest, notes, scaling, schedule, tables, walk

_NETS = ("diffusion.denoise_fn.", "diffusion.velocity_fn.", "denoise_fn.", "velocity_fn.", "")
_AUX = "aux_decoder.decoder."
_FLOW_RULES = {"euler": "euler", "rk2": "midpoint", "rk4": "rk4", "rk5": "rk5"}
_SAMPLERS = {"pndm": "plms", "ddim": "ddim"}
_ALIASES = {
    "in_dims": "audio_num_mel_bins",
    "out_dims": "audio_num_mel_bins",
    "diff_decoder_type": "backbone_type",
    "residual_channels": "backbone_args.num_channels",
    "residual_layers": "backbone_args.num_layers",
    "dilation_cycle_length": "backbone_args.dilation_cycle_length",
    "pndm_speedup": "diff_speedup",
    "diffusion_args.": "",
}
_NAMES = Names(channels="backbone_args.num_channels", layers="backbone_args.num_layers")


class DiffSinger(VoiceImporter):
    """OpenVPI's acoustic models: to ``diffnet``, ``lynxnet`` or ``lynxnet2``."""

    dropped: ClassVar[tuple[str, ...]] = (
        *TRAINING,
        *(f"{prefix}{name}" for prefix in ("diffusion.", "") for name in DERIVED),
        "fs2.*",
    )

    def roots(self, part: Source) -> list[str]:
        roots = []
        for net in nets(part):
            if net.family == "fft-denoiser" or net.prefix.endswith("decoder.denoise_fn."):
                continue
            ending = next(end for end in _NETS if net.prefix.endswith(end))
            # diff-svc's own layout: the network directly in the model, with the buffers beside it
            if ending != "denoise_fn.":
                roots.append(net.prefix.removesuffix(ending))
        return roots

    def matches(self, source: Source) -> bool:
        return super().matches(source) or _predicts_curves(source)

    def copies(self, source: Source) -> dict[Copy, Source]:
        if _predicts_curves(source):
            raise CheckpointError(
                f"{source.path}: is a model of category 'variance', which predicts pitch and other curves, not mels"
            )
        return super().copies(source)

    def config(self, weights: Source, fields: Fields) -> dict[str, Any]:
        for theirs, ours in _ALIASES.items():
            fields.alias(theirs, ours)
        net = _net(weights)
        denoiser = network(weights, net, fields, _NAMES)
        fields.agree("backbone_type", "wavenet" if net.family == "diffnet" else net.family, f"{net.prefix}*")
        if net.family == "diffnet":
            denoiser["dilation_cycle"] = _dilation(fields)
        flows = net.prefix.endswith("velocity_fn.")
        kind = fields.get("diffusion_type", str, "reflow" if flows else "ddpm")
        if net.prefix and kind != ("reflow" if flows else "ddpm"):
            fields.contradict("diffusion_type", f"the weights lie under {net.prefix!r}")
        bins = denoiser["mel_bins"]
        if denoiser.get("n_feats", 1) > 1:
            fields.assumed.append("scaling: with several features a frame, curves stay in -1..1")
            scaled: dict[str, Any] = {"name": "identity"}
        else:
            scaled = scaling(_stored(weights, net), fields, bins)
        tree: dict[str, Any] = {
            "shape": [bins, None] if denoiser.get("n_feats", 1) == 1 else [denoiser["n_feats"], bins, None],
            "denoiser": denoiser,
            "scaling": scaled,
            **(_flow(fields) if kind == "reflow" else _ddpm(_stored(weights, net), fields)),
        }
        if any(key.startswith(_AUX) for key in weights):
            tree["conditioner"] = _aux(weights.under(_AUX), fields, bins, scaled)
        if any(key.startswith("fs2.") for key in weights):
            fields.assumed.append("fs2.* reads the words of a song and stays behind: pass cond=")
        return tree | ({"notes": told} if (told := notes(fields)) else {})

    def tensors(self, weights: Source) -> Iterator[tuple[str, Tensor]]:
        net = _net(weights)
        buffers = (*DERIVED, "alphas_cumprod", "spec_min", "spec_max")
        for key in weights:
            if key.startswith(_AUX):
                yield f"conditioner.decoder.{key.removeprefix(_AUX)}", weights[key]
            elif net.prefix and key.startswith(net.prefix):
                yield f"denoiser.{key.removeprefix(net.prefix)}", weights[key]
            elif not net.prefix and not key.startswith("fs2.") and key not in buffers:
                yield f"denoiser.{key}", weights[key]
        yield from tables(_stored(weights, net))


def _predicts_curves(source: Source) -> bool:
    part = newest(source)
    return not (part is source and source.files) and part.plain.get("category") == "variance"


def _net(weights: Source) -> Net:
    (net,) = (net for net in nets(weights) if net.prefix in _NETS)
    return net


def _stored(weights: Source, net: Net) -> Source:
    """Where the buffers of the diffusion lie."""
    return weights.under("diffusion." if net.prefix.startswith("diffusion.") else "")


def _dilation(fields: Fields) -> int:
    """OpenVPI's default when there is a config that does not name it."""
    name = "backbone_args.dilation_cycle_length"
    if not fields.tree:
        return fields.need(name, int, 4)
    return fields.assume(name, int, 4, "the default of OpenVPI's WaveNet")


def _ddpm(stored: Source, fields: Fields) -> dict[str, Any]:
    table = schedule(stored, fields)
    method = fields.get("diff_accelerator", str, "pndm")
    if method not in _SAMPLERS:
        fields.assumed.append(f"sampler = plms: the config asks for {method!r}, see zoo.sample(sampler=...)")
    sampling = walk(fields, ("K_step_infer", "K_step"), table["steps"], fields.get("diff_speedup", int, 10))
    if k_step := sampling["spacing"].get("k_step"):
        fields.assumed.append(f"this model refines a mel: pass start= and start_t={k_step - 1}")
    return {
        "schedule": table,
        "parameterization": {"name": "eps"},
        "sampler": {"name": _SAMPLERS.get(method, "plms")},
        "sampling": sampling,
    }


def _flow(fields: Fields) -> dict[str, Any]:
    usual = "as all of OpenVPI's rectified flows"
    rule = fields.get("sampling_algorithm", str, "euler")
    if rule not in _FLOW_RULES:
        fields.assumed.append(f"sampler = euler: the config asks for {rule!r}, which is not known here")
    start = fields.get("T_start_infer", float, fields.get("T_start", float, 0.0))
    if start > 0:
        fields.assumed.append(f"this model refines a mel: pass start= and start_t={1 - start:g}")
    return {
        "schedule": {"name": "flow"},
        "parameterization": {
            "name": "flow",
            "toward": "data",
            "time_scale": fields.assume("time_scale_factor", float, 1000.0, usual),
        },
        "sampler": {"name": "flow-rk", "method": _FLOW_RULES.get(rule, "euler")},
        "sampling": {"steps": fields.get("sampling_steps", int, 20), "spacing": {"name": "trailing"}},
    }


def _aux(part: Source, fields: Fields, bins: int, scaled: dict[str, Any]) -> dict[str, Any]:
    arch = fields.get("shallow_diffusion_args.aux_decoder_arch", str, "convnext")
    if arch != "convnext":
        fields.contradict("shallow_diffusion_args.aux_decoder_arch", "this importer knows convnext")
    inner = part.shape("inconv.weight")
    layers = {key.split(".")[1] for key in part if key.startswith("conv.")}
    if part.shape("outconv.bias")[0] != bins:
        raise CheckpointError(
            f"{part.path}: the aux decoder makes {part.shape('outconv.bias')[0]} bins, the network takes {bins}"
        )
    edges: dict[str, Any] = {edge: scaled[edge] for edge in ("low", "high") if edge in scaled}
    return {
        "name": "aux-decoder",
        "mel_bins": bins,
        "cond_channels": inner[1],
        "channels": inner[0],
        "layers": 1 + max(map(int, layers)),
        "kernel_size": inner[2],
        **edges,
    }
