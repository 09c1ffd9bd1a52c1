"""Networks that call their parts differently, take their inputs differently, or lack some."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import zoo
from zoo.comparison import ComparisonError, compare
from zoo.comparison.measure import difference


class Small(nn.Module):
    def __init__(self, *, extra: bool = False) -> None:
        super().__init__()
        self.first, self.act, self.last = nn.Conv1d(5, 8, 1), nn.SiLU(), nn.Conv1d(8, 5, 3, padding=1)
        self.spare = nn.Linear(3, 3) if extra else None

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        return self.last(self.act(self.first(x)) + t[:, None, None] / 1000)


class Renamed(nn.Module):
    """The same, in (B, T, C), with other names and one more step inside a Sequential."""

    def __init__(self, small: Small) -> None:
        super().__init__()
        self.inner = nn.Sequential(nn.Identity(), nn.Linear(5, 8), nn.SiLU())
        self.out = nn.Conv1d(8, 5, 3, padding=1)
        self.inner[1].load_state_dict({key: value.squeeze(-1) for key, value in small.first.state_dict().items()})
        self.out.load_state_dict(small.last.state_dict())

    def forward(self, sample: Tensor, timesteps: Tensor) -> Tensor:
        h = self.inner(sample.transpose(1, 2)).transpose(1, 2)
        return self.out(h + timesteps[:, None, None] / 1000)


def test_other_names_are_paired_by_order_and_shape():
    small = Small()
    found = compare(small, Renamed(small))
    assert found.equal, str(found)
    assert {(pair.a, pair.b) for pair in found.renamed()} >= {("first", "inner.1"), ("act", "inner.2"), ("last", "out")}
    assert {pair.how for pair in found.renamed()} == {"order and shape"}
    assert any(row.state == "only in b" and row.b == "inner.0" for row in found.rows)


def test_names_can_be_given():
    small = Small()
    found = compare(small, Renamed(small), names={"first": "inner.1"})
    assert {pair.a: pair.how for pair in found.pairing}["first"] == "given"
    with pytest.raises(ComparisonError, match=r"b has no module 'inner.9'\n    did you mean 'inner.\d'"):
        compare(small, Renamed(small), names={"first": "inner.9"})


def test_a_common_prefix_does_not_matter():
    class Wrapped(nn.Module):
        def __init__(self, net: nn.Module) -> None:
            super().__init__()
            self.net = net

        def forward(self, *args: Tensor) -> Tensor:
            return self.net(*args)

    small = Small()
    found = compare(small, Wrapped(small))
    assert found.equal, str(found)
    assert ("first", "net.first") in {(pair.a, pair.b) for pair in found.pairing}


def test_a_weight_that_is_missing_or_of_another_shape():
    small, other = Small(), Small(extra=True)
    other.load_state_dict({**other.state_dict(), **small.state_dict()})
    found = compare(small, other)
    assert not found.equal
    assert {(weight.b, weight.state) for weight in found.weights} == {
        ("spare.weight", "only in b"),
        ("spare.bias", "only in b"),
    }
    assert found.first is None
    assert "do not show in the outputs" in found.verdict
    other = Small()
    other.first = nn.Conv1d(5, 8, 3, padding=1)
    states = {weight.a: weight.state for weight in compare(small, other).weights}
    assert states["first.weight"] == "other shape"


def test_a_module_that_runs_twice_is_compared_twice():
    class Twice(Small):
        def forward(self, x: Tensor, t: Tensor) -> Tensor:
            return super().forward(super().forward(x, t), t)

    first, second = Twice(), Twice()
    second.load_state_dict(first.state_dict())
    assert [row.call for row in compare(first, second).rows if row.a == "act"] == [0, 1]


def test_inputs_of_ones_own():
    small = Small()
    inputs = {"x": torch.randn(3, 5, 7), "t": torch.tensor([1.5, 2.5, 3.5])}
    assert "(3, 5, 7)" in compare(small, Renamed(small), inputs).remarks[0]
    assert compare(small, Renamed(small), (inputs["x"], inputs["t"])).equal
    with pytest.raises(ComparisonError, match="need x and t"):
        compare(small, small, {"x": inputs["x"]})
    with pytest.raises(ComparisonError, match="neither side takes spin"):
        compare(small, small, {**inputs, "spin": inputs["t"]})
    with pytest.raises(ComparisonError, match=r"cannot be called with these inputs.*\n.*Small\(x \(3, 6, 7\)"):
        compare(small, small, {**inputs, "x": torch.randn(3, 6, 7)})


def test_models_by_name_and_path(tmp_path):
    model = zoo.build("tiny-diffnet")
    nn.init.normal_(model.denoiser.output_projection.weight)
    zoo.save(model, tmp_path / "model.safetensors")
    assert zoo.compare(model, tmp_path / "model.safetensors").equal
    other = zoo.build("tiny-diffnet", scaling={"low": -6.0}, schedule={"max_beta": 0.01})
    other.load_state_dict(model.state_dict())
    found = zoo.compare(model, other)
    assert found.first is None
    assert {weight.a for weight in found.weights} == {"schedule (alpha)", "scaling.low"}


def test_features_go_through_the_conditioners_of_both():
    model, other = (zoo.build("tiny-diffnet", conditioner={"name": "svc", "channels": 6}) for _ in range(2))
    other.load_state_dict(model.state_dict())
    inputs = {
        "x": torch.randn(1, 8, 16),
        "t": torch.tensor([40]),
        "units": torch.randn(1, 9, 6),
        "f0": torch.full((1, 16), 220.0),
    }
    assert zoo.compare(model, other, inputs).equal
    with torch.no_grad():
        other.conditioner.pitch_embed.weight.mul_(1.1)
    found = zoo.compare(model, other, inputs)
    assert found.first is not None
    assert found.first.a == "conditioner.pitch_embed"
    assert [weight.a for weight in found.weights] == ["conditioner.pitch_embed.weight"]


def test_another_constant_is_found_though_no_weight_differs():
    model, other = zoo.build("tiny-unet"), zoo.build("tiny-unet")
    other.load_state_dict(model.state_dict())
    norm = next(module for module in other.denoiser.modules() if isinstance(module, nn.GroupNorm))
    norm.eps = 1e-3
    found = zoo.compare(model, other)
    assert found.first is not None
    assert found.first.text.endswith("eps=1e-06 in a, eps=0.001 in b")


def test_images_and_labels_are_made_as_well():
    model = zoo.build("tiny-unet")
    other = zoo.build("tiny-unet")
    other.load_state_dict(model.state_dict())
    assert zoo.compare(model, other).equal


@pytest.mark.parametrize("shape", [(2, 1, 3, 4), (2, 4, 3), (6, 4), (2, 3, 2, 2)])
def test_layouts_of_the_same_numbers(shape):
    a = torch.randn(2, 3, 4)
    b = a.transpose(1, 2) if shape == (2, 4, 3) else a.reshape(shape)
    found = difference(a, b)
    assert found is not None
    assert found.max_abs == 0


def test_nan_agrees_with_nan_alone():
    a = torch.tensor([1.0, float("nan")])
    assert difference(a, a).max_abs == 0
    assert difference(a, torch.tensor([1.0, 2.0])).max_abs == float("inf")
