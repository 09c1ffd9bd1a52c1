"""timm's networks as parts of ours: what one gives, what it refuses, and how it is built for small pictures."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import cache
from itertools import pairwise
from typing import Any

import timm
import torch
from timm.layers import BatchNormAct2d
from torch import Tensor, nn

from zoo.core.errors import ArgumentValueError
from zoo.layers.conditions import norm_for
from zoo.layers.norms import GroupNorm

LISTING = "`zoo list backbones` says which timm models fit"

PLAIN_VITS = ("deit", "vision_transformer")
"""timm's modules that hold plain vision transformers."""


class BackboneError(ArgumentValueError):
    """A timm model that is unknown, or that cannot be a backbone; the message says which ones can."""


@dataclass(frozen=True)
class Scales:
    """The feature maps of a timm encoder, shallow first.

    Attributes:
        channels: of each map.
        reductions: how many pixels of the picture a pixel of each map stands for, along a side.
        indices: by which timm asks for each map.
        fixed: whether the model is built for one size of picture.
        stem: stride of its first strided convolution; 1 where it has none.
    """

    channels: tuple[int, ...]
    reductions: tuple[int, ...]
    indices: tuple[int, ...]
    fixed: bool
    stem: int

    def strided(self, stem_stride: int | None) -> Scales:
        """The same encoder with another stride of its stem; None for its own."""
        if stem_stride is None or self.stem == 1:
            return self
        reductions = (reduction * stem_stride // self.stem for reduction in self.reductions)
        return replace(self, reductions=tuple(reductions), stem=stem_stride)


def check_known(name: str) -> None:
    """Refuse a name that timm does not know.

    Raises:
        BackboneError: with the nearest ones.
    """
    plain = name.partition(".")[0]
    if timm.is_model(plain):
        return
    near = get_close_matches(plain, timm.list_models(), n=3, cutoff=0.6)
    hint = f"did you mean {' or '.join(map(repr, near))}?" if near else LISTING
    raise BackboneError(f"timm {timm.__version__} has no model {name!r}; {hint}")


def module_of(name: str) -> str:
    """The module of timm.models that makes a model, such as "resnet"."""
    return str(timm.models.model_entrypoint(name.partition(".")[0]).__module__).rpartition(".")[2]


@cache
def scales(name: str) -> Scales:
    """What an encoder gives, found by building it without memory.

    Raises:
        BackboneError: it is unknown, gives no maps, or maps of a single scale.
    """
    check_known(name)
    with torch.device("meta"):
        try:
            model = create(name, features_only=True)
            info = model.feature_info
            channels, reductions = info.channels(), info.reduction()
        except Exception as error:  # each of timm's families refuses in its own way
            raise BackboneError(f"{name} gives no maps of features ({one_line(error)}); {LISTING}") from None
    if len(set(reductions)) != len(reductions):
        raise BackboneError(
            f"{name} gives maps of a single scale (1 / {reductions[0]} of the picture), and a UNet needs several; "
            f"{LISTING}"
        )
    if any(deep % shallow for shallow, deep in pairwise(reductions)):
        told = ", ".join(f"1 / {reduction}" for reduction in reductions)
        raise BackboneError(f"{name} gives maps whose scales do not divide one another ({told}); {LISTING}")
    cfg = timm.get_pretrained_cfg(name)
    stem = first_strided(model)
    return Scales(
        channels=tuple(channels),
        reductions=tuple(reductions),
        indices=tuple(info.out_indices),
        fixed=bool(cfg and cfg.fixed_input_size),
        stem=1 if stem is None else stem.stride[0],
    )


def create(name: str, *, pretrained: bool = False, **arguments: Any) -> Any:
    """A network of timm's; its weights are not fetched where the network is built without memory.

    Raises:
        BackboneError: pretrained weights are wanted and cannot be had.
    """
    if not pretrained or _without_memory():
        with warnings.catch_warnings():
            # some of timm's models announce that they were renamed, which the user's config need not care about
            warnings.simplefilter("ignore")
            return timm.create_model(name, pretrained=False, **arguments)
    try:
        return timm.create_model(name, pretrained=True, **arguments)
    except Exception as error:  # the network, the hub and timm's own checks fail in many ways
        raise BackboneError(
            f"pretrained: the weights of {name} could not be fetched ({one_line(error)}); they come from the Hugging "
            "Face hub when a model is first built. Without a connection: pretrained: false, or zoo.load of a file "
            "that was saved here, which holds all weights"
        ) from None


def encoder(
    name: str,
    *,
    in_channels: int,
    levels: int,
    stem_stride: int | None,
    size: tuple[int, int],
    pretrained: bool,
    keep_norms: bool,
) -> nn.Module:
    """A timm encoder that gives its first ``levels`` maps, channels first, and no others.

    Args:
        name: timm's name.
        in_channels: of what it is given.
        levels: number of maps.
        stem_stride: stride of its first strided convolution; None for its own.
        size: (height, width) that it is tried with, and built for where it is built for one size.
        pretrained: start from timm's weights.
        keep_norms: leave batch norms as they are; else they become group norms.

    Raises:
        BackboneError: the model cannot be built so, or does not give these maps at this size.
    """

    def made(*, fetch: bool) -> nn.Module:
        arguments: dict[str, Any] = {"in_chans": in_channels, "out_indices": scales(name).indices[:levels]}
        if scales(name).fixed:
            arguments["img_size"] = size
        try:
            model = create(name, pretrained=fetch, features_only=True, **arguments)
        except BackboneError:
            raise
        except Exception as error:  # each of timm's families refuses in its own way
            raise BackboneError(f"{name} cannot be built for {_by(size)}: {one_line(error)}; {LISTING}") from None
        if stem_stride is not None:
            _restride(name, model, stem_stride)
        if not keep_norms:
            without_batch_norms(model)
        return ChannelsFirst(model) if _channels_last(model) else model

    with torch.device("meta"):
        twin = made(fetch=False)
    idle = _tried(name, twin, in_channels, size, scales(name).strided(stem_stride), levels)
    # whoever builds without memory has the network already
    model = twin.train() if _without_memory() else made(fetch=pretrained)
    for key in idle:
        model.get_parameter(key).requires_grad_(False)
    return model


class ChannelsFirst(nn.Module):
    """An encoder that gives its maps as (B, H, W, C), with (B, C, H, W) instead.

    Args:
        model: the encoder.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> list[Tensor]:
        """x: (B, C_in, H, W)."""
        return [h.permute(0, 3, 1, 2).contiguous() for h in self.model(x)]


class GroupNormAct(GroupNorm):
    """A group norm in the place of a batch norm that had dropout and an activation built in.

    Args:
        norm: made for the channels of the batch norm.
        old: the batch norm.
    """

    def __init__(self, norm: GroupNorm, old: BatchNormAct2d) -> None:
        super().__init__(norm.num_groups, norm.num_channels, eps=norm.eps)
        self.drop, self.act = old.drop, old.act

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, C, H, W)."""
        return self.act(self.drop(super().forward(x)))  # type: ignore[no-any-return]


def without_batch_norms(model: nn.Module) -> None:
    """Make every batch norm a group norm of the same weight and bias.

    The statistics that a batch norm gathers for evaluation are those of a mixture of all noise levels, and are right
    for none of them. They are dropped, so pretrained features are no longer what they were, and adapt in training.
    """
    for owner in list(model.modules()):
        for attribute, old in list(owner.named_children()):
            if not isinstance(old, nn.BatchNorm1d | nn.BatchNorm2d):
                continue
            new = norm_for(old.num_features, eps=old.eps)
            if isinstance(old, BatchNormAct2d):
                new = GroupNormAct(new, old)
            if old.affine:
                new.weight, new.bias = old.weight, old.bias
            setattr(owner, attribute, new)


def _without_memory() -> bool:
    """Whether networks are being built on the meta device."""
    return torch.empty(0).is_meta


def one_line(error: Exception) -> str:
    """The kind of an error and the first line of what it says."""
    said = str(error).strip().splitlines()
    return f"{type(error).__name__}: {said[0][:160]}" if said else type(error).__name__


def _restride(name: str, model: nn.Module, stride: int) -> None:
    """Give the first strided convolution another stride, and the padding that keeps sizes whole multiples of it."""
    conv = first_strided(model)
    if conv is None:
        raise BackboneError(f"stem_stride: {name} has no strided convolution to change; leave it out")
    kernel = conv.kernel_size[0]
    if not 1 <= stride <= conv.stride[0] or conv.stride[0] % stride:
        raise BackboneError(f"stem_stride must divide {conv.stride[0]}, the stride of {name}'s stem, got {stride}")
    if kernel % 2 == 0 and stride > 1 and (kernel - stride) % 2:
        raise BackboneError(f"stem_stride: a {kernel}x{kernel} stem cannot be centred at stride {stride}")
    conv.stride = (stride, stride)
    if kernel % 2:
        conv.padding = (kernel // 2, kernel // 2)
    elif stride == 1:
        conv.padding = "same"
    else:
        conv.padding = ((kernel - stride) // 2,) * 2
    # what an even kernel pads unevenly is written down when a convolution is made
    short = kernel - 1
    conv._reversed_padding_repeated_twice = [short // 2, short - short // 2] * 2


def first_strided(model: nn.Module) -> nn.Conv2d | None:
    """The first convolution of a stride above 1, in the order in which the network names its parts."""
    convs = (part for part in model.modules() if isinstance(part, nn.Conv2d))
    return next((conv for conv in convs if conv.stride[0] > 1), None)


def _channels_last(model: Any) -> bool:
    return str(getattr(model, "output_fmt", "NCHW")).rpartition(".")[2] == "NHWC"


def _tried(
    name: str, twin: nn.Module, in_channels: int, size: tuple[int, int], expected: Scales, levels: int
) -> list[str]:
    """Run an encoder without memory, forward and back; the names of the parameters that nothing depends on.

    Raises:
        BackboneError: it breaks, or its maps are not those that it promises.
    """
    twin.eval()  # batch norms refuse a single 1x1 map in training
    try:
        # whoever builds a model to sample from it may have switched gradients off
        with torch.inference_mode(mode=False), torch.enable_grad():
            return _idle(twin, name, torch.zeros(1, in_channels, *size, device="meta"), expected, levels)
    except BackboneError:
        raise
    except Exception as error:
        raise BackboneError(
            f"{name} cannot be run on {_by(size)} with levels = {levels}: {one_line(error)}; {LISTING}"
        ) from None


def _idle(twin: nn.Module, name: str, x: Tensor, expected: Scales, levels: int) -> list[str]:
    """See :func:`_tried`."""
    size = (x.shape[2], x.shape[3])
    maps = twin(x)
    wanted = [
        (channels, size[0] // reduction, size[1] // reduction)
        for channels, reduction in list(zip(expected.channels, expected.reductions, strict=True))[:levels]
    ]
    found = [tuple(one.shape[1:]) for one in maps]
    if found != wanted:
        raise BackboneError(
            f"{name} makes maps of {', '.join(map(_shape, found))} from {_by(size)}, where its reductions promise "
            f"{', '.join(map(_shape, wanted))}; {LISTING}"
        )
    weights = {key: weight for key, weight in twin.named_parameters() if weight.requires_grad}
    total = torch.stack([one.sum() for one in maps]).sum()
    grads = torch.autograd.grad(total, list(weights.values()), allow_unused=True)
    return [key for key, grad in zip(weights, grads, strict=True) if grad is None]


def _by(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]} pixels"


def _shape(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))
