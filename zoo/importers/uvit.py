"""Weights of U-ViT (baofff/U-ViT): nnet_ema.pth, a plain state_dict whose keys are ours already.

Pixel models, and the latent ones of train_ldm.py, walk the continuous linear schedule and are told 999 t; those of
train_ldm_discrete.py walk the thousand steps of Stable Diffusion and are told 1..1000.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from torch import Tensor

from zoo.header import CheckpointError
from zoo.importers.base import Copy, Importer
from zoo.importers.fields import Fields
from zoo.importers.source import Source
from zoo.importers.transformers import TRAINING, classes, copies, count, heads, mlp_ratio, side

_PATCHES, _TABLE, _HIDDEN = "patch_embed.proj.weight", "label_emb.weight", "mid_block.mlp.fc1.weight"
_HALLMARKS = (_PATCHES, _HIDDEN, "pos_embed", "decoder_pred.weight")
_CONTINUOUS = {
    "schedule": {"name": "vp", "beta_min": 0.1, "beta_max": 20.0},
    "parameterization": {"name": "vp-precond", "beta_d": 19.9, "beta_min": 0.1, "steps": 1000},
}
_DISCRETE = {
    "schedule": {"name": "scaled-linear", "steps": 1000, "beta_start": 0.00085, "beta_end": 0.012},
    "parameterization": {"name": "eps", "first_label": 1.0},
}
_DISCRETE_WIDTH = 1152  # of the huge models, the only released ones of train_ldm_discrete.py


class UViT(Importer):
    """U-ViT's released files: to the denoiser ``uvit``."""

    dropped: ClassVar[tuple[str, ...]] = TRAINING

    def matches(self, source: Source) -> bool:
        return bool(self.copies(source))

    def copies(self, source: Source) -> dict[Copy, Source]:
        found = copies(source, _known)
        part = found.get("unknown")
        if part is not None and "nnet_ema" in (part.prefix or source.path.name):
            return {"ema": part}
        return found

    def config(self, weights: Source, fields: Fields) -> dict[str, Any]:
        for section in ("model.", "nnet."):
            fields.alias(section, "")
        denoiser = _network(weights, fields)
        in_channels, size = denoiser["in_channels"], denoiser["resolution"]
        scale = 1 + fields.get("sample.scale", float, 0.4)
        diffusion = _diffusion(fields, denoiser["channels"])
        # continuous time has no noise at its end: the original's last evaluation is at t = 1e-4
        last = {"sigma_min": 0.00318} if diffusion["schedule"]["name"] == "vp" else {}
        return {
            "shape": [in_channels, size, size],
            "denoiser": denoiser,
            **diffusion,
            "sampler": {"name": "dpm-fast"},
            "sampling": {
                "steps": 50,
                "spacing": {"name": "log-snr", **last},
                **({"guidance": [{"name": "cfg", "scale": scale}]} if denoiser.get("null_class") else {}),
            },
        }

    def tensors(self, weights: Source) -> Iterator[tuple[str, Tensor]]:
        for key in weights:
            yield f"denoiser.{key}", weights[key]


def _known(part: Source) -> bool:
    return all(key in part for key in _HALLMARKS)


def _network(weights: Source, fields: Fields) -> dict[str, Any]:
    if "context_embed.weight" in weights:
        raise CheckpointError(f"{weights.path}: is a text-to-image U-ViT, which the zoo does not have")
    channels, in_channels, patch, _ = weights.shape(_PATCHES)
    depth = count(weights, "in_blocks.{}.attn.qkv.weight") + count(weights, "out_blocks.{}.attn.qkv.weight")
    conditional = _TABLE in weights
    long_skips = depth == 0 or "out_blocks.0.skip_linear.weight" in weights
    facts = (
        ("in_chans", in_channels, _PATCHES),
        ("embed_dim", channels, _PATCHES),
        ("patch_size", patch, _PATCHES),
        ("qkv_bias", "mid_block.attn.qkv.bias" in weights, "mid_block.attn.qkv"),
        ("mlp_time_embed", "time_embed.0.weight" in weights, "time_embed"),
        ("conv", "final_layer.weight" in weights, "final_layer"),
        ("skip", long_skips, "out_blocks.0.skip_linear"),
    )
    found = {name: fields.agree(name, value, because) for name, value, because in facts}
    # an odd depth counts the block in the middle
    if fields.get("depth", int, depth) // 2 != depth // 2:
        fields.contradict("depth", f"the weights say {depth} (in_blocks.*, out_blocks.*)")
    extras = 1 + conditional
    return {
        "name": "uvit",
        "in_channels": in_channels,
        "channels": channels,
        "depth": depth,
        "heads": heads(fields, "uvit", depth, channels),
        "patch": patch,
        "resolution": side(weights, fields, "img_size", patch, weights.shape("pos_embed")[1] - extras),
        "mlp_ratio": mlp_ratio(fields, _HIDDEN, weights.shape(_HIDDEN)[0], channels),
        "qkv_bias": found["qkv_bias"],
        "time_mlp": found["mlp_time_embed"],
        **_classes(weights, fields),
        "long_skips": long_skips,
        "final_conv": found["conv"],
    }


def _classes(weights: Source, fields: Fields) -> dict[str, Any]:
    if _TABLE not in weights:
        if fields.get("num_classes", int, -1) > 0:
            fields.contradict("num_classes", f"the weights have no {_TABLE}")
        return {"classes": None}
    rows = weights.shape(_TABLE)[0]
    fields.agree("num_classes", rows, _TABLE)
    usual = rows == 1001  # 1000 classes of ImageNet
    why = f"{rows} rows of {_TABLE}, in published models 1000 classes and no class, or 1000 classes"
    return classes(fields, rows, fields.assume("dataset.cfg", bool, usual, why))


def _diffusion(fields: Fields, channels: int) -> dict[str, Any]:
    """Schedule and parameterization, which no weight tells."""
    if fields.get("pred", str, "noise_pred") != "noise_pred":
        fields.contradict("pred", "this importer knows noise_pred")
    script = "train_ldm_discrete" if channels == _DISCRETE_WIDTH else "train"
    why = (
        "whether time is 'discrete' (train_ldm_discrete.py) or 'continuous' (train.py, train_ldm.py), as in the release"
    )
    time = fields.assume("time", str, "discrete" if script == "train_ldm_discrete" else "continuous", why)
    if time not in ("discrete", "continuous"):
        fields.contradict("time", "expected discrete or continuous")
    return _DISCRETE if time == "discrete" else _CONTINUOUS
