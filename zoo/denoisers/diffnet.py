"""DiffNet: the WaveNet denoiser of DiffSinger, diff-svc and their relatives (Liu et al. 2022, section 3.4).

    x -> 1x1 convolution, relu -> L residual layers -> sum of their skips / sqrt(L)
      -> 1x1 convolution, relu -> 1x1 convolution

No frame is dropped or added on the way: the dilated convolutions pad with zeros. Layer i looks at the frames
n - d, n and n + d, with d = 2^(i mod dilation_cycle), so that L layers see sum_i d_i frames to either side.
Parameters have the names of the files of DiffSinger and diff-svc, so that these load as they are.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.layers.ahead import Ahead, CondProjection, TimeProjection, all_ahead, apart, cond_ahead, number, told
from zoo.layers.frames import FrameShape, embed_step, hide, positive
from zoo.layers.levels import Section


class ResidualLayer(nn.Module):
    """A gated dilated convolution under time and condition (van den Oord et al. 2016, eq. 2).

        y = conv_d(x + W_t step) + W_c cond,   [gate, filter] = y
        [residual, skip] = W_o (sigmoid(gate) * tanh(filter)),   x' = (x + residual) / sqrt(2)

    Args:
        channels: C, of x and of the skip.
        cond_channels: of the condition.
        dilation: d, the distance of the three taps.
    """

    def __init__(self, channels: int, cond_channels: int, dilation: int) -> None:
        super().__init__()
        self.dilated_conv = nn.Conv1d(channels, 2 * channels, kernel_size=3, padding=dilation, dilation=dilation)
        self.diffusion_projection = TimeProjection(channels, channels)
        self.conditioner_projection = CondProjection(cond_channels, 2 * channels)
        self.output_projection = nn.Conv1d(channels, 2 * channels, kernel_size=1)

    def forward(self, x: Tensor, step: Tensor | Ahead, cond: Tensor, past: Tensor | None) -> tuple[Tensor, Tensor]:
        """One layer.

        Args:
            x: (B, C, T).
            step: (B, C), or every layer's projection of it.
            cond: (B, H, T), or every layer's projection of it.
            past: (B, 1, T).

        Returns:
            x' and skip, (B, C, T) both.
        """
        # The convolution pads x + step, not x, with zeros: so must we behind the end of an item
        shifted = hide(x + self.diffusion_projection(step)[:, :, None], past)
        # in place, in the fresh output of a convolution or a sum, which autograd does not need
        y: Tensor = self.dilated_conv(shifted)
        y += self.conditioner_projection(cond)
        gate, filtered = y.chunk(2, dim=1)
        y = self.output_projection(gate.sigmoid() * filtered.tanh())
        residual, skip = y.chunk(2, dim=1)
        return (x + residual) / math.sqrt(2), skip


class DiffNet(nn.Module):
    """The WaveNet denoiser of mels: `forward(x, t, cond=..., lengths=...)`.

    One class for diff-svc, kor_diff_svc, both trees of DiffSinger ("wavenet" in OpenVPI's) and DDSP-SVC,
    which differ in the numbers below only. The weights tell all of them but the dilation cycle: it is 1 in
    DDSP-SVC and in DiffSinger's base config, 4 in the others.

    Args:
        mel_bins: M, bins of a mel frame.
        cond_channels: H, channels of the condition.
        residual_channels: C, width of the layers and of the time embedding.
        layers: L, number of residual layers.
        dilation_cycle: the dilation doubles from layer to layer and starts again at 1 after so many.
        n_feats: F, features of M bins each in a frame; x has a dimension for them when there are several.

    Raises:
        ArgumentValueError: when one of them is below 1.
    """

    TINY: ClassVar[dict[str, Any]] = {
        "mel_bins": 8,
        "cond_channels": 6,
        "residual_channels": 8,
        "layers": 3,
        "dilation_cycle": 2,
    }

    def __init__(
        self,
        *,
        mel_bins: int = 128,
        cond_channels: int = 256,
        residual_channels: int = 384,
        layers: int = 20,
        dilation_cycle: int = 4,
        n_feats: int = 1,
    ) -> None:
        super().__init__()
        self.frames = FrameShape("DiffNet", mel_bins, n_feats, cond_channels)
        positive(residual_channels=residual_channels, layers=layers, dilation_cycle=dilation_cycle)
        self.residual_channels, self.dilation_cycle = residual_channels, dilation_cycle
        self.input_projection = nn.Conv1d(self.frames.channels, residual_channels, kernel_size=1)
        self.mlp = nn.Sequential(
            nn.Linear(residual_channels, 4 * residual_channels),
            nn.Mish(),
            nn.Linear(4 * residual_channels, residual_channels),
        )
        self.residual_layers = nn.ModuleList(
            ResidualLayer(residual_channels, cond_channels, dilation=2 ** (i % dilation_cycle)) for i in range(layers)
        )
        self.skip_projection = nn.Conv1d(residual_channels, residual_channels, kernel_size=1)
        self.output_projection = nn.Conv1d(residual_channels, self.frames.channels, kernel_size=1)
        self._step_widths = number(self, TimeProjection)
        number(self, CondProjection)
        self._initialise()

    def _initialise(self) -> None:
        """Convolutions after He et al. 2015, as in diff-svc; the last one zero."""
        for module in self.modules():
            if isinstance(module, nn.Conv1d):
                nn.init.kaiming_normal_(module.weight)
        nn.init.zeros_(self.output_projection.weight)

    def prepare_cond(self, *, cond: Tensor | None = None, lengths: Tensor | None = None) -> dict[str, Tensor]:
        """Every layer's projection of the condition: `cond.i`, (B, 2 C, T) each; nothing without a condition."""
        if cond is None:
            return {}
        return cond_ahead(self, self.frames.condition(cond.to(self.skip_projection.weight.dtype), lengths))

    def prepare_times(self, times: Tensor) -> dict[str, Tensor]:
        """Every layer's projection of the step, for (R,) times: (R, L C)."""
        step = self.mlp(embed_step(times, self.residual_channels, self.skip_projection.weight.dtype))
        return {"step": all_ahead(self, TimeProjection, step)}

    def forward(
        self,
        x: Tensor,
        t: Tensor,
        *,
        cond: Tensor | None = None,
        lengths: Tensor | None = None,
        prepared: Mapping[str, Tensor] | None = None,
    ) -> Tensor:
        """The network's output, read by a parameterization.

        Args:
            x: (B, M, T), or (B, F, M, T) when F > 1, of the dtype of the parameters.
            t: (B,) or one for all: the time label, whole or fractional.
            cond: (B, H, T), one column a frame; None for zeros.
            lengths: (B,) frames of each item, 1..T, for a batch whose items were padded on the right. Each
                then has the output that it has alone, and zeros behind its end. None takes padding for mel.
            prepared: what the two methods above made of t and cond; rows of one serve the whole batch.

        Returns:
            Of the shape of x.

        Raises:
            ShapeError: when x, t, cond or lengths have another shape.
            ArgumentValueError: when a length (on the CPU) is not 1..T.
        """
        batch = self.frames.read(x, t, cond, lengths)
        ready = prepared or {}
        step: Tensor | Ahead
        if "step" in ready:
            step = apart(ready["step"], self._step_widths)
        else:
            step = self.mlp(embed_step(batch.t, self.residual_channels, x.dtype))
        count = len(self.residual_layers)
        layers_cond = told(ready, batch.cond, count)
        h = F.relu(self.input_projection(batch.x))
        # at least float32: twenty skips of half precision add up to half a digit less
        skips = torch.zeros_like(h, dtype=torch.promote_types(h.dtype, torch.float32))
        for layer in self.residual_layers:
            h, skip = layer(h, step, layers_cond, batch.past)
            skips += skip
        skips /= math.sqrt(count)
        h = F.relu(self.skip_projection(skips.to(h.dtype)))
        return self.frames.write(self.output_projection(h), batch.past)

    def sections(self, *size: int) -> list[Section]:
        """The structure of the network for mels of this size, in the order of the table: a row a cycle."""
        frames, channels, count = size[-1:], self.residual_channels, len(self.residual_layers)
        rows = [Section("in", ("input_projection", "mlp"), frames, channels)]
        # Layers that all look equally far are one row
        per_row = self.dilation_cycle if self.dilation_cycle > 1 else count
        for first in range(0, count, per_row):
            layers = range(first, min(first + per_row, count))
            last, furthest = layers[-1], 2 ** ((len(layers) - 1) % self.dilation_cycle)
            span = f"layers {first}-{last}" if last > first else f"layer {first}"
            rows.append(
                Section(
                    name=f"{span}, dilation 1{f'-{furthest}' if furthest > 1 else ''}",
                    modules=tuple(f"residual_layers.{i}" for i in layers),
                    resolution=frames,
                    channels=channels,
                    blocks=len(layers),
                )
            )
        rows.append(Section("out", ("skip_projection", "output_projection"), frames, self.frames.channels))
        return rows
