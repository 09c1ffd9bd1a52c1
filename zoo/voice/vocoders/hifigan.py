"""HiFi-GAN and its relatives with a source of pitch, from published files."""

from __future__ import annotations

from typing import ClassVar

from zoo.voice.vocoders.neural import Neural


class HifiGan(Neural):
    """HiFi-GAN: sound from a mel alone; a pitch changes nothing.

    Args:
        weights: path of a file with its config beside it, or of the folder of both.
        mel: what the model makes; weights whose config says otherwise are refused.

    References:
        Kong et al. 2020, HiFi-GAN, arXiv 2010.05646.
    """

    name = "hifigan"
    needs_f0: ClassVar[bool] = False


class NsfHifiGan(Neural):
    """HiFi-GAN with sines that follow the pitch: diff-svc, OpenVPI, DDSP-SVC.

    The source is that of the weights: nine harmonics, or the single sine of PC-NSF-HiFiGAN.

    Args:
        weights: path of a file with its config beside it, or of the folder of both.
        mel: what the model makes; weights whose config says otherwise are refused.

    References:
        Wang et al. 2019, neural source-filter, arXiv 1904.12088; Kong et al. 2020, HiFi-GAN, arXiv 2010.05646.
    """

    name = "nsf-hifigan"
    needs_f0: ClassVar[bool] = True
    gapless_f0: ClassVar[bool] = True
