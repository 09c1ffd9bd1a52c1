"""A mistake is planted, and the comparison has to find it by itself: which module, and between which."""

from __future__ import annotations

import json

import torch

import zoo
from zoo.comparison import compare


def test_equal_networks_are_equal(ours, old):
    found = compare(ours, old())
    assert found.equal
    assert found.first is None
    assert not found.weights
    assert found.verdict.startswith("equal")


def test_relu_for_mish(ours, old):
    for found in (compare(ours, old("ReluDiffNet")), compare(old("ReluDiffNet"), ours)):
        assert not found.equal
        assert found.first is not None
        assert (found.first.a, found.first.before) == ("mlp.1", None)
        assert "Mish" in found.first.text
        assert "ReLU" in found.first.text


def test_relu_for_mish_as_a_function(ours, old):
    """It is nobody's module: the network around it is named, and the modules it lies between."""
    found = compare(ours, old("FunctionalDiffNet"))
    assert found.first is not None
    assert (found.first.a, found.first.after, found.first.before) == ("", "mlp.0", "mlp.2")
    assert "between mlp.0's output and mlp.2's input" in found.first.text


def test_gate_and_filter_swapped(ours, old):
    found = compare(ours, old("SwappedDiffNet"))
    assert found.first is not None
    assert found.first.a == "residual_layers.0"
    assert found.first.after == "residual_layers.0.conditioner_projection"
    assert found.first.before == "residual_layers.0.output_projection"
    assert "between conditioner_projection's output and output_projection's input" in found.first.text


def test_a_function_of_the_whole_network(ours, old):
    found = compare(ours, old("SiluDiffNet"))
    assert found.first is not None
    assert (found.first.a, found.first.after, found.first.before) == ("", "skip_projection", "output_projection")


def test_dilation_cycle_1_for_4(ours, old):
    found = compare(ours, old(dilation_cycle_length=1))
    assert found.first is not None
    assert found.first.a == "residual_layers.1.dilated_conv"
    assert "dilation=(2,)" in found.first.text
    # layers 0 and 4 have dilation 1 in both; the others take their inputs from layer 1
    assert len(found.origins) == 1


def test_one_transposed_weight(ours, old):
    right = old()
    weight = ours.residual_layers[2].diffusion_projection.weight
    weight.data = weight.data.T.contiguous()
    found = compare(right, ours)
    assert found.first is not None
    assert found.first.a == "residual_layers.2.diffusion_projection"
    (differing,) = found.weights
    assert differing.a == "residual_layers.2.diffusion_projection.weight"
    assert differing.note == "the same numbers, transposed"


def test_weights_with_their_halves_swapped(ours, old):
    right = old()
    weight = ours.residual_layers[0].dilated_conv.weight
    weight.data = weight.data.roll(8, 0)
    (differing,) = compare(right, ours).weights
    assert differing.note == "the same rows, both halves swapped"


def test_noise_is_no_difference(ours, old):
    right = old()
    with torch.no_grad():
        for weight in ours.parameters():
            # two units in the last place of float32: a hundred times below the tolerance
            weight.mul_(1 + 2.4e-7)
    found = compare(right, ours)
    assert found.equal, found.verdict
    assert found.weights
    assert {weight.note for weight in found.weights} <= {"no more than rounding"}


def test_the_report_as_text_and_as_data(ours, old):
    found = zoo.compare(ours, old("SwappedDiffNet"))
    text = str(found)
    assert "b is called as SwappedDiffNet(spec (2, 1, 10, 24) float32, diffusion_step (2) int64" in text
    assert "38 modules paired: 38 by name" in text
    assert text.endswith(found.verdict)
    plain = json.loads(json.dumps(found.to_dict()))
    assert plain["first"]["a"] == "residual_layers.0"
    assert plain["equal"] is False
    assert [row["a"] for row in plain["rows"][:4]] == ["mlp.0", "mlp.1", "mlp.2", "mlp"]


def test_what_was_compared_is_left_as_it_was(ours, old):
    other = old()
    ours.train()
    state = torch.get_rng_state()
    compare(ours, other)
    assert all(module.training for module in ours.modules())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in ours.modules())
    assert torch.equal(torch.get_rng_state(), state)
