"""What is worked out ahead changes nothing: every denoiser that offers it, for every condition it takes."""

import copy
import itertools

import pytest
import torch
from parts import conditions, start, tiny_model

import registry
import zoo
from zoo.core import prepared as room
from zoo.core.diffusion import Diffusion
from zoo.core.prepared import Prepared, offers

OFFERING = [name for name in registry.denoisers.names() if offers(registry.denoisers.get(name))]
# no weights; or the time is one vector that an MLP makes, and blocks make nothing of it
NOTHING_TO_OFFER = {"gaussian", "gaussian-mixture", "fft-denoiser", "uvit"}
TIMES = (3.0, 500.5, 998.0)


@pytest.fixture(scope="module", params=OFFERING)
def model(request):
    return tiny_model(request.param).double()


def given(model, rows):
    """The conditions of some rows, with a row of each that means nothing."""
    names, made = conditions(model), {}
    if "labels" in names and getattr(model.denoiser, "classes", None):
        made["labels"] = torch.tensor([0, -1, 1])[:rows]
    if "cond" in names:
        made["cond"] = torch.randn(rows, model.config["denoiser"]["cond_channels"], 16, dtype=torch.float64)
        made["lengths"] = torch.tensor([16, 9, 1])[:rows]
    return made


def test_whatever_has_blocks_under_the_time_offers_it():
    silent = set(registry.denoisers.names()) - set(OFFERING)
    assert silent <= NOTHING_TO_OFFER
    assert {"unet", "adm", "dit", "diffnet", "timm-unet"} <= set(OFFERING)


@torch.no_grad()
@pytest.mark.parametrize(("rows", "conditional"), list(itertools.product([1, 3], [False, True])))
def test_changes_nothing(model, rows, conditional):
    cond = given(model, rows) if conditional else {}
    x = start(model, rows)
    ahead = Prepared(model.denoiser, cond, TIMES, x)
    # a time that nobody announced is worked out when it comes
    for time in (*TIMES, 77.25, TIMES[0]):
        t = torch.full((rows,), time, dtype=torch.float64)
        plain = model.denoiser(x, t, **cond)
        # the same sums in another order, in float64
        torch.testing.assert_close(model.denoiser(x, t, **cond, prepared=ahead.at(time)), plain, rtol=0, atol=1e-11)


@torch.no_grad()
def test_is_what_the_network_then_computes_with(model):
    """Something else prepared gives something else: nobody works it out again behind our back."""
    x = start(model, 2)
    ahead = Prepared(model.denoiser, {}, TIMES, x)
    t = torch.full((2,), TIMES[0], dtype=torch.float64)
    right, wrong = (model.denoiser(x, t, prepared=ahead.at(time)) for time in (TIMES[0], TIMES[2]))
    assert not torch.allclose(right, wrong)


class Counting:
    """A network that notes for how many times it works."""

    def __init__(self):
        self.asked = []

    def prepare_times(self, times):
        self.asked.append(len(times))
        return {"double": torch.stack([2 * times] * 4, dim=1)}


@pytest.mark.parametrize(("bytes_kept", "asked"), [(10**6, [1, 9]), (4 * 8 * 3, [1, 3, 3, 3]), (1, [1] * 10)])
def test_many_times_are_worked_out_together(monkeypatch, bytes_kept, asked):
    monkeypatch.setattr(room, "KEPT_BYTES", bytes_kept)
    network, labels = Counting(), [float(label) for label in range(10)]
    ahead = Prepared(network, {}, labels, torch.zeros(1, 1, dtype=torch.float64))
    for label in labels:
        assert ahead.at(label)["double"].tolist() == [[2 * label] * 4]
        # a walk may ask twice at one time
        assert ahead.at(label)["double"][0, 0] == 2 * label
    assert network.asked == asked


@pytest.mark.parametrize("guidance", [None, 3.0, {"name": "cfg", "scale": 3.0, "batched": False}])
def test_a_guided_walk_is_the_same(guidance):
    model = tiny_model("unet").double()
    settings = {"steps": 4, "guidance": guidance, "labels": torch.tensor([0, 1, 2]), "x_T": start(model, 3)}
    seen = []
    forward = type(model.denoiser).forward

    def noting(self, x, t, *, labels=None, prepared=None):
        seen.append(prepared is not None)
        return forward(self, x, t, labels=labels)

    ours = zoo.sample(model, **settings)
    spied = copy.copy(model.denoiser)
    spied.__class__ = type("Spied", (type(model.denoiser),), {"forward": noting})
    theirs = zoo.sample(
        Diffusion(spied, model.schedule, model.parameterization, sampling=model.sampling, shape=model.shape), **settings
    )
    assert seen
    assert all(seen)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-9)


def test_weights_that_change_between_two_walks_are_seen():
    model = tiny_model("diffnet")
    settings = {"steps": 3, "x_T": start(model, 1, torch.float32), "cond": torch.randn(1, 6, 16)}
    before = zoo.sample(model, **settings)
    with torch.no_grad():
        # through data, which no version counter sees
        model.denoiser.residual_layers[0].conditioner_projection.weight.data += 0.5
        model.denoiser.residual_layers[0].dilated_conv.weight.data += 0.1
    assert not torch.allclose(before, zoo.sample(model, **settings))
