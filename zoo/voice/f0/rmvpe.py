"""RMVPE: the pitch of a voice among instruments, from a file of weights."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Self

import torch
from torch import Tensor
from torch.nn import functional as F

from zoo.voice.base import F0, VoiceError
from zoo.voice.f0.curves import on_frames
from zoo.voice.f0.rmvpe_net import CLASSES, RmvpeNet, Sizes
from zoo.voice.f0.sounds import check_range, frame_times, listen, within
from zoo.voice.weights import fill, tensors_beside

_RATE, _HOP, _WINDOW = 16000, 160, 1024
_FMIN, _FMAX, _FLOOR = 30.0, 8000.0, 1e-5
_FIRST_CENTS, _CENTS = 1997.3794084376191, 20
"""Of the first class above 10 Hz, and from one to the next."""
_REACH = 4
"""Classes beside the likeliest that the mean is taken over."""
_UNUSED = "unet.tf."
"""Filters of the skips that some files carry and the networks of the voice projects never call."""


class Rmvpe(F0):
    """The local mean around the likeliest of 360 pitches, every 10 ms (Wei et al. 2023, arXiv 2306.15412).

        cents = sum_k p_k (20 k + 1997.38) / sum_k p_k, over the 9 classes around the likeliest
        f0    = 10 2^(cents / 1200)

    Args:
        checkpoint: file of weights: ``rmvpe.pt`` of RVC, ``model.pt`` of DDSP-SVC, openvpi and so-vits-svc.
        f0_min: Hz; what is found below it is unvoiced.
        f0_max: Hz; what is found above it is unvoiced.
        threshold: of the highest likelihood below which a frame is unvoiced, 0..1.

    Raises:
        ArgumentValueError: not 0 < f0_min < f0_max.
    """

    def __init__(
        self, *, checkpoint: str, f0_min: float = 65.0, f0_max: float = 800.0, threshold: float = 0.03
    ) -> None:
        check_range(f0_min, f0_max)
        self.checkpoint, self.f0_min, self.f0_max, self.threshold = checkpoint, f0_min, f0_max, threshold
        self._device = torch.device("cpu")

    def to(self, device: torch.device | str) -> Self:
        self._device = torch.device(device)
        return self

    @torch.no_grad()
    def __call__(self, wav: Tensor, sample_rate: int, *, hop: int, frames: int) -> Tensor:
        wav = listen(wav, sample_rate, hop, frames)
        net = self._net.to(self._device)
        if not wav.any():
            return torch.zeros(frames)
        wav = _resampled(wav, sample_rate)
        count = len(wav) // _HOP + 1
        # silence up to whole frames of the deepest level, as DDSP-SVC puts it behind a sound
        stride = _HOP * 2**net.sizes.levels
        wav = F.pad(wav, (0, -(len(wav) + _HOP) % stride))
        likely = net(mel(wav.to(self._device), net.sizes.bins)[None])[0, :count]
        found = within(decode(likely, self.threshold), self.f0_min, self.f0_max).cpu()
        return on_frames(found, _HOP / _RATE, frame_times(frames, hop, sample_rate))

    @functools.cached_property
    def _net(self) -> RmvpeNet:
        return read_net(self.checkpoint)


def read_net(checkpoint: str | Path) -> RmvpeNet:
    """The network of a file, with the sizes that its tensors have.

    Args:
        checkpoint: a file with the tensors at the top or under ``model``.

    Raises:
        VoiceError: there is no such file, or it holds something else.
    """
    what = "a file of RMVPE, such as rmvpe.pt of RVC or model.pt of DDSP-SVC"
    tensors = tensors_beside("unet.encoder.bn.weight", path=checkpoint, what=what)
    tensors = {key: tensor for key, tensor in tensors.items() if not key.startswith(_UNUSED)}
    try:
        net = RmvpeNet(Sizes.of({key: tuple(tensor.shape) for key, tensor in tensors.items()}))
    except (KeyError, IndexError) as error:
        raise VoiceError(f"{checkpoint}: is not {what}: {error.args[0]} is missing or of no use") from None
    fill(net, tensors, path=checkpoint, what=what)
    return net.eval()


def mel(wav: Tensor, bins: int) -> Tensor:
    """The mel that the network reads: ln, edges reflected, triangles of equal area on the scale of HTK.

    Args:
        wav: (L,) at 16 kHz, longer than 512.
        bins: M.

    Returns:
        (M, L // 160 + 1).
    """
    window = torch.hann_window(_WINDOW, device=wav.device)
    spectrum = torch.stft(wav, _WINDOW, _HOP, window=window, center=True, return_complex=True)
    return (_basis(bins).to(wav.device) @ spectrum.abs()).clamp(min=_FLOOR).log()


def decode(likely: Tensor, threshold: float) -> Tensor:
    """likely: (T, 360) of 0..1 -> (T,) Hz, 0 where none reaches the threshold."""
    best, centre = likely.max(-1, keepdim=True)
    classes = torch.arange(CLASSES, device=likely.device)
    weights = likely.double().where((classes - centre).abs() <= _REACH, 0.0)
    cents = (weights * (_CENTS * classes + _FIRST_CENTS)).sum(-1) / weights.sum(-1).clamp(
        min=torch.finfo(torch.double).tiny
    )
    return (10 * (cents / 1200).exp2()).float().where(best[:, 0] >= threshold, 0.0)


def _resampled(wav: Tensor, sample_rate: int) -> Tensor:
    # torchaudio takes a while to import
    from torchaudio.functional import resample

    # the filter that the projects with these weights resample by
    resampled: Tensor = resample(wav, sample_rate, _RATE, lowpass_filter_width=128)
    return resampled


@functools.cache
def _basis(bins: int) -> Tensor:
    """(bins, 513): triangles that are equally wide in 2595 log10(1 + f / 700)."""
    ends = 2595 * (1 + torch.tensor([_FMIN, _FMAX], dtype=torch.float64) / 700).log10()
    edges = 700 * (10 ** (torch.linspace(ends[0], ends[1], bins + 2, dtype=torch.float64) / 2595) - 1)[:, None]
    frequency = torch.arange(_WINDOW // 2 + 1, dtype=torch.float64) * (_RATE / _WINDOW)
    rising = (frequency - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - frequency) / (edges[2:] - edges[1:-1])
    return (torch.minimum(rising, falling).clamp(min=0) * (2 / (edges[2:] - edges[:-2]))).float()
