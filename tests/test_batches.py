"""Batches in parts: samples are those of the whole, memory is bounded, and what cannot be split is refused."""

import pytest
import torch
from parts import drawn, label, specs, start
from torch import nn

import registry
import zoo
from zoo import batches
from zoo.core.brownian import Brownian
from zoo.core.errors import ShapeError
from zoo.core.noise import PerSample, Recorded

SPECS = specs("samplers")
# one sum over a batch may be made in another order than over a part of it; float64 has 16 digits
EXACT = {"rtol": 1e-12, "atol": 1e-12}
# float32 has 7, and matrix products of other sizes add in another order
REORDERED = {"rtol": 2e-4, "atol": 2e-5}


class Small(nn.Module):
    """A network with weights that notes how many rows it is asked about, and knows no more than ``most``."""

    def __init__(self, most=1000):
        super().__init__()
        self.most, self.asked = most, []
        self.first, self.second = nn.Linear(6, 10), nn.Linear(10, 6)

    def forward(self, x, t, labels=None):
        if not x.is_meta:
            if len(x) > self.most:
                raise torch.OutOfMemoryError(f"{len(x)} rows")
            self.asked.append(len(x))
        h = self.first(x)
        if labels is not None:
            h = h + labels[:, None]
        return self.second(h.tanh())


@pytest.fixture(scope="module")
def gaussian():
    return zoo.build("tiny-gaussian").double()


@pytest.fixture
def small():
    return zoo.Diffusion.wrap(Small(), shape=(6,)).double()


@pytest.fixture
def memory(monkeypatch):
    """Says how much memory there is, and has it asked for however little is needed."""
    monkeypatch.setattr(batches, "SURE", 0)
    return lambda count: monkeypatch.setattr(batches, "available", lambda device: count)


@pytest.mark.parametrize("noise", ["independent", "brownian"])
@pytest.mark.parametrize("spec", SPECS, ids=label)
def test_samples_do_not_depend_on_the_batch(gaussian, spec, noise):
    rule = registry.samplers.build(spec)
    settings = {"sampler": rule, "steps": 6, "seed": 3, "noise": noise}
    if rule.all_at_once:
        with pytest.raises(batches.BatchError, match="5 samples cannot be walked 2 at a time by DPMAdaptive"):
            zoo.sample(gaussian, 5, batch=2, **settings)
        return
    whole = zoo.sample(gaussian, 5, **settings)
    torch.testing.assert_close(zoo.sample(gaussian, 5, batch=2, **settings), whole, **EXACT)
    moments = list(zoo.walk(gaussian, 5, batch=2, **settings))
    torch.testing.assert_close(gaussian.scaling.decode(moments[-1].x_t), whole, **EXACT)
    for ours, theirs in zip(moments, zoo.walk(gaussian, 5, **settings), strict=True):
        assert (ours.at, ours.index, ours.total, ours.nfe) == (theirs.at, theirs.index, theirs.total, theirs.nfe)
        torch.testing.assert_close(ours.x_t, theirs.x_t, **EXACT)


@pytest.mark.parametrize("batch", [1, 2, 3, 7, 8])
def test_no_more_than_a_batch_is_asked_about(small, batch):
    whole = zoo.sample(small, 7, sampler="ddpm", steps=4)
    small.denoiser.asked.clear()
    torch.testing.assert_close(zoo.sample(small, 7, sampler="ddpm", steps=4, batch=batch), whole, **EXACT)
    sizes = [min(batch, 7 - first) for first in range(0, 7, batch)]
    assert small.denoiser.asked == [size for size in sizes for _ in range(4)]
    small.denoiser.asked.clear()
    list(zoo.walk(small, 7, sampler="ddpm", steps=4, batch=batch))
    assert small.denoiser.asked == sizes * 4


def test_conditions_and_guidance_are_split_with_the_samples():
    model = drawn("tiny-dit")
    labels = [0, 1, 2, -1, 1]
    for guidance in ([{"name": "cfg", "scale": 3.0}], [{"name": "cfg-pp", "scale": 0.5}, "threshold"]):
        settings = {"labels": labels, "guidance": guidance, "steps": 3, "sampler": "ddim"}
        whole = zoo.sample(model, 5, **settings)
        torch.testing.assert_close(zoo.sample(model, 5, batch=2, **settings), whole, **REORDERED)


def test_lengths_and_frames_are_split_with_the_samples():
    model = drawn("tiny-diffnet")
    cond, lengths = torch.randn(3, 6, 16), torch.tensor([16, 9, 12])
    settings = {"cond": cond, "lengths": lengths, "steps": 4}
    whole = zoo.sample(model, 3, **settings)
    for batch in (1, 2):
        torch.testing.assert_close(zoo.sample(model, 3, batch=batch, **settings), whole, **REORDERED)
        *_, last = zoo.walk(model, 3, batch=batch, **settings)
        torch.testing.assert_close(model.scaling.decode(last.x_t), whole, **REORDERED)


def test_each_part_remembers_its_own_estimate():
    """Self-conditioning: the part that is walked second must not be shown what the first one thought."""

    class Remembering(nn.Module):
        self_conditioned = True

        def forward(self, x, t, self_cond=None):
            return 0.3 * x if self_cond is None else 0.3 * x - 0.1 * self_cond

    model = zoo.Diffusion.wrap(Remembering(), shape=(4,))
    x_T = start(model, 5)
    whole = zoo.sample(model, x_T=x_T, steps=5)
    torch.testing.assert_close(zoo.sample(model, x_T=x_T, steps=5, batch=2), whole, **EXACT)
    *_, last = zoo.walk(model, x_T=x_T, steps=5, batch=2)
    torch.testing.assert_close(last.x_t, whole, **EXACT)


def test_starts_and_fillings_are_split(gaussian):
    images = start(gaussian, 5)
    settings = {"start": images, "start_t": 500.0, "sampler": "ddpm", "steps": 6}
    whole = zoo.sample(gaussian, **settings)
    torch.testing.assert_close(zoo.sample(gaussian, batch=2, **settings), whole, **EXACT)
    keep = torch.zeros(gaussian.shape).bernoulli()
    settings = {"jump": 2, "resample": 2, "sampler": "ddpm", "steps": 6}
    whole = zoo.inpaint(gaussian, images, keep, **settings)
    torch.testing.assert_close(zoo.inpaint(gaussian, images, keep, batch=2, **settings), whole, **EXACT)


@pytest.mark.parametrize("batch", [None, 1, 4])
def test_no_samples_are_no_trouble(gaussian, batch):
    assert zoo.sample(gaussian, 0, batch=batch).shape == (0, *gaussian.shape)
    assert [len(moment.x_t) for moment in zoo.walk(gaussian, 0, steps=3, batch=batch)] == [0] * 4


@pytest.mark.parametrize("batch", [0, -3, 1.5])
def test_a_batch_is_a_whole_number(gaussian, batch):
    with pytest.raises(ShapeError, match="batch: expected a whole number of samples from 1"):
        zoo.sample(gaussian, 4, batch=batch)


def test_recorded_noise_is_split_by_rows(gaussian):
    noise = torch.randn(9, 5, *gaussian.shape, dtype=torch.float64)
    settings = {"sampler": "ddpm", "steps": 6}
    whole = zoo.sample(gaussian, 5, noise=noise, **settings)
    torch.testing.assert_close(zoo.sample(gaussian, 5, noise=noise, batch=2, **settings), whole, **EXACT)


@pytest.mark.parametrize("make", [lambda: PerSample(4, 5), lambda: Brownian(4, 5)], ids=["independent", "brownian"])
def test_noise_goes_on_where_a_split_walk_left_it(gaussian, make):
    """A source that is handed in twice is used up by a walk in parts as by a whole one."""
    together, apart = make(), make()
    for _ in range(2):
        whole = zoo.sample(gaussian, 5, noise=together, sampler="ddpm", steps=4)
        torch.testing.assert_close(
            zoo.sample(gaussian, 5, noise=apart, sampler="ddpm", steps=4, batch=2), whole, **EXACT
        )


def test_recorded_noise_counts_what_its_parts_used(gaussian):
    recorded = Recorded(torch.randn(20, 5, *gaussian.shape))
    zoo.sample(gaussian, 5, noise=recorded, sampler="ddpm", steps=4, batch=2)
    # the start, and all steps but the last
    assert recorded.used == 4


def test_a_noise_function_is_never_split(small, memory):
    def noise(x, now, next):
        return torch.ones_like(x)

    memory(0)
    zoo.sample(small, 6, noise=noise, steps=2)
    assert small.denoiser.asked == [6, 6]
    zoo.sample(small, 6, noise=noise, steps=2, batch=6)
    for walk in (zoo.sample, lambda *args, **settings: list(zoo.walk(*args, **settings))):
        with pytest.raises(batches.BatchError, match="6 samples cannot be walked 4 at a time with a noise function"):
            walk(small, 6, noise=noise, steps=2, batch=4)


def test_a_rule_that_goes_by_the_whole_batch_is_never_split(small, memory):
    memory(0)
    zoo.sample(small, 6, sampler={"name": "dpm-adaptive", "together": "worst"}, times=[900.0, 100.0])
    assert set(small.denoiser.asked) == {6}


def test_memory_decides_where_nobody_does(small, memory):
    """Small in float64 holds both layers' outputs and the tanh, 208 bytes; a sample 4 states of 48 bytes: 400."""
    whole = zoo.sample(small, 12, sampler="ddim", steps=2)
    assert small.denoiser.asked == [12, 12]
    small.denoiser.asked.clear()
    results = 2 * 12 * 48
    # half of what is available is taken
    memory(2 * (5 * 400 + results))
    torch.testing.assert_close(zoo.sample(small, 12, sampler="ddim", steps=2), whole, **EXACT)
    # five fit, and three parts of four are as many as two of five and one of two
    assert small.denoiser.asked == [4] * 6
    small.denoiser.asked.clear()
    memory(0)
    torch.testing.assert_close(zoo.sample(small, 12, sampler="ddim", steps=2), whole, **EXACT)
    assert small.denoiser.asked == [1] * 24


def test_guidance_halves_what_fits(small, memory):
    settings = {"sampler": "ddim", "steps": 1, "labels": list(range(8))}
    # 208 bytes of activations, 192 of states and a label of 8 a sample: all fit; with rows doubled they do not
    memory(2 * (8 * 408 + 2 * 8 * 48))
    zoo.sample(small, 8, guidance=1.0, **settings)
    assert small.denoiser.asked == [8]
    zoo.sample(small, 8, guidance=2.0, **settings)
    assert len(small.denoiser.asked) > 2
    assert sum(small.denoiser.asked[1:]) == 16


def test_a_gradient_is_counted(small, memory):
    """A classifier keeps what its gradient needs, here the 1000 numbers of a hidden layer and their tanh."""

    class Wide(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Linear(6, 1000), nn.Linear(1000, 3)

        def forward(self, x, t):
            return self.second(self.first(x).tanh())

    guidance = registry.guidances.build({"name": "classifier", "model": Wide().double()})
    settings = {"sampler": "ddim", "steps": 1, "labels": [0, 1, 2, 0], "guidance": [guidance]}
    assert 4 * 1000 <= guidance.holds(torch.zeros(1, 6)) < 4 * 2100
    whole = zoo.sample(small, 4, **settings)
    small.denoiser.asked.clear()
    memory(2 * 4 * 1000)
    torch.testing.assert_close(zoo.sample(small, 4, **settings), whole, **EXACT)
    assert small.denoiser.asked == [1] * 4


@pytest.mark.parametrize(("name", "module"), [("autoguidance", "auto"), ("classifier", "classifier")])
def test_a_network_that_guides_is_read_once_for_all_parts(small, monkeypatch, name, module):
    read = []

    def load(path):
        read.append(path)
        return small.denoiser if name == "classifier" else small

    monkeypatch.setattr(f"zoo.guidance.{module}.load", load)
    guidance = {"name": "interval", "guidance": {"name": name, "model": "a.safetensors"}, "low": 0.0, "high": 1e9}
    settings = {"sampler": "ddim", "steps": 2, "labels": [0, 1, 2, 0], "guidance": guidance}
    zoo.sample(small, 4, batch=2, **settings)
    list(zoo.walk(small, 4, batch=1, **settings))
    # once a walk, which builds the guidance
    assert read == ["a.safetensors"] * 2


def test_little_is_not_estimated(small, monkeypatch):
    monkeypatch.setattr(batches, "available", None)
    zoo.sample(small, 12, steps=1)
    monkeypatch.setattr(batches, "SURE", 0)
    zoo.sample(small, 1, steps=1)
    monkeypatch.setattr(batches, "available", lambda device: 2**30)
    monkeypatch.setattr(batches, "per_sample", None)
    zoo.sample(small, 12, steps=1)


@pytest.mark.parametrize("sampler", ["ddim", "ddpm", "dpmpp-2m"])
def test_a_device_that_runs_out_gets_half(sampler):
    large, little = (zoo.Diffusion.wrap(Small(most), shape=(6,)).double() for most in (1000, 3))
    little.load_state_dict(large.state_dict())
    settings = {"sampler": sampler, "steps": 4, "seed": 8}
    whole = list(zoo.walk(large, 10, **settings))
    torch.testing.assert_close(zoo.sample(little, 10, **settings), large.scaling.decode(whole[-1].x_t), **EXACT)
    assert max(little.denoiser.asked) <= 3
    apart = list(zoo.walk(little, 10, **settings))
    assert [moment.index for moment in apart] == [0, 1, 2, 3, 4]
    for ours, theirs in zip(apart, whole, strict=True):
        torch.testing.assert_close(ours.x_t, theirs.x_t, **EXACT)


def test_a_device_that_runs_out_midway_gets_half(monkeypatch):
    """What was walked already is not yielded again, and noise is drawn anew from where the walk began."""
    model = zoo.Diffusion.wrap(Small(), shape=(6,)).double()
    settings = {"sampler": "ddpm", "steps": 6, "seed": 8}
    whole = list(zoo.walk(model, 8, **settings))
    moments = zoo.walk(model, 8, **settings)
    apart = [next(moments) for _ in range(4)]
    model.denoiser.most = 5
    apart += moments
    assert [moment.index for moment in apart] == list(range(7))
    for ours, theirs in zip(apart, whole, strict=True):
        torch.testing.assert_close(ours.x_t, theirs.x_t, **EXACT)


def test_a_single_sample_that_does_not_fit_is_an_error():
    model = zoo.Diffusion.wrap(Small(0), shape=(6,))
    with pytest.raises(torch.OutOfMemoryError, match="1 rows"):
        zoo.sample(model, 6, steps=2)
