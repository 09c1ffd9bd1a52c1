"""``--guidance`` of the verbs that sample."""

from __future__ import annotations

import pytest
from safetensors.torch import load_file
from torch.testing import assert_close

import zoo as library
from zoo.cli.model_argument import guidance_of

SHOWN = ("sample", "ddpm-mnist", "-n", "2", "--labels", "3", "--steps", "2", "--out")


@pytest.mark.parametrize(
    ("texts", "meant"),
    [
        ((), None),
        (("1.5",), 1.5),
        (("cfg scale=3 rescale=0.7",), [{"name": "cfg", "scale": 3, "rescale": 0.7}]),
        (("2", "clip"), [{"name": "cfg", "scale": 2}, {"name": "clip"}]),
        (
            ("interval low=0.2 guidance={name: cfg, scale: 2}",),
            [{"name": "interval", "low": 0.2, "guidance": {"name": "cfg", "scale": 2}}],
        ),
        (
            ("interval guidance={name: interval, guidance: {name: cfg, scale: 2}, low: 1} high=3",),
            [
                {
                    "name": "interval",
                    "guidance": {"name": "interval", "guidance": {"name": "cfg", "scale": 2}, "low": 1},
                    "high": 3,
                }
            ],
        ),
        (("cfg note='a b' hides=[labels]",), [{"name": "cfg", "note": "a b", "hides": ["labels"]}]),
        (("cfg hides=[low_res, labels]",), [{"name": "cfg", "hides": ["low_res", "labels"]}]),
    ],
)
def test_a_number_is_a_scale_and_a_name_has_arguments(texts, meant):
    assert guidance_of(texts) == meant


def test_samples_are_guided_as_told(zoo):
    assert zoo(*SHOWN, "number.safetensors", "--guidance", "3").code == 0
    assert zoo(*SHOWN, "named.safetensors", "--guidance", "cfg scale=3 channels=1").code == 0
    assert zoo(*SHOWN, "own.safetensors").code == 0
    number, named, own = (load_file(f"{name}.safetensors")["samples"] for name in ("number", "named", "own"))
    assert_close(named, number, rtol=0, atol=0)
    assert (own - number).abs().max() > 0.01, "the preset's scale is 2"
    model = library.build("ddpm-mnist", pretrained=True)
    expected = library.sample(model, 2, labels=3, steps=2, guidance={"name": "cfg", "scale": 3.0})
    # the same numbers, by kernels that may add up otherwise from call to call
    assert_close(number, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("guidance", "message"),
    [
        ("cgf scale=2", "did you mean 'cfg'?"),
        ("cfg size=2", "'cfg' takes no such argument"),
        ("cfg hides=[low_res]", "guidance hides 'low_res', which is not among the conditions: labels"),
        ("nan", "scale must be finite, got nan"),
    ],
)
def test_guidance_that_cannot_be(zoo, tmp_path, guidance, message):
    refused = zoo(*SHOWN, "a.safetensors", "--guidance", guidance)
    assert refused.code == 2
    assert message in refused.err
    assert not (tmp_path / "a.safetensors").exists()
