"""The pooled features of any of timm's networks, with weights of your own or timm's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import timm
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.core.device import usable
from zoo.core.errors import ArgumentValueError
from zoo.metrics.features import Features
from zoo.metrics.weights import read, sha256

_BATCH = 64
_SHOWN = 3
_COUNTER = ".num_batches_tracked"
_WRAPPERS = ("state_dict_ema", "model_ema", "state_dict", "model")


class Timm(Features):
    """What a network of timm says before its head, of pictures at the size and in the colours it was trained with.

    Args:
        model: its name, such as resnet18 or vit_small_patch14_dinov2.
        weights: a file of its weights, .safetensors or of torch.save; their head may have any number of classes. Of
            a training state the moving average is taken where there is one, as timm does.
        pretrained: take the weights that timm fetches over the network, in place of a file.
        side: of the square that pictures are resized to; None takes what the network was trained with.
        device: cpu, cuda, ...; None takes the GPU when there is one.

    Raises:
        ArgumentValueError: timm has no such network; there are neither weights nor ``pretrained``, or both; the
            file cannot be read, or holds another network; weights cannot be fetched; or the network takes no picture
            of that side.
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
        network = _built(model, pretrained)
        self._origin = {"timm": timm.__version__}
        if weights is not None:
            file = Path(weights).expanduser()
            _fill(network, file, model)
            self._origin["weights_sha256"] = sha256(file)
        self.network = network.to(self._device).eval()
        about: dict[str, Any] = timm.data.resolve_model_data_config(network)  # type: ignore[no-untyped-call]
        _, height, width = about["input_size"]
        self.size = (height, width) if side is None else (side, side)
        self._mean, self._std = (
            torch.tensor(about[key], device=self._device)[:, None, None] for key in ("mean", "std")
        )
        try:
            self.dimensions = self(torch.zeros(1, 3, *self.size)).shape[1]
        except (RuntimeError, AssertionError) as error:
            first = str(error).partition("\n")[0]
            raise ArgumentValueError(
                f"timm: {model} takes no pictures of {self.size[0]} x {self.size[1]} pixels, set side to another: "
                f"{first}"
            ) from None

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

    def origin(self) -> Mapping[str, str]:
        return self._origin


def _built(model: str, pretrained: bool) -> nn.Module:
    try:
        network: nn.Module = timm.create_model(model, pretrained=pretrained, num_classes=0)
    except Exception as error:  # a network that fails does so in many ways
        if not pretrained:
            raise
        first = str(error).partition("\n")[0]
        raise ArgumentValueError(
            f"timm: the weights of {model} cannot be fetched; set weights to a file of them: {first}"
        ) from None
    return network


def _fill(network: nn.Module, file: Path, model: str) -> None:
    """Load the weights; those of the head, which is not there, are left aside."""
    state = read(file, "timm")
    state = next((state[name] for name in _WRAPPERS if isinstance(state.get(name), Mapping)), state)
    # what training in several processes or compiled put before the names
    state = timm.models.clean_state_dict(state)
    # counters of batches say nothing, and many files are older than they are
    own = {name: tensor for name, tensor in network.state_dict().items() if not name.endswith(_COUNTER)}
    passport: Any = network.pretrained_cfg
    head = passport.get("classifier") or ()
    heads = tuple(f"{name}." for name in ((head,) if isinstance(head, str) else head))
    lacking = [name for name in own if name not in state]
    foreign = [name for name in state if name not in own and not name.startswith(heads) and not name.endswith(_COUNTER)]
    if lacking or foreign:
        raise ArgumentValueError(
            f"timm: {file} holds weights of another network than {model}: it lacks {_few(lacking)}; it has besides: "
            f"{_few(foreign)}"
        )
    for name, tensor in own.items():
        given = tuple(state[name].shape) if isinstance(state[name], Tensor) else "no tensor"
        if given != tuple(tensor.shape):
            raise ArgumentValueError(
                f"timm: {file} holds weights of another network than {model}: {name} is {given} there and "
                f"{tuple(tensor.shape)} in {model}"
            )
    network.load_state_dict({name: state[name] for name in own}, strict=False)


def _few(names: list[str]) -> str:
    return ", ".join(names[:_SHOWN]) or "nothing"
