"""The two blocks of every convolutional UNet: residual, and attention over the map."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn
from torch.nn import functional as F

from zoo.core.errors import ArgumentValueError
from zoo.layers.ahead import Ahead, TimeProjection
from zoo.layers.attention import TokenConv, attend
from zoo.layers.norms import GroupNorm

Norm = Callable[[int], GroupNorm]
"""Makes the group norm of a map of so many channels."""


class ResidualBlock(nn.Module):
    """norm, silu, conv; the time; norm, silu, dropout, conv; + input (Ho et al. 2020, appendix B).

        h = conv1(resample(silu(norm1(x))))
        h = norm2(h + temb_proj(time))                                       or, with scale_shift,
        h = norm2(h) (1 + scale) + shift,  [scale, shift] = temb_proj(time)  (Dhariwal & Nichol 2021, eq. 3)
        h = conv2(dropout(silu(h)))
        out = skip_scale (h + nin_shortcut(resample(x)))

    Args:
        in_channels: of x.
        out_channels: of the result.
        time_width: width of the vector of time and class, which has gone through a silu.
        norm: makes the two norms.
        norm_in: makes the first norm; None for ``norm``, as the second.
        dropout: probability of dropping a value before the second convolution, in training.
        scale_shift: whether the time scales and shifts the second norm's output; else it is added before it.
        resample: halves or doubles the map on both paths; None to keep its size.
        project: whether the input goes through a 1x1 convolution; None for where the widths differ.
        skip_scale: factor of the sum.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        time_width: int,
        *,
        norm: Norm,
        norm_in: Norm | None = None,
        dropout: float = 0.0,
        scale_shift: bool = False,
        resample: nn.Module | None = None,
        project: bool | None = None,
        skip_scale: float = 1.0,
    ) -> None:
        super().__init__()
        self.scale_shift, self.skip_scale = scale_shift, skip_scale
        self.norm1 = (norm_in or norm)(in_channels)
        self.conv1 = nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1)
        self.temb_proj = TimeProjection(time_width, 2 * out_channels if scale_shift else out_channels)
        self.norm2 = norm(out_channels)
        self.dropout = nn.Dropout(dropout)
        self.conv2 = nn.Conv2d(out_channels, out_channels, kernel_size=3, padding=1)
        project = in_channels != out_channels if project is None else project
        self.nin_shortcut = nn.Conv2d(in_channels, out_channels, kernel_size=1) if project else None
        self.resample = resample

    def forward(self, x: Tensor, time: Tensor | Ahead) -> Tensor:
        """x: (B, C_in, H, W), time: (B, time_width), or its projections -> (B, C_out, H', W')."""
        # sums are made in place, in the fresh output of a convolution, which autograd does not need
        h: Tensor = F.silu(self.norm1(x))
        if self.resample is not None:
            h, x = self.resample(h), self.resample(x)
        h = self.conv1(h)
        bias: Tensor = self.temb_proj(time)[:, :, None, None]
        if self.scale_shift:
            scale, shift = bias.chunk(2, dim=1)
            h = self.norm2(h) * (1 + scale) + shift
        else:
            h += bias
            h = self.norm2(h)
        h = self.conv2(self.dropout(F.silu(h)))
        h += x if self.nin_shortcut is None else self.nin_shortcut(x)
        return h if self.skip_scale == 1 else h * self.skip_scale


class AttentionBlock(nn.Module):
    """skip_scale (x + proj_out(attention(norm(x)))) over all positions of the map.

    Args:
        channels: of the map.
        norm: makes the norm; None for none.
        heads: number of heads.
        head_channels: width of a head; None for channels / heads.
        skip_scale: factor of the sum.

    Raises:
        ArgumentValueError: when heads do not divide the channels and head_channels is not given.
    """

    def __init__(
        self,
        channels: int,
        *,
        norm: Norm | None,
        heads: int = 1,
        head_channels: int | None = None,
        skip_scale: float = 1.0,
    ) -> None:
        super().__init__()
        if head_channels is None and channels % heads:
            raise ArgumentValueError(f"{heads} heads do not divide {channels} channels")
        inner = channels if head_channels is None else heads * head_channels
        self.heads, self.skip_scale = heads, skip_scale
        self.norm = norm(channels) if norm is not None else nn.Identity()
        self.q = TokenConv(channels, inner)
        self.k = TokenConv(channels, inner)
        self.v = TokenConv(channels, inner)
        self.proj_out = TokenConv(inner, channels)

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, C, H, W) -> the same shape."""
        tokens: Tensor = self.norm(x).flatten(2).transpose(1, 2).contiguous()  # (B, H W, C)
        tokens = self.proj_out(attend(self.q(tokens), self.k(tokens), self.v(tokens), heads=self.heads))
        h = x + tokens.transpose(1, 2).view_as(x)
        return h if self.skip_scale == 1 else h * self.skip_scale
