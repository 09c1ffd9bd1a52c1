"""A denoiser of mels as the tests' own textbook version has it: what it is made of comes from a global dict.

Written for these tests in the manner of old singing-voice code: (B, 1, M, T) by place, settings from ``hparams``,
neighbours imported from the top of the tree.
"""

from math import log, sqrt

import torch
import torch.nn.functional as F
from network.diff.parts import Mish
from torch import nn
from utils.hparams import hparams


class StepEmbedding(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.dim = dim

    def forward(self, step):
        half = self.dim // 2
        rates = torch.exp(-log(10000) / (half - 1) * torch.arange(half, device=step.device))
        angles = step[:, None] * rates[None, :]
        return torch.cat([angles.sin(), angles.cos()], dim=-1)


class Block(nn.Module):
    def __init__(self, hidden, width, dilation):
        super().__init__()
        self.dilated_conv = nn.Conv1d(width, 2 * width, 3, padding=dilation, dilation=dilation)
        self.diffusion_projection = nn.Linear(width, width)
        self.conditioner_projection = nn.Conv1d(hidden, 2 * width, 1)
        self.output_projection = nn.Conv1d(width, 2 * width, 1)

    def gated(self, y):
        gate, filt = torch.chunk(y, 2, dim=1)
        return torch.sigmoid(gate) * torch.tanh(filt)

    def forward(self, x, conditioner, diffusion_step):
        step = self.diffusion_projection(diffusion_step).unsqueeze(-1)
        conditioner = self.conditioner_projection(conditioner)
        y = self.dilated_conv(x + step) + conditioner
        y = self.output_projection(self.gated(y))
        residual, skip = torch.chunk(y, 2, dim=1)
        return (x + residual) / sqrt(2.0), skip


class SwappedBlock(Block):
    """Gate and filter the wrong way round."""

    def gated(self, y):
        filt, gate = torch.chunk(y, 2, dim=1)
        return torch.sigmoid(gate) * torch.tanh(filt)


class DiffNet(nn.Module):
    activation, block = Mish, Block

    def __init__(self, in_dims=80):
        super().__init__()
        width, hidden = hparams["residual_channels"], hparams["hidden_size"]
        self.input_projection = nn.Conv1d(in_dims, width, 1)
        self.diffusion_embedding = StepEmbedding(width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), self.activation(), nn.Linear(4 * width, width))
        self.residual_layers = nn.ModuleList(
            self.block(hidden, width, 2 ** (i % hparams["dilation_cycle_length"]))
            for i in range(hparams["residual_layers"])
        )
        self.skip_projection = nn.Conv1d(width, width, 1)
        self.output_projection = nn.Conv1d(width, in_dims, 1)

    def top(self, x):
        return F.relu(x)

    def forward(self, spec, diffusion_step, cond):
        x = F.relu(self.input_projection(spec[:, 0]))
        step = self.mlp(self.diffusion_embedding(diffusion_step))
        skips = []
        for layer in self.residual_layers:
            x, skip = layer(x, cond, step)
            skips.append(skip)
        x = torch.sum(torch.stack(skips), dim=0) / sqrt(len(self.residual_layers))
        x = self.top(self.skip_projection(x))
        return self.output_projection(x)[:, None, :, :]


class ReluDiffNet(DiffNet):
    """ReLU where Mish belongs, as a module."""

    activation = nn.ReLU


class SwappedDiffNet(DiffNet):
    block = SwappedBlock


class SiluDiffNet(DiffNet):
    """Another function between two modules, which no module shows."""

    def top(self, x):
        return F.silu(x)


class FunctionalDiffNet(DiffNet):
    """ReLU where Mish belongs, as a function."""

    def __init__(self, in_dims=80):
        super().__init__(in_dims)
        self.mlp = nn.ModuleDict({"0": self.mlp[0], "2": self.mlp[2]})

    def forward(self, spec, diffusion_step, cond):
        x = F.relu(self.input_projection(spec[:, 0]))
        step = self.mlp["2"](F.relu(self.mlp["0"](self.diffusion_embedding(diffusion_step))))
        skips = []
        for layer in self.residual_layers:
            x, skip = layer(x, cond, step)
            skips.append(skip)
        x = torch.sum(torch.stack(skips), dim=0) / sqrt(len(self.residual_layers))
        return self.output_projection(F.relu(self.skip_projection(x)))[:, None, :, :]
