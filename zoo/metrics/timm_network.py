"""The pooled features of any of timm's networks, with weights of your own or timm's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import timm
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.core.device import usable
from zoo.core.errors import ArgumentValueError
from zoo.metrics.features import Features

_BATCH = 64
_SHOWN = 3


class Timm(Features):
    """What a network of timm says before its head, of pictures at the size and in the colours it was trained with.

    Args:
        model: its name, such as resnet18 or vit_small_patch14_dinov2.
        weights: a file of its weights, .safetensors or of torch.save; their head may have any number of classes.
        pretrained: take the weights that timm fetches over the network, in place of a file.
        side: of the square that pictures are resized to; None takes what the network was trained with.
        device: cpu, cuda, ...; None takes the GPU when there is one.

    Raises:
        ArgumentValueError: timm has no such network; there are neither weights nor ``pretrained``, or both; or the
            file cannot be read, or holds another network.
    """

    def __init__(
        self,
        *,
        model: str,
        weights: str | None = None,
        pretrained: bool = False,
        side: int | None = None,
        device: str | None = None,
    ) -> None:
        if (weights is None) != pretrained:
            raise ArgumentValueError(
                "timm: features need trained weights: set weights to a file of them, or pretrained to true, not both"
            )
        if not timm.is_model(model):
            raise ArgumentValueError(f"timm: there is no network {model!r}; timm.list_models() names them")
        self._device = usable(device)
        network: nn.Module = timm.create_model(model, pretrained=pretrained, num_classes=0)
        if weights is not None:
            _fill(network, Path(weights).expanduser(), model)
        self.network = network.to(self._device).eval()
        about: dict[str, Any] = timm.data.resolve_model_data_config(network)  # type: ignore[no-untyped-call]
        _, height, width = about["input_size"]
        self.size = (height, width) if side is None else (side, side)
        self._mean, self._std = (
            torch.tensor(about[key], device=self._device)[:, None, None] for key in ("mean", "std")
        )
        self.dimensions = self(torch.zeros(1, 3, *self.size)).shape[1]

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        return torch.cat([self._features(batch) for batch in torch.split(images, _BATCH)])

    def _features(self, images: Tensor) -> Tensor:
        pixels = (images.to(self._device, torch.float32).clamp(-1, 1) + 1) / 2
        pixels = pixels.expand(-1, 3, -1, -1)
        if pixels.shape[2:] != self.size:
            pixels = F.interpolate(pixels, self.size, mode="bicubic", antialias=True).clamp(0, 1)
        features: Tensor = self.network((pixels - self._mean) / self._std)
        return features.cpu()

    def facts(self) -> Mapping[str, float | int]:
        return {"dimensions": self.dimensions, "height": self.size[0], "width": self.size[1]}


def _fill(network: nn.Module, file: Path, model: str) -> None:
    """Load the weights; those of the head, which is not there, are left aside."""
    try:
        if file.suffix == ".safetensors":
            state = safetensors.torch.load_file(file)
        else:
            state = torch.load(file, map_location="cpu", weights_only=True)
            state = state.get("state_dict", state)
        wrong = network.load_state_dict(state, strict=False)
    except Exception as error:  # readers raise whatever the bytes of a file lead them to
        first = str(error).partition("\n")[0]
        raise ArgumentValueError(f"timm: {file} cannot be read as weights of {model}: {first}") from None
    passport: Any = network.pretrained_cfg
    head = passport.get("classifier") or ()
    heads = tuple(f"{name}." for name in ((head,) if isinstance(head, str) else head))
    foreign = [name for name in wrong.unexpected_keys if not name.startswith(heads)]
    if wrong.missing_keys or foreign:
        lacking = ", ".join(wrong.missing_keys[:_SHOWN]) or "nothing"
        beside = ", ".join(foreign[:_SHOWN]) or "nothing"
        raise ArgumentValueError(
            f"timm: {file} holds weights of another network than {model}: it lacks {lacking}; it has besides: {beside}"
        )
