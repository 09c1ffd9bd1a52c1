"""Self-conditioning: any network that declares it is shown its last estimate, in sampling and in training."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

import zoo
from zoo.core.bound import ConditionError

SHAPE = (1, 2, 2)


class Net(nn.Module):
    """Tells its inputs apart, and keeps what it was shown."""

    self_conditioned = True

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(0.5, dtype=torch.float64))
        self.shown: list[Tensor | None] = []

    def forward(self, x: Tensor, t: Tensor, *, labels: Tensor | None = None, self_cond: Tensor | None = None) -> Tensor:
        self.shown.append(self_cond)
        out = self.weight * x
        if self_cond is not None:
            out = out + 0.2 * self_cond
        return out if labels is None else out + 0.01 * labels[:, None, None, None]


class Blind(Net):
    """The same without the declaration."""

    self_conditioned = False


def model(net: type[Net] = Net) -> zoo.Diffusion:
    return zoo.Diffusion.wrap(net(), parameterization="v", shape=SHAPE)


def start(n: int = 3) -> Tensor:
    return torch.randn(n, *SHAPE, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def shown(diffusion: zoo.Diffusion) -> list[Tensor | None]:
    net = diffusion.denoiser
    assert isinstance(net, Net)
    return net.shown


def test_a_walk_shows_each_estimate_to_the_next_call() -> None:
    watched = model()
    x, own = start(), None
    times = [999.0, 600.0, 200.0, -1.0]
    for now, next in pairwise(times):
        step = watched.denoise(x, now, **({} if own is None else {"self_cond": own}))
        m = watched.schedule(torch.tensor(next))
        x, own = m.alpha * step.x_0 + m.sigma * step.eps, step.x_0
    by_hand = x
    sampled = zoo.sample(model(), x_T=start(), times=times, sampler="ddim")
    # float64, the same formulas in another order
    torch.testing.assert_close(sampled, by_hand, rtol=0, atol=1e-12)
    without = zoo.sample(model(Blind), x_T=start(), times=times, sampler="ddim")
    assert (sampled - without).abs().max() > 0.01


@pytest.mark.parametrize("sampler", ["ddim", "ddpm", "dpmpp-2m", "plms"])
def test_walks_do_not_share_what_they_remember(sampler: str) -> None:
    watched = model()
    first = zoo.sample(watched, x_T=start(), steps=4, sampler=sampler)
    assert torch.equal(zoo.sample(watched, x_T=start(), steps=4, sampler=sampler), first)


@pytest.mark.parametrize("sampler", ["ddim", "ddpm"])
def test_a_sample_does_not_depend_on_the_others(sampler: str) -> None:
    watched = model().double()
    together = zoo.sample(watched, 3, seed=[5, 6, 7], steps=5, sampler=sampler)
    alone = zoo.sample(watched, 1, seed=[6], steps=5, sampler=sampler)
    torch.testing.assert_close(alone[0], together[1], rtol=0, atol=1e-12)
    assert zoo.sample(watched, 0, steps=2, sampler=sampler).shape == (0, *SHAPE)


def test_the_estimate_is_shown_as_clipped() -> None:
    watched = model()
    zoo.sample(watched, x_T=9 * start(), steps=3, sampler="ddim", guidance="clip")
    first, *rest = shown(watched)
    assert first is None
    assert all(own is not None and own.abs().max() == 1 for own in rest)


@pytest.mark.parametrize("batched", [True, False])
def test_guidance_shows_one_estimate_to_both_halves(batched: bool) -> None:
    watched = model()
    labels = torch.tensor([0, 1, 2])
    cfg = {"name": "cfg", "scale": 3.0, "batched": batched}
    guided = zoo.sample(watched, x_T=start(), steps=3, sampler="ddim", guidance=cfg, labels=labels)
    assert guided.isfinite().all()
    later = [own for own in shown(watched) if own is not None]
    assert len(later) == (2 if batched else 4)
    for own, again in zip(later[::2], later[1::2], strict=True) if not batched else [one.chunk(2) for one in later]:
        assert torch.equal(own, again)
    # scale 1 is the model under its labels alone
    plain = zoo.sample(watched, x_T=start(), steps=3, sampler="ddim", guidance=(), labels=labels)
    one = zoo.sample(watched, x_T=start(), steps=3, sampler="ddim", guidance=1.0, labels=labels)
    assert torch.equal(plain, one)
    assert (guided - plain).abs().max() > 1e-3


def test_its_own_estimate_is_no_condition_to_be_guided_by() -> None:
    with pytest.raises(ConditionError, match="guidance needs a condition"):
        zoo.sample(model(), x_T=start(), steps=3, guidance=2.0)


def test_a_given_estimate_stays() -> None:
    watched = model()
    own = torch.ones(3, *SHAPE, dtype=torch.float64)
    zoo.sample(watched, x_T=start(), steps=3, sampler="ddim", self_cond=own)
    assert all(torch.equal(one, own) for one in shown(watched) if one is not None)
    assert None not in shown(watched)


def test_training_shows_the_estimate_half_of_the_time() -> None:
    watched = model().train()
    x_0, eps = start(), start().flip(0)
    torch.manual_seed(0)
    counts = {True: 0, False: 0}
    for _ in range(200):
        shown(watched).clear()
        loss = watched.loss(x_0, t=500, eps=eps)
        first, last = shown(watched)[0], shown(watched)[-1]
        counts[last is not None] += 1
        assert first is None
        if last is not None:
            m = watched.schedule(torch.tensor(500.0))
            expected = watched.denoise(m.alpha * x_0 + m.sigma * eps, 500).x_0
            torch.testing.assert_close(last, expected, rtol=0, atol=1e-12)
            assert not last.requires_grad
        assert loss.requires_grad
    # 200 fair coins: 4 standard deviations are 28
    assert abs(counts[True] - 100) <= 28


def test_training_shows_what_it_is_given_and_others_nothing() -> None:
    x_0, eps = start(), start().flip(0)
    torch.manual_seed(0)
    watched = model().train()
    for _ in range(10):
        watched.loss(x_0, t=500, eps=eps, self_cond=x_0)
    assert all(one is x_0 for one in shown(watched))
    for estimate in (True, False):
        for told in (model().train(), model().eval()):
            told.loss(x_0, t=500, eps=eps, estimate=estimate)
            assert (shown(told)[-1] is not None) == estimate
    for other in (model().eval(), model(Blind).train()):
        state = torch.get_rng_state()
        for _ in range(10):
            other.loss(x_0, t=500, eps=eps)
        assert set(shown(other)) == {None}
        # nobody else's numbers change
        assert torch.equal(torch.get_rng_state(), state)


def test_training_at_pure_noise_shows_zeros_where_nothing_is_known() -> None:
    schedule = {"name": "linear", "zero_terminal_snr": True}
    watched = zoo.Diffusion.wrap(Net(), schedule=schedule, parameterization="eps", shape=SHAPE).train()
    torch.manual_seed(0)
    for _ in range(10):
        assert watched.loss(start(), t=999, eps=start().flip(0)).isfinite().all()
    assert any(one is not None for one in shown(watched))
