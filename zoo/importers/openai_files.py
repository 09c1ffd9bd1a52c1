"""The published files of OpenAI's diffusion projects: what their shapes are, and what these do not tell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from zoo.importers.openai_names import Network

Project = Literal["guided-diffusion", "improved-diffusion"]

_MULTS: dict[int, tuple[int | float, ...]] = {
    32: (1, 2, 2, 2),
    64: (1, 2, 3, 4),
    128: (1, 1, 2, 3, 4),
    256: (1, 1, 2, 2, 4, 4),
    512: (0.5, 1, 1, 2, 2, 4, 4),
}


@dataclass(frozen=True, kw_only=True)
class Published:
    """One file, or several of the same network.

    Args:
        name: of the file.
        project: that it belongs to.
        size: side of the images.
        base: num_channels.
        blocks: num_res_blocks.
        attention: sides of the maps that attend.
        classes: of ImageNet, or none.
        upsampler: whether it sees an image of low resolution.
        classifier: whether it is a classifier.
        scale_shift: use_scale_shift_norm.
        heads: num_heads.
        head_channels: num_head_channels, or -1.
        new_order: use_new_attention_order.
        schedule: noise_schedule.
        steps: diffusion_steps.
        rescale: rescale_timesteps.
        dropout: of its training.
    """

    name: str
    project: Project
    size: int
    base: int
    blocks: int
    attention: tuple[int, ...] = (32, 16, 8)
    classes: bool = True
    upsampler: bool = False
    classifier: bool = False
    scale_shift: bool = True
    heads: int = 4
    head_channels: int = 64
    new_order: bool = False
    schedule: Literal["linear", "cosine"] = "linear"
    steps: int = 1000
    rescale: bool = False
    dropout: float = 0.0

    def fields(self) -> dict[str, Any]:
        """What shapes do not tell, by the names of the flags."""
        return {
            "num_heads": self.heads,
            "num_head_channels": self.head_channels,
            "use_new_attention_order": self.new_order,
            "noise_schedule": self.schedule,
            "diffusion_steps": self.steps,
            "rescale_timesteps": self.rescale,
            "dropout": self.dropout,
        }

    def has_the_shapes_of(self, net: Network) -> bool:
        """Whether these weights could be this file."""
        mult = _MULTS[256] if self.upsampler else _MULTS[self.size]
        labels = 1000 if self.classes else None
        ends = (3, 1000, None) if self.classifier else (6 if self.upsampler else 3, 6, labels)
        return (
            net.classifier == self.classifier
            and net.pool in (None, "attention")
            and (net.seen, net.out, net.classes) == ends
            and (net.base, tuple(net.mult), net.blocks) == (self.base, mult, self.blocks)
            and [self.size // 2**i for i in net.attends] == list(self.attention)
            and net.scale_shift == self.scale_shift
            and net.resample == ("residual" if self.project == "guided-diffusion" else "conv")
        )


def _guided(name: str, size: int, base: int, blocks: int = 2, **settings: Any) -> Published:
    return Published(name=name, project="guided-diffusion", size=size, base=base, blocks=blocks, **settings)


def _improved(name: str, size: int, base: int, blocks: int = 3, **settings: Any) -> Published:
    heads = {"head_channels": -1, "attention": (16, 8), **settings}
    return Published(name=name, project="improved-diffusion", size=size, base=base, blocks=blocks, **heads)


PUBLISHED = (
    _guided("64x64_diffusion.pt", 64, 192, 3, new_order=True, schedule="cosine", dropout=0.1),
    _guided("128x128_diffusion.pt", 128, 256, head_channels=-1),
    _guided("256x256_diffusion.pt", 256, 256),
    _guided("256x256_diffusion_uncond.pt and lsun_*.pt", 256, 256, classes=False),
    _guided("512x512_diffusion.pt", 512, 256),
    _guided("64_256_upsampler.pt", 256, 192, upsampler=True, head_channels=-1),
    _guided("128_512_upsampler.pt", 512, 192, upsampler=True, attention=(32, 16)),
    _guided("64x64_classifier.pt", 64, 128, 4, classifier=True, schedule="cosine"),
    _guided("128x128_classifier.pt", 128, 128, classifier=True),
    _guided("256x256_classifier.pt and 256x256_classifier_uncond.pt", 256, 128, classifier=True),
    _guided("512x512_classifier.pt", 512, 128, classifier=True),
    _improved("cifar10_uncond_*.pt", 32, 128, classes=False, schedule="cosine", steps=4000, rescale=True, dropout=0.3),
    _improved("imagenet64_uncond_*.pt", 64, 128, classes=False, schedule="cosine", steps=4000, rescale=True),
    _improved("imagenet64_cond_*.pt", 64, 192, schedule="cosine", steps=4000),
    _improved("upsample_cond_*.pt", 256, 192, 2, upsampler=True, steps=4000),
    _improved("lsun_uncond_*.pt", 256, 128, 2, classes=False, scale_shift=False, heads=1, attention=(16,)),
)


def published(net: Network) -> Published | None:
    """The published file that has exactly these shapes."""
    return next((file for file in PUBLISHED if file.has_the_shapes_of(net)), None)
