"""The loss of a model."""

from __future__ import annotations

import torch

from zoo.core.diffusion import Diffusion


def test_is_the_squared_error_of_the_output() -> None:
    model = Diffusion.wrap(lambda x, t: x * 0 + 0.5)
    x_0, eps = torch.randn(3, 2, 4, 4), torch.randn(3, 2, 4, 4)
    expected = (0.5 - eps).square().mean(dim=(1, 2, 3))
    torch.testing.assert_close(model.loss(x_0, t=100, eps=eps), expected)
    torch.testing.assert_close(model(x_0, 100, eps), expected)


def test_counts_only_the_frames_that_are_real() -> None:
    model = Diffusion.wrap(lambda x, t, lengths: x * 0)
    x_0, eps = torch.randn(2, 5, 6), torch.randn(2, 5, 6)
    eps[0, :, 4:] = torch.nan
    loss = model.loss(x_0, t=torch.tensor([10, 900]), eps=eps, lengths=torch.tensor([4, 6]))
    expected = torch.stack([eps[0, :, :4].square().mean(), eps[1].square().mean()])
    torch.testing.assert_close(loss, expected)
