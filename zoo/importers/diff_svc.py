"""Checkpoints of prophesier/diff-svc, kor_diff_svc, and the first DiffSinger (MoonInTheRiver).

One state_dict holds the whole old class: ``model.denoise_fn.*`` is the network, ``model.fs2.*`` makes its condition,
and beside them lie the buffers of the diffusion. Training files, simplified files and bare networks are read.
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
from zoo.importers.voice import DERIVED, TRAINING, VoiceImporter, notes, scaling, schedule, tables, walk

_NET = "denoise_fn."
_MARKER = "embed_positions._float_tensor"
_ENCODER = "fs2.encoder.layers."
_FIRST = ("fs2.encoder.embed_tokens.weight", "fs2.encoder_embed_tokens.weight")
_WORDS = (*_FIRST, "fs2.txt_embed.weight")
_TABLES = ("fs2.pitch_embed.weight", "fs2.energy_embed.weight", "fs2.spk_embed_proj.weight")


class DiffSVC(VoiceImporter):
    """diff-svc, kor_diff_svc, the first DiffSinger: to ``diffnet`` or ``fft-denoiser``, and the conditioner ``svc``."""

    dropped: ClassVar[tuple[str, ...]] = (
        *TRAINING,
        *DERIVED,
        _MARKER,
        f"{_NET}{_MARKER}",
        # the old class carries a decoder and a predictor of pitch that nothing calls
        "fs2.mel_out.*",
        "fs2.decoder.*",
        "fs2.pitch_predictor.*",
        "fs2.energy_predictor.*",
    )

    def roots(self, part: Source) -> list[str]:
        # what OpenVPI's trainer writes; other files of several networks are not told apart by their keys
        if "category" in part.plain:
            return []
        roots = []
        for net in nets(part):
            root = net.prefix.removesuffix(_NET)
            others = root.endswith(("diffusion.", "decoder.")) or net.prefix.endswith("velocity_fn.")
            if net.family in ("diffnet", "fft-denoiser") and not others:
                roots.append(root)
        return roots

    def config(self, weights: Source, fields: Fields) -> dict[str, Any]:
        (net,) = _nets(weights)
        denoiser = network(weights, net, fields, Names())
        fields.agree("diff_decoder_type", "wavenet" if net.family == "diffnet" else "fft", f"{net.prefix}*")
        if net.family == "diffnet":
            denoiser["dilation_cycle"] = fields.need("dilation_cycle_length", int, 4)
        table = schedule(weights, fields)
        sings = _sings(weights)
        # the first DiffSinger's last step goes to clean data; that of all others goes nowhere
        end = "clean" if any(key in weights for key in _FIRST) else "first"
        tree: dict[str, Any] = {
            "shape": [denoiser["mel_bins"], None],
            "denoiser": denoiser,
            "schedule": table,
            "parameterization": {"name": "eps"},
            "scaling": scaling(weights, fields, denoiser["mel_bins"]),
            "sampler": {"name": "plms"},
            "sampling": walk(fields, ("K_step",), table["steps"], _interval(fields, table["steps"]), end),
        }
        if sings:
            fields.assumed.append("fs2.* reads the words of a song and stays behind: pass cond=")
        elif not _units(weights):
            fields.assumed.append("there is no conditioner in the file: pass cond=")
        else:
            tree["conditioner"] = _conditioner(weights, fields, denoiser["cond_channels"])
        return tree | ({"notes": told} if (told := notes(fields)) else {})

    def tensors(self, weights: Source) -> Iterator[tuple[str, Tensor]]:
        (net,) = _nets(weights)
        units = _units(weights)
        for key in weights:
            if key.startswith("fs2."):
                if units and (key in _TABLES or key.startswith("fs2.encoder.")):
                    yield key.replace("fs2.", "conditioner.", 1), weights[key]
            elif key.startswith(net.prefix) and not key.endswith(_MARKER):
                name = key.removeprefix(net.prefix)
                if net.prefix or name not in (*DERIVED, "alphas_cumprod", "spec_min", "spec_max"):
                    yield f"denoiser.{name}", weights[key]
        yield from tables(weights)

    def leftover(self, source: Source, taken: Copy) -> tuple[list[str], list[str]]:
        known, unknown = super().leftover(source, taken)
        weights = self.copies(source)[taken]
        words = f"{weights.prefix}fs2." if _sings(weights) else None
        front = [key for key in unknown if words and key.startswith(words)]
        return known + front, [key for key in unknown if key not in front]


def _nets(weights: Source) -> list[Net]:
    """The networks of these projects: below ``denoise_fn.``, or bare."""
    return [net for net in nets(weights) if net.family in ("diffnet", "fft-denoiser") and net.prefix in ("", _NET)]


def _sings(weights: Source) -> bool:
    """Whether the condition is made from the words of a song."""
    return any(key in weights for key in _WORDS)


def _units(weights: Source) -> bool:
    """Whether the condition is made from content units, in a way that ``svc`` knows."""
    return not _sings(weights) and any(key.startswith("fs2.") for key in weights)


def _interval(fields: Fields, steps: int) -> int:
    """How many trained steps one step of sampling spans."""
    interval = fields.get("pndm_speedup", int, 10)
    if interval > 1:
        return interval
    fields.assumed.append(
        "plms at every 10th time: the config asks for all times (pndm_speedup <= 1), which is "
        f'zoo.sample(..., sampler="ddpm", guidance="clip", spacing="trailing", steps={steps})'
    )
    return 10


def _conditioner(weights: Source, fields: Fields, channels: int) -> dict[str, Any]:
    tree: dict[str, Any] = {
        "name": "svc",
        "channels": channels,
        "f0_min": fields.need("f0_min", float, 40.0),
        "f0_max": fields.need("f0_max", float, 1100.0),
        "f0_bins": fields.assume("f0_bin", int, 256, "as all published configs"),
        "energy": fields.agree("use_energy_embed", "fs2.energy_embed.weight" in weights, "fs2.energy_embed"),
        "use_uv": fields.get("use_uv", bool, False),
    }
    for key, name in (("fs2.pitch_embed.weight", "pitch_rows"), ("fs2.spk_embed_proj.weight", "speakers")):
        if key in weights and weights.shape(key)[1:] == (channels,):
            tree[name] = weights.shape(key)[0]
    layers = {key.removeprefix(_ENCODER).partition(".")[0] for key in weights if key.startswith(_ENCODER)}
    fields.agree("no_fs2", not layers, "fs2.encoder.*")
    if not layers:
        return tree
    if not fields.need("rel_pos", bool, True):
        raise CheckpointError(
            f"{weights.path}: rel_pos is false in the config: encoders of units with these positions are not "
            "supported; load the network alone, the part below denoise_fn., and pass cond="
        )
    kernel = weights.shape(f"{_ENCODER}0.op.ffn.ffn_1.weight")[-1]
    return tree | {
        "encoder_layers": fields.agree("enc_layers", 1 + max(map(int, layers)), "fs2.encoder.layers.*"),
        "encoder_heads": fields.need("num_heads", int, 2),
        "encoder_kernel_size": fields.agree("enc_ffn_kernel_size", kernel, "fs2.encoder.layers.0.op.ffn.ffn_1"),
        "dropout": fields.get("dropout", float, 0.1),
    }
