"""Checkpoints of yxlllc/DDSP-SVC ("Unit2Mel"), Diffusion-SVC, and the shallow diffusion of so-vits-svc 4.1."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from torch import Tensor

from zoo.importers.fields import Fields
from zoo.importers.mel_nets import Names, Net, nets, network
from zoo.importers.source import Source
from zoo.importers.voice import DERIVED, TRAINING, VoiceImporter, notes, scaling, schedule, tables, walk

_NET = "decoder.denoise_fn."
_EMBEDDINGS = (
    "unit_embed.weight",
    "unit_embed.bias",
    "f0_embed.weight",
    "f0_embed.bias",
    "volume_embed.weight",
    "volume_embed.bias",
    "aug_shift_embed.weight",
    "spk_embed.weight",
)
_SAMPLERS = {"pndm": "plms", "ddim": "ddim"}
_NAMES = Names(mel_bins="out_dims", cond_channels="n_hidden", channels="n_chans", layers="n_layers")


class DDSPSVC(VoiceImporter):
    """DDSP-SVC, Diffusion-SVC, so-vits-svc's diffusion: to ``diffnet`` and the conditioner ``unit2mel``."""

    dropped: ClassVar[tuple[str, ...]] = (*TRAINING, *(f"decoder.{name}" for name in DERIVED), *DERIVED)

    def roots(self, part: Source) -> list[str]:
        found = nets(part)
        layout = [net.prefix.removesuffix(_NET) for net in found if net.prefix.endswith(_NET)]
        return layout or [net.prefix for net in found if net.family == "diffnet" and "_fn." not in net.prefix]

    def config(self, weights: Source, fields: Fields) -> dict[str, Any]:
        for section in ("model.", "data."):
            fields.alias(section, "")
        (net,) = _nets(weights)
        denoiser = network(weights, net, fields, _NAMES) | {"dilation_cycle": 1}
        stored = weights.under("decoder.")
        table = schedule(stored, fields)
        method = fields.get("infer.method", str, "pndm")
        if method not in _SAMPLERS:
            fields.assumed.append(f"sampler = plms: the config asks for {method!r}, see zoo.sample(sampler=...)")
        tree: dict[str, Any] = {
            "shape": [denoiser["mel_bins"], None],
            "denoiser": denoiser,
            "schedule": table,
            "parameterization": {"name": "eps"},
            "scaling": scaling(stored, fields, denoiser["mel_bins"]),
            "sampler": {"name": _SAMPLERS.get(method, "plms")},
            "sampling": walk(fields, ("k_step_max",), table["steps"], fields.get("infer.speedup", int, 10)),
        }
        if any(key in weights for key in _EMBEDDINGS):
            tree["conditioner"] = _conditioner(weights, fields)
        else:
            fields.assumed.append("there is no conditioner in the file: pass cond=")
        return tree | ({"notes": told} if (told := notes(fields)) else {})

    def tensors(self, weights: Source) -> Iterator[tuple[str, Tensor]]:
        (net,) = _nets(weights)
        for key in weights:
            if key in _EMBEDDINGS:
                yield f"conditioner.{key}", weights[key]
            elif key.startswith(net.prefix):
                yield f"denoiser.{key.removeprefix(net.prefix)}", weights[key]
        yield from tables(weights.under("decoder."))


def _nets(weights: Source) -> list[Net]:
    return [net for net in nets(weights) if net.family == "diffnet" and net.prefix in ("", _NET)]


def _conditioner(weights: Source, fields: Fields) -> dict[str, Any]:
    channels, unit_channels = weights.shape("unit_embed.weight")
    fields.agree("input_channel", unit_channels, "unit_embed.weight")
    fields.agree("encoder_out_channels", unit_channels, "unit_embed.weight")
    speakers = weights.shape("spk_embed.weight")[0] if "spk_embed.weight" in weights else 1
    fields.agree("n_spk", speakers, "spk_embed.weight")
    hop, rate = fields.get("block_size", int, 0), fields.get("sampling_rate", int, 0)
    step = None
    if hop and rate:
        unit = fields.get("encoder_hop_size", int, 320) / fields.get("encoder_sample_rate", int, 16_000)
        step = hop / rate / unit
    else:
        fields.assumed.append("units come at the rate of the mel frames: the config tells no block_size, sampling_rate")
    return {
        "name": "unit2mel",
        "unit_channels": unit_channels,
        "channels": channels,
        "speakers": speakers,
        "aug_shift": fields.agree("use_pitch_aug", "aug_shift_embed.weight" in weights, "aug_shift_embed.weight"),
        "unit_step": step,
    }
