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


def test_hidden_conditions_are_the_nulls_of_guidance():
    seen = {}

    def network(x, t, cond, labels, low_res):
        seen.update(cond=cond, labels=labels, low_res=low_res)
        return x * 0

    model = Diffusion.wrap(network)
    x_0, eps = torch.randn(2, 2, 1, 4, 4)
    given = {"cond": torch.ones(2, 3), "labels": torch.tensor([4, 5]), "low_res": torch.ones(2, 1, 2, 2)}
    model.loss(x_0, t=10, eps=eps, hide=torch.tensor([False, True]), **given)
    assert seen["cond"].tolist() == [[1, 1, 1], [0, 0, 0]]
    assert seen["labels"].tolist() == [4, -1]
    assert torch.equal(seen["low_res"], given["low_res"]), "nothing is guided by what is enlarged"
