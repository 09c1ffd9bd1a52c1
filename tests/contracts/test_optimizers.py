"""What every optimizer promises: it takes parameters and a learning rate, and makes a loss smaller."""

import pytest
import torch
from parts import label, specs

import registry


@pytest.mark.parametrize("spec", specs("optimizers"), ids=label)
def test_makes_a_loss_smaller(spec):
    weight = torch.nn.Parameter(torch.tensor([1.0, -2.0]))
    optimizer = registry.optimizers.build(spec, parameters=[weight], learning_rate=0.05)
    losses = []
    for _ in range(20):
        optimizer.zero_grad()
        loss = weight.square().sum()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0] / 2
    assert all(group["lr"] == 0.05 for group in optimizer.param_groups)
