"""How clean speech sounds: DNSMOS, which foretells the opinions of listeners.

Reddy et al. 2022, "DNSMOS P.835: A Non-Intrusive Perceptual Objective Speech Quality Metric to Evaluate Noise
Suppressors", arXiv 2110.01763.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from zoo.voice.base import VoiceError
from zoo.voice.judges.packages import folder, imported

_RATE = 16000
_WINDOW = 144160
"""Samples that the network hears at once: 9.01 s."""

_CURVES = {
    "overall": (-0.06766283, 1.11546468, 0.04602535),
    "signal": (-0.08397278, 1.22083953, 0.0052439),
    "background": (-0.13166888, 1.60915514, -0.39604546),
}
"""Polynomials, highest power first, from what the network says to opinions."""


@dataclass(frozen=True)
class Quality:
    """Mean opinions from 1, bad, to 5, excellent.

    Args:
        overall: OVRL.
        signal: SIG, of the voice alone.
        background: BAK, of what is behind it.
    """

    overall: float
    signal: float
    background: float


class Dnsmos:
    """The network of P.835, which the package speechmos carries.

    Raises:
        VoiceError: onnxruntime or speechmos is not installed.
    """

    def __init__(self) -> None:
        runtime = imported("onnxruntime", "DNSMOS")
        options = runtime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        file = folder("speechmos", "DNSMOS") / "dnsmos_models" / "sig_bak_ovr.onnx"
        self._session = runtime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])

    def __call__(self, wav: Tensor) -> Quality:
        """The opinion of (L,) float32 at 16 kHz.

        As the authors' script has it, a recording is doubled until it is no shorter than 9.01 s, and the opinions of
        windows that begin a second apart are averaged; theirs loses windows from the eighth on to a rounding.

        Raises:
            VoiceError: the recording is empty.
        """
        windows = looped(wav).numpy()
        # window by window, as a batch of them takes 30 MB each
        said = [self._session.run(None, {"input_1": windows[i : i + 1]})[0] for i in range(len(windows))]
        signal, background, overall = torch.cat([torch.from_numpy(row) for row in said]).double().T
        return Quality(
            overall=_opinion("overall", overall),
            signal=_opinion("signal", signal),
            background=_opinion("background", background),
        )


def looped(wav: Tensor) -> Tensor:
    """The windows that the network hears: (L,) to (N, 144160), doubled until it fills one.

    Raises:
        VoiceError: the recording is empty.
    """
    if not len(wav):
        raise VoiceError("DNSMOS: the recording is empty")
    # what a 16-bit file of it would hold
    wav = wav.float().clamp(-1, 1)
    while len(wav) < _WINDOW:
        wav = torch.cat([wav, wav])
    count = max(1, len(wav) // _RATE - 9)
    return wav.unfold(0, _WINDOW, _RATE)[:count].contiguous()


def _opinion(curve: str, said: Tensor) -> float:
    square, slope, offset = _CURVES[curve]
    return float((square * said**2 + slope * said + offset).mean())
