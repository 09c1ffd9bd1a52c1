"""EDM's four preconditioners against the table of the paper, on its schedule and on others."""

import math

import pytest
import torch

import zoo
from zoo.parameterizations import Edm, IDDPMPrecond, VEPrecond, VPPrecond
from zoo.schedules.continuous import EDM, VP

SIGMAS = torch.tensor([0.05, 0.7, 3.0, 70.0], dtype=torch.float64)


def levels(steps, c_1=0.001, c_2=0.008):
    """u of the paper, from its recursion as it is written there."""

    def alpha_bar(j):
        return math.sin(math.pi / 2 * j / (steps * (c_2 + 1))) ** 2

    u = [0.0]
    for j in range(steps, 0, -1):
        u.insert(0, math.sqrt((u[0] ** 2 + 1) / max(alpha_bar(j - 1) / alpha_bar(j), c_1) - 1))
    return u


def nearest(u, s):
    return min(range(len(u)), key=lambda j: abs(u[j] - s))


TABLE = {
    "edm": (
        Edm(sigma_data=0.5),
        lambda s: (
            0.25 / (s * s + 0.25),
            0.5 * s / math.sqrt(s * s + 0.25),
            1 / math.sqrt(s * s + 0.25),
            math.log(s) / 4,
        ),
    ),
    "vp": (
        VPPrecond(),
        lambda s: (
            1.0,
            -s,
            1 / math.sqrt(s * s + 1),
            999 * (math.sqrt(0.1**2 + 2 * 19.9 * math.log(1 + s * s)) - 0.1) / 19.9,
        ),
    ),
    "ve": (VEPrecond(), lambda s: (1.0, s, 1.0, math.log(s / 2))),
    "iddpm": (
        IDDPMPrecond(steps=200),
        lambda s: (1.0, -s, 1 / math.sqrt(s * s + 1), 199 - nearest(levels(200), s)),
    ),
}
every_row = pytest.mark.parametrize(("parameterization", "row"), TABLE.values(), ids=TABLE)


def network(seen):
    def f(x, t):
        seen.append((x, t))
        return torch.sin(3 * x) + t[:, None].cos()

    return f


@every_row
def test_is_the_row_of_the_table(parameterization, row):
    seen = []
    model = zoo.Diffusion.wrap(network(seen), schedule="edm", parameterization=parameterization)
    x = torch.randn(4, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * SIGMAS[:, None]
    x_0 = model.denoise(x, SIGMAS).x_0
    coefficients = torch.tensor([row(s) for s in SIGMAS.tolist()], dtype=torch.float64)
    c_skip, c_out, c_in, c_noise = coefficients.T[:, :, None]
    ((given, label),) = seen
    torch.testing.assert_close(given, c_in * x, rtol=1e-13, atol=0)
    # VP's label loses the digits of a small s in ln(1 + s^2), as it is written in the table
    torch.testing.assert_close(label, c_noise[:, 0], rtol=1e-11, atol=1e-12)
    out = torch.sin(3 * given) + label[:, None].cos()
    torch.testing.assert_close(x_0, c_skip * x + c_out * out, rtol=1e-12, atol=1e-12)


@every_row
def test_a_schedule_is_only_a_change_of_variables(parameterization, row):
    """x_t at alpha, sigma is alpha times x at s = sigma / alpha, for the network and for what comes of it."""
    schedule = VP()
    t = schedule.inverse(SIGMAS)
    alpha = schedule(t).alpha[:, None]
    x = torch.randn(4, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * SIGMAS[:, None]
    f = network([])
    here = zoo.Diffusion.wrap(f, schedule=EDM(), parameterization=parameterization).denoise(x, SIGMAS)
    there = zoo.Diffusion.wrap(f, schedule=schedule, parameterization=parameterization).denoise(alpha * x, t)
    # inverting the schedule and dividing by an alpha of 0.01 cost a few digits
    torch.testing.assert_close(there.x_0, here.x_0, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(there.eps, here.eps, rtol=1e-9, atol=1e-9)


def test_labels_of_vp_are_the_times_of_its_schedule():
    t = torch.tensor([1e-5, 1e-3, 0.3, 1.0], dtype=torch.float64)
    label = VPPrecond().c_noise(t, VP()(t))
    torch.testing.assert_close(label, 999 * t, rtol=1e-9, atol=0)


def test_labels_at_the_ends_of_a_path():
    clean, noise = (VP()(torch.tensor([t], dtype=torch.float64)) for t in (0.0, 1.0))
    assert VPPrecond().c_noise(torch.zeros(1), clean).item() == 0
    assert VPPrecond().c_noise(0.0, clean) == 0
    assert IDDPMPrecond().c_noise(0.0, clean) == -1
    # sigma / alpha is 152 at t = 1; more levels lie above
    assert 990 < IDDPMPrecond().c_noise(1.0, noise) < 999


def test_levels_of_iddpm_follow_their_recursion():
    u = IDDPMPrecond(steps=50, c_1=0.01, c_2=0.02).tensors()["u"]
    assert u.shape == (51,)
    torch.testing.assert_close(u, torch.tensor(levels(50, 0.01, 0.02), dtype=torch.float64), rtol=1e-10, atol=0)


def test_levels_belong_to_their_object():
    one, other = IDDPMPrecond(steps=4), IDDPMPrecond(steps=4)
    before = other.tensors()["u"]
    one.load_tensors({"u": torch.tensor([9.0, 4, 2, 1, 0])})
    assert torch.equal(other.tensors()["u"], before)
    assert one.c_noise(0.0, type("At", (), {"alpha": 1.0, "sigma": 3.5})()) == 3 - 1
    assert zoo.Diffusion.wrap(lambda x, t: x, parameterization=one).part_tensors().keys() == {"parameterization.u"}


def test_a_learned_variance_is_split_off():
    both = IDDPMPrecond(learned_variance=True)
    model = zoo.Diffusion.wrap(lambda x, t: torch.cat([x, 7 + 0 * x], 1), schedule="edm", parameterization=both)
    prediction = model.denoise(torch.ones(2, 3, 4, 4), 2.0)
    assert prediction.x_0.shape == (2, 3, 4, 4)
    assert (prediction.var == 7).all()


def test_a_preconditioned_network_learns_and_samples():
    torch.manual_seed(0)
    model = zoo.build("tiny-edm")
    x_0, eps, t = (
        0.5 * torch.randn(8, 3, 1, 1).expand(8, 3, 16, 16),
        torch.randn(8, 3, 16, 16),
        torch.logspace(-2, 1, 8),
    )
    # a fresh network says zero, and the target has unit variance for data of standard deviation 0.5
    first = model.loss(x_0, t=t, eps=eps).mean().item()
    assert 0.5 < first < 2
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(30):
        optimizer.zero_grad()
        model.loss(x_0, t=t, eps=eps).mean().backward()
        optimizer.step()
    assert model.loss(x_0, t=t, eps=eps).mean().item() < 0.5 * first
    assert zoo.sample(model, 2, seed=0).abs().max() < 10
