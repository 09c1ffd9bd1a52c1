"""Weights of lucidrains' denoising-diffusion-pytorch: the files of its Trainer, GaussianDiffusion, or the Unet alone.

A Trainer's file is {step, model, opt, ema, scaler, version}: the network is under ``model.model.``, its moving average
under ``ema.ema_model.model.``, and beside each lie the buffers of the schedule. Fields are the arguments of Unet and
GaussianDiffusion. The networks of the releases 1.9 (group norms) and 2 (RMS norms) are known.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, ClassVar, cast

from torch import Tensor

from zoo.header import CheckpointError
from zoo.importers.base import Copy, Importer
from zoo.importers.fields import Fields
from zoo.importers.source import Source

_HALLMARKS = ("init_conv.weight", "time_mlp.3.weight", "mid_block1.block1.proj.weight", "final_res_block.mlp.1.weight")
_PLACES: tuple[tuple[Copy, str], ...] = (
    ("ema", "ema.ema_model."),
    ("ema", "ema_model."),
    ("raw", "model."),
    ("raw", "ema.online_model."),
    ("raw", "online_model."),
)
_TABLE = "alphas_cumprod"
_OBJECTIVES = {"pred_noise": "eps", "pred_x0": "x0", "pred_v": "v"}
_DEFAULT = "as GaussianDiffusion's default"
_TRAINING_ONLY = "it matters for further training only"
_RENAMED = (
    (r"^time_mlp\.0\.weights$", "time.frequencies"),
    (r"^time_mlp\.1\.", "time.dense.0."),
    (r"^time_mlp\.3\.", "time.dense.1."),
    (r"^init_conv\.", "stem."),
    (r"^final_res_block\.", "last."),
    (r"^final_conv\.", "conv_out."),
    (r"^mid_block1\.", "mid_1."),
    (r"^mid_attn\.", "mid_attention."),
    (r"^mid_block2\.", "mid_2."),
    (r"^downs\.", "down."),
    (r"^((?:down|up)\.\d+)\.0\.", r"\1.block_1."),
    (r"^((?:down|up)\.\d+)\.1\.", r"\1.block_2."),
    (r"^((?:down|up)\.\d+)\.2\.", r"\1.attention."),
    (r"^((?:down|up)\.\d+)\.3\.", r"\1.resample."),
    (r"\.mlp\.1\.", ".time."),
    (r"\.block([12])\.proj\.", r".conv_\1."),
    (r"\.block([12])\.norm\.", r".norm_\1."),
    (r"\.res_conv\.", ".shortcut."),
    (r"\.mem_kv$", ".memory"),
    (r"\.to_qkv\.weight$", ".qkv.weight"),
    (r"\.to_out\.1\.", ".norm_out."),
    (r"\.to_out\.(?:0\.)?", ".out."),
    (r"\.g$", ".weight"),
)


class Lucidrains(Importer):
    """denoising-diffusion-pytorch by lucidrains: to the denoiser ``lucid``."""

    dropped: ClassVar[tuple[str, ...]] = (
        *("opt.*", "scaler.*", "ema.initted", "ema.step", "initted", "step"),
        *("ema.online_model.*", "online_model.*"),
        # all that follows from alphas_cumprod, and the weights of the loss
        *("betas", "alphas_cumprod", "alphas_cumprod_prev", "sqrt_*", "log_one_minus_*", "posterior_*"),
        *("loss_weight", "p2_loss_weight"),
    )

    def matches(self, source: Source) -> bool:
        return bool(self.copies(source))

    def copies(self, source: Source) -> dict[Copy, Source]:
        # first as a whole: GaussianDiffusion keeps its network where a Trainer keeps GaussianDiffusion
        if (whole := _model(source)) is not None:
            return {"unknown": whole}
        found: dict[Copy, Source] = {}
        for name, prefix in _PLACES:
            part = _model(source.under(prefix))
            if part is not None and name not in found:
                found[name] = part
        return found

    def step(self, source: Source) -> int | None:
        step = source.plain.get("step")
        return step if isinstance(step, int) else None

    def config(self, weights: Source, fields: Fields) -> dict[str, Any]:
        for section in ("unet.", "model.", "diffusion."):
            fields.alias(section, "")
        net = _network(weights)
        denoiser = _denoiser(net, fields)
        learned = denoiser["out_channels"] == 2 * denoiser["in_channels"]
        steps = fields.get("sampling_timesteps", int, 0)
        if "time_mlp.0.weights" in net and _TABLE not in weights:
            fields.assumed.append(
                "the network is told the time t: a network with learned or random sinusoids that was trained in "
                "continuous time was told the log of the signal-to-noise ratio, and cannot be sampled here"
            )
        return {
            "shape": [denoiser["in_channels"], *_size(fields)],
            "denoiser": denoiser,
            "schedule": _schedule(weights, fields),
            "parameterization": {"name": _objective(fields, learned), "learned_variance": learned},
            "scaling": _scaling(fields),
            "sampler": {"name": "ddim", "eta": fields.get("ddim_sampling_eta", float, 0.0)},
            "sampling": {"steps": steps or 50, "spacing": "trailing", "clip": True},
        }

    def tensors(self, weights: Source) -> Iterator[tuple[str, Tensor]]:
        net = _network(weights)
        deepest = _levels(net) - 1
        for key in net:
            yield f"denoiser.{_renamed(key, deepest)}", _reshaped(net, key)
        if _TABLE in weights:
            yield f"schedule.{_TABLE}", weights[_TABLE]


def _model(source: Source) -> Source | None:
    """GaussianDiffusion, or the network alone, under this prefix, past the ``module.`` of DDP."""
    for part in (source, source.under("module.")):
        if any(all(key in net for key in _HALLMARKS) for net in (part, part.under("model."))):
            return part
    return None


def _network(weights: Source) -> Source:
    """The network in GaussianDiffusion, or alone.

    Raises:
        CheckpointError: it is of a release before 1.9, whose layers compute other things.
    """
    net = weights.under("model.") if _HALLMARKS[0] not in weights else weights
    halving = "downs.0.3.weight"
    strided = _levels(net) > 1 and halving in net and net.shape(halving)[-1] != 1
    if "mid_attn.mem_kv" not in net or strided:
        raise CheckpointError(
            f"{weights.path}: is of a release of denoising-diffusion-pytorch before 1.9, whose networks have other "
            "layers (no memory tokens, strided convolutions); releases from 1.9 on can be read"
        )
    return net


def _levels(net: Source) -> int:
    count = 0
    while f"downs.{count}.0.mlp.1.weight" in net:
        count += 1
    return count


def _denoiser(net: Source, fields: Fields) -> dict[str, Any]:
    """The network's own arguments, from its shapes."""
    dim = net.shape("time_mlp.3.weight")[0] // 4
    stem, seen = net.shape("init_conv.weight")[:2]
    out = net.shape("final_conv.weight")[0]
    levels = range(_levels(net))
    widths = [
        next(net.shape(key)[0] for key in (f"downs.{i}.3.1.weight", f"downs.{i}.3.weight") if key in net)
        for i in levels
    ]
    mults = tuple(width // dim for width in widths)
    itself = _sees_itself(fields, seen, out)
    channels = seen // 2 if itself else seen
    heads = tuple(net.shape(f"downs.{i}.2.mem_kv")[1] for i in levels)
    head_channels = tuple(
        net.shape(f"downs.{i}.2.to_qkv.weight")[0] // (3 * count) for i, count in zip(levels, heads, strict=True)
    )
    full = tuple(f"downs.{i}.2.to_out.weight" in net for i in levels)
    for name, found, because in (
        ("dim", dim, "time_mlp.3.weight"),
        ("init_dim", stem, "init_conv.weight"),
        ("channels", channels, "init_conv.weight, final_conv.weight"),
        ("self_condition", itself, "init_conv.weight, final_conv.weight"),
        ("out_dim", out, "final_conv.weight"),
        # a variance may also be learned by giving its channels as out_dim
        *([] if "out_dim" in fields else [("learned_variance", out == 2 * channels, "final_conv.weight")]),
        ("dim_mults", mults, "downs.*.3"),
    ):
        fields.agree(name, found, because)
    _agree_each(fields, "attn_heads", int, heads, "downs.*.2.mem_kv")
    _agree_each(fields, "attn_dim_head", int, head_channels, "downs.*.2.to_qkv.weight")
    if fields.get("full_attn", cast(Any, bool | tuple[bool, ...]), ()):  # nothing, or false, is the deepest alone
        _agree_each(fields, "full_attn", bool, full, "downs.*.2.to_out")
    if out not in (channels, 2 * channels):
        raise CheckpointError(
            f"{net.path}: the network makes {out} channels of {channels}: expected as many, or twice as many for a "
            "learned variance; a network for something else than denoising cannot be read"
        )
    return {
        "name": "lucid",
        "in_channels": channels,
        "out_channels": out,
        "base_channels": dim,
        "stem_channels": stem,
        "channel_mult": list(mults),
        "heads": list(heads),
        "head_channels": list(head_channels),
        "full_attention": list(full),
        "self_conditioned": itself,
        **_time(net, fields),
        "dropout": fields.assume("dropout", float, 0.0, _TRAINING_ONLY),
        "norm_groups": _norm_groups(net, fields),
    }


def _sees_itself(fields: Fields, seen: int, out: int) -> bool:
    """Whether the network sees its own estimate beside x: twice the channels that x has."""
    told = fields.get("channels", int, 0)
    if seen in (told, 2 * told):
        return seen == 2 * told
    # GaussianDiffusion learns no variance with self-conditioning, so that as many channels made as seen are x's
    return seen == 2 * out or (seen == out and seen % 2 == 0 and fields.get("self_condition", bool, False))


def _time(net: Source, fields: Fields) -> dict[str, Any]:
    """The sinusoids of the time."""
    if "time_mlp.0.weights" not in net:
        for name in ("learned_sinusoidal_cond", "random_fourier_features"):
            fields.agree(name, False, "there is no time_mlp.0.weights")
        usual = "as its default"
        return {"max_period": fields.assume("sinusoidal_pos_emb_theta", float, 10_000.0, usual)}
    random = fields.assume("random_fourier_features", bool, False, _TRAINING_ONLY)
    sinusoids = fields.agree("learned_sinusoidal_dim", 2 * net.shape("time_mlp.0.weights")[0], "time_mlp.0.weights")
    return {"time_embedding": "random" if random else "learned", "sinusoids": sinusoids}


def _norm_groups(net: Source, fields: Fields) -> int | None:
    """The groups of the group norms of release 1.9; None for RMS norms."""
    if "mid_block1.block1.norm.weight" not in net:
        return None
    return fields.assume("resnet_block_groups", int, 8, "as its default")


def _agree_each(fields: Fields, name: str, kind: type, found: tuple[Any, ...], because: str) -> None:
    """A field that has one value for all levels or one each."""
    given = fields.get(name, cast(Any, kind | tuple[kind, ...]), found)  # type: ignore[valid-type]
    if (given if isinstance(given, tuple) else (given,) * len(found)) != found:
        fields.contradict(name, f"the weights say {list(found)} ({because})")


def _schedule(weights: Source, fields: Fields) -> dict[str, Any]:
    if _TABLE in weights:
        steps = weights.shape(_TABLE)[0]
        return {"name": "table", "steps": fields.agree("timesteps", steps, _TABLE)}
    steps = fields.assume("timesteps", int, 1000, _DEFAULT)
    kind = fields.assume("beta_schedule", str, "sigmoid", _DEFAULT)
    if kind == "linear":
        scale = 1000 / steps
        return {"name": "linear", "steps": steps, "beta_start": 1e-4 * scale, "beta_end": 0.02 * scale}
    if kind == "cosine":
        return {"name": "cosine", "steps": steps, "s": fields.get("schedule_fn_kwargs.s", float, 0.008)}
    if kind != "sigmoid":
        fields.contradict("beta_schedule", "this importer knows cosine, linear, sigmoid")
    return {
        "name": "jabri-sigmoid",
        "steps": steps,
        "start": fields.get("schedule_fn_kwargs.start", float, -3.0),
        "end": fields.get("schedule_fn_kwargs.end", float, 3.0),
        "tau": fields.get("schedule_fn_kwargs.tau", float, 1.0),
    }


def _objective(fields: Fields, learned: bool) -> str:
    # GaussianDiffusion predicts v by default; the one with a learned variance knows no v
    default = "pred_noise" if learned else "pred_v"
    kind = fields.assume("objective", str, default, _DEFAULT)
    if kind not in _OBJECTIVES:
        fields.contradict("objective", f"this importer knows {', '.join(sorted(_OBJECTIVES))}")
    return _OBJECTIVES.get(kind, "v")


def _scaling(fields: Fields) -> dict[str, Any]:
    if fields.get("auto_normalize", bool, True):
        return {"name": "identity"}
    # [-1, 1] to the [0, 1] that the network was trained on
    return {"name": "mean-std", "mean": -1.0, "std": 2.0}


def _size(fields: Fields) -> tuple[int | None, int | None]:
    """(height, width) of the images, where the config tells it; the network takes any."""
    given = fields.get("image_size", cast(Any, int | tuple[int, int]), None)
    return given if isinstance(given, tuple) else (given, given)


def _renamed(key: str, deepest: int) -> str:
    """Our name of a parameter of the network."""
    # theirs go up from the deepest level, ours are numbered by level
    name = re.sub(r"^ups\.(\d+)", lambda found: f"up.{deepest - int(found[1])}", key)
    for pattern, new in _RENAMED:
        name = re.sub(pattern, new, name)
    return name


def _reshaped(net: Source, key: str) -> Tensor:
    """A parameter in the shape that ours has."""
    tensor = net[key]
    stem, _, last = key.rpartition(".")
    if last == "g":  # (1, C, 1, 1)
        return tensor.flatten()
    if last == "mem_kv":
        # full attention: (2, heads, tokens, d); linear: (2, heads, d, tokens)
        order = (0, 2, 1, 3) if f"{stem}.to_out.weight" in net else (0, 3, 1, 2)
        return tensor.permute(order).flatten(2)
    if ".to_qkv" in key or (".to_out" in key and last == "weight"):  # 1x1 convolutions
        return tensor.flatten(1)
    return tensor
