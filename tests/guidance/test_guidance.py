"""Guidance against answers that are known exactly."""

import math

import pytest
import torch

import registry
import zoo
from zoo.core.bound import ConditionError
from zoo.core.grid import GridPoint, make_grid
from zoo.core.linear import recorded
from zoo.core.mixing import MixError
from zoo.guidance.auto import AutoGuidance
from zoo.guidance.cfg import CFG, CFGpp
from zoo.guidance.classifier import Classifier
from zoo.guidance.interval import Interval

AT = GridPoint(500.0, 0.6, 0.8)
MEANS = torch.tensor([[1.0, 0.0], [-1.0, 0.5], [0.0, -1.0]], dtype=torch.float64)
VAR = 0.2


def shares(x, alpha, sigma):
    """log p(component | x_t), up to a constant, of a mixture with equal weights and variances."""
    return -(x[:, None] - alpha * MEANS).square().sum(-1) / (2 * (alpha**2 * VAR + sigma**2))


def eps_of(x, alpha, sigma, labels=None):
    """The exact noise of the mixture, or of the component each sample is labelled with."""
    spread = alpha**2 * VAR + sigma**2
    pulls = sigma * (x[:, None] - alpha * MEANS) / spread
    share = shares(x, alpha, sigma).softmax(-1)
    if labels is not None:
        given = torch.nn.functional.one_hot(labels.clamp(min=0), 3).to(x)
        share = torch.where((labels >= 0)[:, None], given, share)
    return (share[..., None] * pulls).sum(1)


def network(x, t, labels=None):
    alpha, sigma = (one[:, None] for one in registry.schedules.build("linear")(t.double()))
    return eps_of(x, alpha.squeeze(-1)[:1].item(), sigma.squeeze(-1)[:1].item(), labels)


def unlabelled(x, t):
    return network(x, t)


class Exact(torch.nn.Module):
    """The classifier of noisy samples that Bayes' rule gives."""

    def forward(self, x, t):
        alpha, sigma = registry.schedules.build("linear")(t.double())
        return shares(x, float(alpha[0]), float(sigma[0]))


@pytest.fixture
def model():
    return zoo.Diffusion.wrap(network, shape=(2,))


@pytest.fixture
def x_t():
    return torch.randn(5, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def at(model, t):
    return make_grid(model.schedule, [t])[0]


LABELS = torch.tensor([0, 1, 2, -1, 0])


def test_a_perfect_classifier_turns_the_mixture_into_the_component(x_t):
    """grad log p(y | x) = grad log p(x | y) - grad log p(x), Dhariwal & Nichol 2021, eq. 10, with scale 1."""
    model = zoo.Diffusion.wrap(unlabelled, shape=(2,))
    here = at(model, 400.0)
    guided = model.bind(guidance=Classifier(model=Exact()), labels=LABELS)(x_t, here)
    eps = guided.eps - here.sigma * guided.score
    torch.testing.assert_close(eps, eps_of(x_t, here.alpha, here.sigma, LABELS), rtol=0, atol=1e-12)


def test_a_classifier_guides_a_walk_of_a_network_without_labels():
    unguided, component = (zoo.Diffusion.wrap(one, shape=(2,)) for one in (unlabelled, network))
    walk = {"n": 5, "sampler": "ddim", "steps": 8, "seed": 1, "labels": LABELS}
    x_T = torch.randn(5, 2, dtype=torch.float64)
    guided = zoo.sample(unguided, x_T=x_T, guidance=Classifier(model=Exact()), **walk)
    torch.testing.assert_close(guided, zoo.sample(component, x_T=x_T, guidance=(), **walk), rtol=0, atol=1e-9)


def test_a_classifier_needs_labels(model):
    with pytest.raises(ConditionError, match="labels"):
        zoo.sample(model, 1, steps=2, guidance=Classifier(model=Exact()))


def test_labels_without_a_taker_are_refused_as_before():
    with pytest.raises(ConditionError, match="labels"):
        zoo.sample(zoo.Diffusion.wrap(unlabelled, shape=(2,)), 1, steps=2, labels=1)


def test_two_calls_say_what_one_says(model, x_t):
    here = at(model, 300.0)
    one, two = (model.bind(guidance=CFG(scale=3.0, batched=how), labels=LABELS)(x_t, here).eps for how in (True, False))
    torch.testing.assert_close(one, two, rtol=0, atol=1e-14)


def test_rescaling_keeps_the_spread_of_the_conditional_output():
    """Lin et al. 2024, eq. 15 and 16: with phi = 1 every sample has the standard deviation of c."""

    def loud(x, t, labels=None):
        return x if labels is None else x * (1 + labels.clamp(min=0).reshape(-1, 1, 1, 1))

    model = zoo.Diffusion.wrap(loud, shape=(1, 4, 4))
    x, labels = torch.randn(3, 1, 4, 4, dtype=torch.float64), torch.tensor([1, 2, 3])
    c = loud(x, None, labels)
    plain, half, full = (
        model.bind(guidance=CFG(scale=5.0, rescale=phi), labels=labels)(x, AT).eps for phi in (0.0, 0.5, 1.0)
    )
    torch.testing.assert_close(full.flatten(1).std(1), c.flatten(1).std(1))
    torch.testing.assert_close(half, (plain + full) / 2)
    # a constant output has no spread to keep
    still = zoo.Diffusion.wrap(lambda x, t, labels=None: 0 * x, shape=(1, 4, 4))
    assert still.bind(guidance=CFG(scale=5.0, rescale=1.0), labels=labels)(x, AT).eps.isfinite().all()


def test_cfg_pp_noises_again_without_the_conditions(model, x_t):
    """Chung et al. 2024, algorithm 2, one step."""
    now, next = (at(model, t) for t in (600.0, 300.0))
    u, c = (eps_of(x_t, now.alpha, now.sigma, labels) for labels in (None, LABELS))
    x_0 = (x_t - now.sigma * (u + 0.4 * (c - u))) / now.alpha
    got = zoo.sample(model, x_T=x_t, sampler="ddim", times=[600, 300], guidance=CFGpp(scale=0.4), labels=LABELS)
    torch.testing.assert_close(got, next.alpha * x_0 + next.sigma * u, rtol=0, atol=1e-12)


def test_cfg_pp_is_refused_where_it_would_be_lost(model):
    for guidance in ("cfg-pp", {"name": "interval", "guidance": "cfg-pp"}):
        with pytest.raises(MixError, match="ddim"):
            zoo.sample(model, 1, steps=2, sampler="plms", guidance=guidance, labels=1)


def test_an_interval_guides_inside_alone():
    asked = []

    def counted(x, t, labels=None):
        asked.append(len(x))
        return network(x, t, labels)

    model = zoo.Diffusion.wrap(counted, shape=(2,))
    times = [900.0, 600.0, 300.0, 100.0, -1.0]
    low, high = (at(model, t).nsr for t in (300.0, 600.0))
    interval = Interval(low=low, high=high, guidance={"name": "cfg", "scale": 3.0})
    x_T = torch.randn(2, 2, dtype=torch.float64)
    got = list(zoo.walk(model, x_T=x_T, sampler="ddim", times=times, guidance=interval, labels=torch.tensor([0, 1])))
    # doubled at 600 alone: the lower end is open
    assert asked == [2, 4, 2, 2]
    plain, guided = (
        list(zoo.walk(model, x_T=x_T, sampler="ddim", times=times, guidance=one, labels=torch.tensor([0, 1])))
        for one in ((), 3.0)
    )
    assert torch.equal(got[1].x_t, plain[1].x_t)
    assert not torch.allclose(got[2].x_t, plain[2].x_t)
    assert not torch.allclose(got[-1].x_t, guided[-1].x_t)
    assert recorded(
        registry.samplers.build("ddim"), model.bind(guidance=interval, labels=LABELS), make_grid(model.schedule, times)
    )


@pytest.mark.parametrize(
    ("schedule", "parameterization"), [("linear", "eps"), ("cosine", "v"), ("edm", "x0"), ("flow", "flow")]
)
def test_autoguidance_asks_the_weak_model_at_the_same_noise(model, x_t, schedule, parameterization):
    """The weak model knows the same data by other means, so guidance by it changes nothing at any scale."""
    schedule = registry.schedules.build(schedule)
    means = registry.parameterizations.build(parameterization)

    def weak(x, t, labels=None):
        at = make_grid(schedule, [float(t[0])])[0]
        spread = at.alpha**2 * VAR + at.sigma**2
        pulls = (x[:, None] - at.alpha * MEANS) / spread
        share = shares(x, at.alpha, at.sigma).softmax(-1)[..., None]
        eps, x_0 = (share * at.sigma * pulls).sum(1), (share * (MEANS + at.alpha * VAR * pulls)).sum(1)
        return means.target(x_0, eps, at)

    other = zoo.Diffusion.wrap(weak, schedule=schedule, parameterization=means, shape=(2,))
    here = at(model, 500.0)
    guided = model.bind(guidance=AutoGuidance(model=other, scale=3.0))(x_t, here)
    # cosine's table is read between its times
    torch.testing.assert_close(guided.eps, eps_of(x_t, here.alpha, here.sigma), rtol=0, atol=1e-9)
    assert math.isclose(float((here.alpha * guided.x_0 + here.sigma * guided.eps - x_t).abs().max()), 0, abs_tol=1e-9)


def test_autoguidance_extrapolates_away_from_the_weak_model(model, x_t):
    weak = zoo.Diffusion.wrap(lambda x, t, labels=None: 0.5 * x, shape=(2,))
    here = at(model, 500.0)
    good, bad = eps_of(x_t, here.alpha, here.sigma), 0.5 * x_t
    got = model.bind(guidance=AutoGuidance(model=weak, scale=2.0))(x_t, here).eps
    torch.testing.assert_close(got, bad + 2 * (good - bad), rtol=0, atol=1e-12)


def test_autoguidance_reads_the_weak_model_from_a_file(tmp_path):
    tiny = zoo.build("tiny-unet", denoiser={"classes": 3})
    zoo.save(tiny, tmp_path / "weak.safetensors")
    spec = {"name": "autoguidance", "model": str(tmp_path / "weak.safetensors"), "scale": 3.0}
    settings = {"n": 1, "steps": 3, "sampler": "ddim", "labels": 1}
    # a model guided by itself is itself
    torch.testing.assert_close(
        zoo.sample(tiny, guidance=spec, **settings), zoo.sample(tiny, guidance=(), **settings), rtol=0, atol=1e-4
    )


@pytest.mark.parametrize(
    "spec",
    [
        {"name": "cfg", "rescale": 1.5},
        {"name": "cfg", "hides": ["lengths"]},
        {"name": "cfg", "hides": []},
        {"name": "cfg-pp", "scale": 2.0},
        {"name": "interval", "low": 3.0, "high": 1.0},
        {"name": "classifier", "model": "nowhere.pt", "scale": float("nan")},
    ],
)
def test_settings_that_make_no_sense_are_refused(spec):
    with pytest.raises(registry.RegistryError):
        registry.guidances.build(spec)


def test_what_is_enlarged_is_enlarged_on_both_sides(x_t):
    """An upsampler's image is no condition to be guided by: without the class it is still there."""
    seen = []

    def upsampler(x, t, labels=None, low_res=None):
        seen.append(low_res)
        return x

    model = zoo.Diffusion.wrap(upsampler, shape=(2,))
    low_res = torch.ones(5, 1)
    model.bind(guidance=CFG(scale=2.0), labels=LABELS, low_res=low_res)(x_t, AT)
    assert torch.equal(seen[0], torch.ones(10, 1))
    with pytest.raises(ConditionError, match="needs a condition"):
        model.bind(guidance=CFG(scale=2.0), low_res=low_res)(x_t, AT)


@pytest.mark.parametrize("batched", [True, False])
def test_guidance_by_the_picture_that_is_enlarged(x_t, batched):
    """out = u + scale (c - u), where u knows the class and not the picture."""

    def upsampler(x, t, labels=None, low_res=None):
        return x + low_res * (1 + labels[:, None])

    model = zoo.Diffusion.wrap(upsampler, shape=(2,), parameterization="v")
    low_res = torch.full((5, 1), 2.0, dtype=torch.float64)
    guidance = CFG(scale=3.0, hides=("low_res",), batched=batched)
    out = model.bind(guidance=guidance, labels=LABELS, low_res=low_res).output(x_t, AT)
    torch.testing.assert_close(out, x_t + 3.0 * 2.0 * (1 + LABELS[:, None]), rtol=0, atol=1e-12)
    with pytest.raises(ConditionError, match="guidance hides 'low_res', which is not among the conditions: labels"):
        model.bind(guidance=guidance, labels=LABELS)(x_t, AT)
