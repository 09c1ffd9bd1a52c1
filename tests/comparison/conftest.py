from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from zoo.comparison import OldModule, old_module
from zoo.denoisers.diffnet import DiffNet

TREE = Path(__file__).parent / "old_tree"
HPARAMS = {
    "audio_num_mel_bins": 10,
    "hidden_size": 6,
    "residual_channels": 8,
    "residual_layers": 6,
    "dilation_cycle_length": 4,
}


@pytest.fixture
def ours() -> DiffNet:
    """A network of ours of which no weight is zero."""
    network = DiffNet(mel_bins=10, cond_channels=6, residual_channels=8, layers=6, dilation_cycle=4)
    torch.nn.init.normal_(network.output_projection.weight)
    return network


@pytest.fixture
def old(ours: DiffNet) -> Callable[..., OldModule]:
    """The textbook network of these tests, or one with a mistake in it, under the weights of ours."""

    def build(name: str = "DiffNet", **hparams: int) -> OldModule:
        spec = f"{TREE / 'network' / 'diff' / 'net.py'}:{name}"
        return old_module(spec, root=TREE, config={**HPARAMS, **hparams}, weights=ours.state_dict())

    return build
