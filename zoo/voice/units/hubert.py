"""HuBERT and what was made of it: units of networks that learned by themselves which sounds there are."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

import torch
from torch import Tensor
from torch.nn import functional as F

from zoo.core.errors import ArgumentValueError
from zoo.voice.base import Units, VoiceError
from zoo.voice.units.sounds import listen

if TYPE_CHECKING:
    from zoo.voice.units.hubert_layouts import Projection
    from zoo.voice.units.hubert_net import Hubert as Network

_WINDOW = 400
_SOFT_EDGE = 40
"""Zeros on either side, half of what a window is longer than a hop, so that L samples make L // 320 units."""


class _Encoder(Units):
    """A network from a file, at 50 units a second.

    Args:
        name: as messages call it.
        weights: path of its file.
        wanted: the public file, and where it is.
        channels: of a unit.
        heads: of attention, where the weights do not tell.
        normalize: recordings to mean 0 and variance 1; None as it was trained.
    """

    def __init__(
        self,
        name: str,
        weights: str | None,
        wanted: str,
        channels: int,
        *,
        heads: int | None = None,
        normalize: bool | None = None,
    ) -> None:
        self.weights, self.channels, self.rate = weights, channels, 50.0
        self._name, self._wanted, self._heads, self._normalize = name, wanted, heads, normalize
        self._device = torch.device("cpu")

    def to(self, device: torch.device | str) -> Self:
        self._device = torch.device(device)
        return self

    @functools.cached_property
    def _network(self) -> Network:
        # torchaudio takes a while to import
        from zoo.voice.units.hubert_net import read_net

        if self.weights is None:
            raise VoiceError(
                f"{self._name} has no weights: pass {self._wanted}, as --units '{self._name} weights=FILE' or "
                "voice.units.weights in a config"
            )
        path = Path(self.weights).expanduser()
        return read_net(path, what=f"a file of {self._name}", heads=self._heads, normalize=self._normalize)

    def _encoded(
        self,
        wav: Tensor,
        sample_rate: int,
        *,
        layer: int | None = None,
        projection: Projection | None = None,
        edge: int = 0,
    ) -> Tensor:
        heard = listen(wav, sample_rate, who=self._name, least=_WINDOW - 2 * edge)
        network = self._network.to(self._device)
        layers = network.sizes.layers
        if layer is not None and not 1 <= layer <= layers:
            raise VoiceError(f"{self._name}: {self.weights} has the layers 1 to {layers}, not {layer}")
        made = network.sizes.width
        if projection is not None:
            if projection not in network.projections:
                raise VoiceError(
                    f"{self._name}: {self.weights} has no {projection}, so it is another encoder's; expected "
                    f"{self._wanted}"
                )
            made = len(network.state_dict()[f"projections.{projection}.weight"])
        if made != self.channels:
            raise VoiceError(f"{self._name}: these weights make units of {made} channels, not {self.channels}")
        if network.normalized:
            heard = (heard - heard.mean()) / (heard.var(correction=0) + 1e-5).sqrt()
        return network.units(F.pad(heard, (edge, edge)), layer=layer, projection=projection)


class HubertSoft(_Encoder):
    """Units that were trained to leave it open which sound it is (van Niekerk et al. 2021, arXiv 2111.02392).

    L samples at 16 kHz, with 40 zeros on either side, make L // 320 units: unit i is centred at i + 1/2 hops.

    Args:
        weights: path of ``hubert-soft-0d54a1f4.pt``, which diff-svc calls ``hubert_soft.pt``, or of its tensors.
        heads: of attention, for files that are not of the published width.
    """

    def __init__(self, *, weights: str | None = None, heads: int | None = None) -> None:
        wanted = "hubert-soft-0d54a1f4.pt, a release of github.com/bshall/hubert"
        super().__init__("hubert-soft", weights, wanted, 256, heads=heads, normalize=False)

    def __call__(self, wav: Tensor, sample_rate: int) -> Tensor:
        return self._encoded(wav, sample_rate, projection="proj", edge=_SOFT_EDGE)


class ContentVec(_Encoder):
    """HuBERT made to forget the speaker (Qian et al. 2022, ContentVec, arXiv 2204.09224).

    Args:
        weights: path of ``checkpoint_best_legacy_500.pt`` (fairseq's, which need not be installed), or of a folder of
            Hugging Face.
        dim: 256 is the ninth layer projected, as so-vits-svc 4.0 and diff-svc take it, 768 the twelfth, as so-vits-svc
            4.1, RVC v2 and DDSP-SVC do.
        heads: of attention, for files that are not of the published width.

    Raises:
        ArgumentValueError: another dim.
    """

    def __init__(self, *, weights: str | None = None, dim: Literal[256, 768] = 256, heads: int | None = None) -> None:
        if dim not in (256, 768):
            raise ArgumentValueError(f"dim is 256 (layer 9, projected) or 768 (layer 12), got {dim}")
        wanted = "checkpoint_best_legacy_500.pt of github.com/auspicious3000/contentvec"
        super().__init__("contentvec", weights, wanted, dim, heads=heads, normalize=False)

    def __call__(self, wav: Tensor, sample_rate: int) -> Tensor:
        if self.channels == 256:
            return self._encoded(wav, sample_rate, layer=9, projection="final_proj")
        return self._encoded(wav, sample_rate, layer=12)


class Hubert(_Encoder):
    """A layer of HuBERT, or of wav2vec 2.0, which is the same network (Hsu et al. 2021, arXiv 2106.07447).

    L samples at 16 kHz make (L - 400) // 320 + 1 units: unit i is centred at 320 i + 200.

    Args:
        weights: path of a file of fairseq, torchaudio or Hugging Face, or of a folder of the latter.
        channels: of a unit: 768 of base, 1024 of large, 1280 of extra large.
        layer: whose output is taken, from 1, before the norm that large networks end with; None takes what comes out
            of the whole.
        heads: of attention, where neither a config.json nor the published width (12 of 768, 16 of 1024 and 1280)
            is right.
        normalize: recordings to mean 0 and variance 1; None as it was trained.

    Raises:
        ArgumentValueError: a number below 1.
    """

    def __init__(
        self,
        *,
        weights: str | None = None,
        channels: int = 768,
        layer: int | None = None,
        heads: int | None = None,
        normalize: bool | None = None,
    ) -> None:
        for name, number in (("channels", channels), ("layer", layer), ("heads", heads)):
            if number is not None and number < 1:
                raise ArgumentValueError(f"{name} is from 1, got {number}")
        wanted = "hubert_base_ls960.pt of fairseq, or a folder of Hugging Face such as team-lucid/hubert-base-korean"
        super().__init__("hubert", weights, wanted, channels, heads=heads, normalize=normalize)
        self.layer = layer

    def __call__(self, wav: Tensor, sample_rate: int) -> Tensor:
        return self._encoded(wav, sample_rate, layer=self.layer)
