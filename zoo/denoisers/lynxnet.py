"""LYNXNet and LYNXNet2: the convolutional denoisers of OpenVPI's DiffSinger, after the Conformer's module.

Both are stacks of gated depthwise convolutions with a residual each (Gulati et al. 2020, section 2.2);
neither has attention. Parameters have the names of OpenVPI's files, so that these load as they are; the
numbers in these names count modules without parameters as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from torch import Tensor, nn
from torch.nn import functional as F

from zoo.core.errors import ArgumentValueError
from zoo.layers.ahead import Ahead, CondProjection, FrameProjection, all_ahead, apart, cond_ahead, number, told
from zoo.layers.frames import FrameShape, embed_step, hide, odd, positive
from zoo.layers.levels import Section


class GLU(nn.Module):
    """[value, gate] -> value * f(gate), with f = silu or atan, along one dimension."""

    def __init__(self, kind: Literal["swiglu", "atanglu"], dim: int) -> None:
        super().__init__()
        self.kind, self.dim = kind, dim

    def forward(self, x: Tensor) -> Tensor:
        value, gate = x.chunk(2, dim=self.dim)
        return value * (F.silu(gate) if self.kind == "swiglu" else gate.atan())


def _step_embedding(channels: int) -> nn.Sequential:
    """The layers after the sinusoidal embedding, which stands at 0 and has no parameters."""
    return nn.Sequential(nn.Identity(), nn.Linear(channels, 4 * channels), nn.GELU(), nn.Linear(4 * channels, channels))


def _depthwise(channels: int, kernel_size: int) -> nn.Conv1d:
    return nn.Conv1d(channels, channels, kernel_size, padding=kernel_size // 2, groups=channels)


def _inner_channels(channels: int, expansion: float, kernel_size: int, dropout: float) -> int:
    """channels x expansion, rounded down, once the four make sense."""
    odd(kernel_size=kernel_size)
    if not 0 <= dropout < 1:
        raise ArgumentValueError(f"dropout must be at least 0 and below 1, got {dropout:g}")
    inner = int(channels * expansion)
    if inner < 1:
        raise ArgumentValueError(f"expansion must leave at least 1 of {channels} channels, got {expansion:g}")
    return inner


class ConvModule(nn.Module):
    """norm, 1x1 to 2 I, swiglu, depthwise convolution, activation, 1x1 to C."""

    def __init__(
        self,
        channels: int,
        inner: int,
        kernel_size: int,
        activation: Literal["prelu", "relu", "silu"],
        dropout: float,
    ) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.LayerNorm(channels),
            nn.Identity(),
            nn.Conv1d(channels, 2 * inner, kernel_size=1),
            GLU("swiglu", dim=1),
            _depthwise(inner, kernel_size),
            nn.PReLU(inner) if activation == "prelu" else nn.ReLU() if activation == "relu" else nn.SiLU(),
            nn.Conv1d(inner, channels, kernel_size=1),
            nn.Dropout(dropout),
        )

    def forward(self, x: Tensor, past: Tensor | None) -> Tensor:
        """x: (B, C, T), past: (B, 1, T) -> (B, C, T)."""
        norm, _, widen, glu, conv, activation, narrow, dropout = self.net
        h = glu(widen(norm(x.transpose(1, 2)).transpose(1, 2)))
        return dropout(narrow(activation(conv(hide(h, past)))))  # type: ignore[no-any-return]


class StepProjection(FrameProjection):
    """That of the embedded time, which is a single frame."""


class LynxLayer(nn.Module):
    """x + module(x + W_c cond + W_t step); when strong, x + W_c cond goes on in place of x."""

    def __init__(self, channels: int, cond_channels: int, convmodule: ConvModule) -> None:
        super().__init__()
        self.diffusion_projection = StepProjection(channels, channels)
        self.conditioner_projection = CondProjection(cond_channels, channels)
        self.convmodule = convmodule

    def forward(
        self, x: Tensor, step: Tensor | Ahead, cond: Tensor | Ahead, past: Tensor | None, strong: bool
    ) -> Tensor:
        """x: (B, C, T), step: (B, C, 1), cond: (B, H, T), past: (B, 1, T) -> (B, C, T).

        In place of step and cond may stand what every layer makes of them.
        """
        told = x + self.conditioner_projection(cond)
        h = self.convmodule(told + self.diffusion_projection(step), past)
        return (told if strong else x) + h  # type: ignore[no-any-return]


class LYNXNet(nn.Module):
    """OpenVPI's first convolutional denoiser of mels: `forward(x, t, cond=..., lengths=...)`.

    Args:
        mel_bins: M, bins of a mel frame.
        cond_channels: H, channels of the condition.
        channels: C, width of the layers and of the time embedding.
        layers: number of layers.
        expansion: width of the depthwise convolution as a multiple of C.
        kernel_size: of the depthwise convolution; odd.
        activation: after it; "prelu" learns a slope a channel.
        strong_cond: add the condition to what a layer passes on, not only to what its module sees; and
            apply no gelu after the first projection.
        dropout: probability of dropping a value at the end of a layer's module, in training.
        n_feats: F, features of M bins each in a frame; x has a dimension for them when there are several.

    Raises:
        ArgumentValueError: when a value makes no sense; the message names it.
    """

    TINY: ClassVar[dict[str, Any]] = {
        "mel_bins": 8,
        "cond_channels": 6,
        "channels": 8,
        "layers": 2,
        "kernel_size": 5,
    }

    def __init__(
        self,
        *,
        mel_bins: int = 128,
        cond_channels: int = 256,
        channels: int = 512,
        layers: int = 6,
        expansion: float = 2.0,
        kernel_size: int = 31,
        activation: Literal["prelu", "relu", "silu"] = "prelu",
        strong_cond: bool = False,
        dropout: float = 0.0,
        n_feats: int = 1,
    ) -> None:
        super().__init__()
        self.frames = FrameShape("LYNXNet", mel_bins, n_feats, cond_channels)
        positive(channels=channels, layers=layers, kernel_size=kernel_size)
        inner = _inner_channels(channels, expansion, kernel_size, dropout)
        self.channels, self.strong_cond = channels, strong_cond
        self.input_projection = nn.Conv1d(self.frames.channels, channels, kernel_size=1)
        self.diffusion_embedding = _step_embedding(channels)
        self.residual_layers = nn.ModuleList(
            LynxLayer(channels, cond_channels, ConvModule(channels, inner, kernel_size, activation, dropout))
            for _ in range(layers)
        )
        self.norm = nn.LayerNorm(channels)
        self.output_projection = nn.Conv1d(channels, self.frames.channels, kernel_size=1)
        number(self, CondProjection)
        self._step_widths = number(self, StepProjection)
        nn.init.kaiming_normal_(self.input_projection.weight)
        nn.init.zeros_(self.output_projection.weight)

    def prepare_cond(self, *, cond: Tensor | None = None, lengths: Tensor | None = None) -> dict[str, Tensor]:
        """Every layer's projection of the condition: `cond.i`, (B, C, T) each; nothing without a condition."""
        if cond is None:
            return {}
        return cond_ahead(self, self.frames.condition(cond.to(self.norm.weight.dtype), lengths))

    def prepare_times(self, times: Tensor) -> dict[str, Tensor]:
        """Every layer's projection of the step, for (R,) times: (R, layers C, 1)."""
        step = self.diffusion_embedding(embed_step(times, self.channels, self.norm.weight.dtype))
        return {"step": all_ahead(self, StepProjection, step[:, :, None])}

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
            step = self.diffusion_embedding(embed_step(batch.t, self.channels, x.dtype))[:, :, None]
        layers_cond = told(ready, batch.cond, len(self.residual_layers))
        h = self.input_projection(batch.x)
        if not self.strong_cond:
            h = F.gelu(h)
        for layer in self.residual_layers:
            h = layer(h, step, layers_cond, batch.past, self.strong_cond)
        h = self.norm(h.transpose(1, 2)).transpose(1, 2)
        return self.frames.write(self.output_projection(h), batch.past)

    def sections(self, *size: int) -> list[Section]:
        """The structure of the network for mels of this size, in the order of the table."""
        frames, count = size[-1:], len(self.residual_layers)
        layers = tuple(f"residual_layers.{i}" for i in range(count))
        return [
            Section("in", ("input_projection", "diffusion_embedding"), frames, self.channels),
            Section("layers", layers, frames, self.channels, blocks=count),
            Section("out", ("norm", "output_projection"), frames, self.frames.channels),
        ]


class Lynx2Layer(nn.Module):
    """x + module(x): norm, depthwise convolution, twice (linear to 2 I, GLU), linear to C."""

    def __init__(
        self, channels: int, inner: int, kernel_size: int, glu: Literal["swiglu", "atanglu"], dropout: float
    ) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.LayerNorm(channels),
            nn.Identity(),
            _depthwise(channels, kernel_size),
            nn.Identity(),
            nn.Linear(channels, 2 * inner),
            GLU(glu, dim=-1),
            nn.Linear(inner, 2 * inner),
            GLU(glu, dim=-1),
            nn.Linear(inner, channels),
            nn.Dropout(dropout),
        )

    def forward(self, x: Tensor, past: Tensor | None) -> Tensor:
        """x: (B, T, C), past: (B, 1, T) -> (B, T, C)."""
        norm, _, conv, _, *mix = self.net
        h = conv(hide(norm(x).transpose(1, 2), past)).transpose(1, 2)
        for part in mix:
            h = part(h)
        return x + h  # type: ignore[no-any-return]


class LYNXNet2(nn.Module):
    """OpenVPI's second convolutional denoiser of mels: `forward(x, t, cond=..., lengths=...)`.

    Condition and time are added once, before the first layer.

    Args:
        mel_bins: M, bins of a mel frame.
        cond_channels: H, channels of the condition.
        channels: C, width of the layers and of the time embedding.
        layers: number of layers.
        expansion: width of the gated layers as a multiple of C.
        kernel_size: of the depthwise convolution; odd.
        glu: the gate, "swiglu" for value * silu(gate) or "atanglu" for value * atan(gate).
        conv_conditioner: project the condition by a 1x1 convolution, as files with ``use_conditioner_cache``
            do, not by a linear layer; only the shape of the weight differs.
        dropout: probability of dropping a value at the end of a layer, in training.
        n_feats: F, features of M bins each in a frame; x has a dimension for them when there are several.

    Raises:
        ArgumentValueError: when a value makes no sense; the message names it.
    """

    TINY: ClassVar[dict[str, Any]] = {
        "mel_bins": 8,
        "cond_channels": 6,
        "channels": 8,
        "layers": 2,
        "kernel_size": 5,
    }

    def __init__(
        self,
        *,
        mel_bins: int = 128,
        cond_channels: int = 384,
        channels: int = 1024,
        layers: int = 6,
        expansion: float = 1.0,
        kernel_size: int = 31,
        glu: Literal["swiglu", "atanglu"] = "atanglu",
        conv_conditioner: bool = True,
        dropout: float = 0.0,
        n_feats: int = 1,
    ) -> None:
        super().__init__()
        self.frames = FrameShape("LYNXNet2", mel_bins, n_feats, cond_channels)
        positive(channels=channels, layers=layers, kernel_size=kernel_size)
        inner = _inner_channels(channels, expansion, kernel_size, dropout)
        self.channels = channels
        self.input_projection = nn.Linear(self.frames.channels, channels)
        self.conditioner_projection: nn.Module = (
            nn.Conv1d(cond_channels, channels, kernel_size=1)
            if conv_conditioner
            else nn.Linear(cond_channels, channels)
        )
        self.diffusion_embedding = _step_embedding(channels)
        self.residual_layers = nn.ModuleList(
            Lynx2Layer(channels, inner, kernel_size, glu, dropout) for _ in range(layers)
        )
        self.norm = nn.LayerNorm(channels)
        self.output_projection = nn.Linear(channels, self.frames.channels)
        nn.init.kaiming_normal_(self.input_projection.weight)
        nn.init.zeros_(self.output_projection.weight)

    def prepare_cond(self, *, cond: Tensor | None = None, lengths: Tensor | None = None) -> dict[str, Tensor]:
        """The projection of the condition: (B, T, C); nothing without a condition."""
        if cond is None:
            return {}
        return {"cond": self._told(self.frames.condition(cond.to(self.norm.weight.dtype), lengths))}

    def prepare_times(self, times: Tensor) -> dict[str, Tensor]:
        """The embedded time, for (R,) times: (R, C)."""
        return {"step": self.diffusion_embedding(embed_step(times, self.channels, self.norm.weight.dtype))}

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
        step, told = ready.get("step"), ready.get("cond")
        if step is None:
            step = self.diffusion_embedding(embed_step(batch.t, self.channels, x.dtype))
        told = self._told(batch.cond) if told is None else told
        h = self.input_projection(batch.x.transpose(1, 2)) + told + step[:, None]  # (B, T, C)
        for layer in self.residual_layers:
            h = layer(h, batch.past)
        return self.frames.write(self.output_projection(self.norm(h)).transpose(1, 2), batch.past)

    def _told(self, cond: Tensor) -> Tensor:
        """(B, H, T) -> (B, T, C)."""
        if isinstance(self.conditioner_projection, nn.Conv1d):
            return self.conditioner_projection(cond).transpose(1, 2)  # type: ignore[no-any-return]
        return self.conditioner_projection(cond.transpose(1, 2))  # type: ignore[no-any-return]

    def sections(self, *size: int) -> list[Section]:
        """The structure of the network for mels of this size, in the order of the table."""
        frames, count = size[-1:], len(self.residual_layers)
        entry = ("input_projection", "conditioner_projection", "diffusion_embedding")
        layers = tuple(f"residual_layers.{i}" for i in range(count))
        return [
            Section("in", entry, frames, self.channels),
            Section("layers", layers, frames, self.channels, blocks=count),
            Section("out", ("norm", "output_projection"), frames, self.frames.channels),
        ]
