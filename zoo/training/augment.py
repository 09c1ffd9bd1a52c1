"""Pictures changed in their geometry while training, in ways that the network is told and so does not learn to draw.

The pipeline of EDM (Karras et al. 2022, table 6 and appendix F.2, with the signs of its code): a picture is mirrored,
scaled, turned, stretched and moved by eight random parameters a_0..a_7, and nine numbers made of them are the condition
``augment``. Zeros stand for the picture as it is, which is what one samples.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

CHANNELS = 9
"""Numbers that describe a change."""

_SCALE = _STRETCH = 2**0.2
_SHIFT = 1 / 8


def draw(n: int, probability: float, generator: torch.Generator) -> Tensor:
    """The parameters of n changes: (n, 8) float64.

    a_0, mirrored left to right, is 0 or 1 with equal chances. The others are 0 but with the probability, each change
    on its own: a_1, mirrored upside down, in {0, 1}; a_2, the size, normal; a_3, the turn, uniform in [-pi, pi];
    a_5, the stretch, normal, at the angle a_4, which is 0 half of the time and else like a_3; a_6 and a_7, the shift,
    normal.

    Args:
        n: how many.
        probability: of a change.
        generator: on the CPU.
    """
    coins = torch.rand(n, 3, dtype=torch.float64, generator=generator) < 0.5
    angles = (torch.rand(n, 2, dtype=torch.float64, generator=generator) * 2 - 1) * math.pi
    normal = torch.randn(n, 4, dtype=torch.float64, generator=generator)
    happens = torch.rand(n, 5, dtype=torch.float64, generator=generator) < probability
    mirror, size, turn, stretch, shift = happens.unbind(1)
    return torch.stack(
        [
            coins[:, 0],
            coins[:, 1] & mirror,
            normal[:, 0] * size,
            angles[:, 0] * turn,
            angles[:, 1] * (stretch & coins[:, 2]),
            normal[:, 1] * stretch,
            normal[:, 2] * shift,
            normal[:, 3] * shift,
        ],
        dim=1,
    )


def describe(a: Tensor) -> Tensor:
    """What the network is told: (n, 9), (a_0, a_1, a_2, cos a_3 - 1, sin a_3, a_5 cos a_4, a_5 sin a_4, a_6, a_7).

    Args:
        a: (n, 8) from :func:`draw`.
    """
    turn, angle, stretch = a[:, 3], a[:, 4], a[:, 5]
    made = (turn.cos() - 1, turn.sin(), stretch * angle.cos(), stretch * angle.sin())
    return torch.cat([a[:, :3], torch.stack(made, dim=1), a[:, 6:]], dim=1)


def change(x_0: Tensor, a: Tensor) -> Tensor:
    """Pictures, changed: mirrored, then scaled, turned, stretched and moved. What leaves the frame is reflected.

    Mirroring moves pixels alone. The rest reads the picture at twice its size, between the pixels, and takes the mean
    of four, so that fine patterns are not folded into coarse ones.

    Args:
        x_0: (n, C, H, W).
        a: (n, 8) from :func:`draw`, on the same device.
    """
    x_0 = torch.where(_rows(a[:, 0] > 0, x_0), x_0.flip(3), x_0)
    x_0 = torch.where(_rows(a[:, 1] > 0, x_0), x_0.flip(2), x_0)
    warped = (a[:, 2:] != 0).any(1)
    if not warped.any():
        return x_0
    moved = x_0[warped]
    height, width = moved.shape[2:]
    back = _back(a[warped], height, width).to(moved)
    # antialias: the cubic that is exact for straight lines, where the plain one is not
    fine = F.interpolate(moved, scale_factor=2, mode="bicubic", align_corners=False, antialias=True)
    where = F.affine_grid(back, list(fine.shape), align_corners=False)
    read = F.grid_sample(fine, where, mode="bilinear", padding_mode="reflection", align_corners=False)
    x_0[warped] = F.avg_pool2d(read, 2)
    return x_0


def _back(a: Tensor, height: int, width: int) -> Tensor:
    """From places in the changed picture to those in the one before, both in [-1, 1]: (n, 2, 3)."""
    one, none = torch.ones_like(a[:, 0]), torch.zeros_like(a[:, 0])
    scale, stretch = _SCALE ** a[:, 2], _STRETCH ** a[:, 5]
    # in pixels from the middle, x to the right and y down
    shift = _matrix([one, none, -_SHIFT * width * a[:, 6]], [none, one, -_SHIFT * height * a[:, 7]])
    stretched = _turn(-a[:, 4]) @ _matrix([1 / stretch, none, none], [none, stretch, none]) @ _turn(a[:, 4])
    scaled = _matrix([1 / scale, none, none], [none, 1 / scale, none])
    to_pixels = torch.diag(a.new_tensor([width / 2, height / 2, 1.0]))
    whole: Tensor = to_pixels.inverse() @ scaled @ _turn(a[:, 3]) @ stretched @ shift @ to_pixels
    return whole[:, :2]


def _turn(angle: Tensor) -> Tensor:
    none = torch.zeros_like(angle)
    return _matrix([angle.cos(), -angle.sin(), none], [angle.sin(), angle.cos(), none])


def _matrix(first: list[Tensor], second: list[Tensor]) -> Tensor:
    """(n, 3, 3) of two rows of entries (n,), above (0, 0, 1)."""
    last = [torch.zeros_like(first[0]), torch.zeros_like(first[0]), torch.ones_like(first[0])]
    return torch.stack([torch.stack(row, dim=1) for row in (first, second, last)], dim=1)


def _rows(flags: Tensor, x: Tensor) -> Tensor:
    return flags.reshape(-1, *[1] * (x.ndim - 1))
