"""What sampling is said to hold: exact on networks that can be counted by hand, and by what it is proportional to."""

import json
from itertools import pairwise

import pytest
import torch
from parts import drawn, label, specs
from torch import nn

import registry
import zoo
from zoo.core.errors import ShapeError
from zoo.footprint import footprint, per_sample, usual_conditions
from zoo.sampling import chosen_grid


class Plain(nn.Module):
    """Two linear layers with a silu between them."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(6, 10), nn.Linear(10, 6)
        self.register_buffer("table", torch.zeros(5))

    def forward(self, x, t):
        return self.second(nn.functional.silu(self.first(x)))


@pytest.fixture
def plain():
    return zoo.Diffusion.wrap(Plain(), shape=(6,))


@pytest.mark.parametrize("batch", [1, 3])
def test_a_plain_network_by_hand(plain, batch):
    told = footprint(plain, batch, shape=(6,))
    # 6 x 10 + 10 + 10 x 6 + 6 weights and a table of 5
    assert told.weights == 4 * (136 + 5)
    # at once: the first layer's output and the silu's
    assert told.activations == batch * 4 * (10 + 10)
    # ddim: the start, x_t, what the network said, and x_s
    assert told.state == batch * 4 * 4 * 6
    assert (told.kernels, told.conditions, told.prepared) == (0, 0, 0)
    assert told.total == told.weights + told.activations + told.state


def test_half_precision_by_hand(plain):
    told = footprint(plain, 3, shape=(6,), precision="bf16")
    # the weights stay, and are rounded into others of 2 bytes; the table too
    assert (told.weights, told.kernels) == (4 * 141, 2 * 141)
    # x is rounded, too; the state is not
    assert told.activations == 3 * 2 * (6 + 10 + 10)
    assert told.state == 3 * 4 * 4 * 6


def test_guidance_doubles_what_the_network_holds():
    model = drawn("tiny-diffnet")
    alone, guided, twice = (
        footprint(model, batch, shape=(8, 16), guided=one) for batch, one in ((4, False), (4, True), (8, False))
    )
    assert (guided.batch, guided.rows) == (4, 8)
    assert (guided.activations, guided.prepared) == (twice.activations, twice.prepared)
    # x_t twice, what was said of it twice, and their mixture
    assert guided.state > alone.state
    # the condition, its null, and both together
    assert guided.conditions == 4 * alone.conditions == 4 * 4 * (4 * 6 * 16)


def test_what_is_worked_out_ahead_is_counted():
    model = drawn("tiny-diffnet")
    one, four = (footprint(model, batch, shape=(8, 16)).prepared for batch in (1, 4))
    assert 0 < one < four


@pytest.mark.parametrize("name", ["tiny-unet", "tiny-dit", "tiny-diffnet", "tiny-adm", "tiny-edm", "tiny-uvit"])
def test_counting_leaves_the_model_as_it_was(name):
    model = drawn(name).train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    first = footprint(model, 2, shape=model.shape)
    assert model.training
    assert all(module.training for module in model.denoiser.modules())
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert footprint(model.eval(), 2, shape=model.shape) == first
    assert first.activations > 0


def test_counting_takes_no_weights():
    model = zoo.build("ddpm-cifar10", device="meta")
    told = footprint(model, 1000, shape=(3, 32, 32))
    assert told.weights == 4 * sum(weight.numel() for weight in model.parameters())
    assert told.activations > 900 * footprint(model, 1, shape=(3, 32, 32)).activations


@pytest.mark.parametrize("spec", specs("samplers"), ids=label)
def test_the_memory_of_every_rule_can_be_counted(spec):
    """At least what ddim holds; restart holds two dozen states more, since a walk keeps all answers of a step."""
    model, rule = zoo.build("tiny-gaussian"), registry.samplers.build(spec)
    grid = chosen_grid(model, 20, "log-snr", None)
    x = torch.zeros(1, *model.shape)
    _, each = per_sample(model, rule, grid, x, {})
    _, network = per_sample(model, registry.samplers.build("ddim"), grid, x, {})
    assert network <= each <= network + 24 * x.nbytes


def test_each_precision_is_counted_for_itself():
    model = drawn("tiny-diffnet")
    x, grid, rule = torch.zeros(1, 8, 16), chosen_grid(model, 4, None, None), registry.samplers.build("ddim")
    cond = {"cond": torch.zeros(1, 6, 16)}
    full, half, auto = (per_sample(model, rule, grid, x, cond, precision=one) for one in ("float32", "bf16", "auto"))
    told = [footprint(model, 1, shape=(8, 16), precision=one).kernels for one in ("float32", "bf16")]
    assert [full[0], half[0]] == told
    assert full[1] != half[1]
    assert auto[0] == max(told)
    assert auto[1] >= max(full[1], half[1])


def test_multistep_rules_hold_their_history():
    model = zoo.build("tiny-gaussian")
    x, grid = torch.zeros(1, *model.shape), chosen_grid(model, 20, None, None)
    held = [
        per_sample(model, registry.samplers.build({"name": "lms", "order": k}), grid, x, {})[1] for k in (1, 2, 3, 4)
    ]
    assert [b - a for a, b in pairwise(held)] == [x.nbytes] * 3


def test_a_function_of_the_users_is_not_called():
    def f(x, t):
        raise AssertionError("called")

    model = zoo.Diffusion.wrap(f, shape=(6,))
    x, grid = torch.zeros(1, 6), chosen_grid(model, 4, None, None)
    assert per_sample(model, registry.samplers.build("ddim"), grid, x, {}) == (0, 4 * x.nbytes)


def test_a_network_that_cannot_be_counted_is_left_out():
    class Looking(Plain):
        def forward(self, x, t):
            return super().forward(x) if float(x.sum()) > 0 else x

    model = zoo.Diffusion.wrap(Looking(), shape=(6,))
    x, grid = torch.zeros(1, 6), chosen_grid(model, 4, None, None)
    assert per_sample(model, registry.samplers.build("ddim"), grid, x, {}) == (0, 4 * x.nbytes)


def test_the_usual_conditions_are_those_of_the_config():
    assert {name: one.shape for name, one in usual_conditions(drawn("tiny-diffnet"), (8, 16)).items()} == {
        "cond": (1, 6, 16)
    }
    assert {name: one.shape for name, one in usual_conditions(drawn("tiny-dit"), (4, 8, 8)).items()} == {"labels": (1,)}
    assert usual_conditions(drawn("tiny-unet"), (3, 8, 8)) == {}


def test_a_description_tells_both_precisions():
    model = drawn("tiny-diffnet")
    told = zoo.describe(model, batch=4)
    assert [one.precision for one in told.memory] == ["float32", "bf16"]
    assert told.memory[0] == footprint(model, 4, shape=(8, 16))
    assert json.loads(json.dumps(told.to_dict()))["memory"][0]["total"] == told.memory[0].total
    assert "memory" not in zoo.describe(model).to_dict()
    text = str(zoo.describe(model, batch=4, guided=True))
    assert "memory of sampling 4 together, the network asked about 8 rows at once" in text
    assert text.splitlines()[-1].startswith("total")


def test_what_cannot_be_told_is_refused(plain):
    with pytest.raises(ShapeError, match="batch: expected a whole number of samples from 1, got 0"):
        zoo.describe(plain, batch=0)
    with pytest.raises(ShapeError, match="guided: this network takes no conditions"):
        zoo.describe(plain, batch=2, guided=True)
    with pytest.raises(ShapeError, match="a bare denoiser has no sampler"):
        zoo.describe(plain.denoiser, (6,), batch=2)
