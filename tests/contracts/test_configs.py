"""What every shipped config promises: it fits the code, it builds, and it is as large as it says."""

import json
import re

import pytest
import torch

import zoo
from zoo import config as configs
from zoo.factory import assemble, check_mix, make

NAMES = configs.names()
# Above this a model is built without memory: its structure is the same, and no test waits for random weights.
SMALL = 3_000_000


@pytest.fixture(scope="module", params=NAMES)
def name(request):
    return request.param


def test_fits_the_signatures(name):
    assert configs.check(name) == []


def test_resolves_to_plain_values_once_and_for_all(name):
    tree = configs.resolve(name)
    assert json.loads(json.dumps(tree, allow_nan=False)) == tree
    assert configs.resolve(tree) == tree


def test_says_what_it_is(name):
    summary = configs.resolve(name)["summary"]
    assert summary.endswith(".")


def test_builds_and_is_as_large_as_it_says(name):
    tree = configs.resolve(name)
    model = make(tree, empty=True)
    check_mix(model)
    parameters = sum(weight.numel() for weight in model.parameters())
    if stated := re.search(r"([\d.]+) M parameters", tree["summary"]):
        decimals = len(stated[1].partition(".")[2])
        assert round(parameters / 1e6, decimals) == float(stated[1])
    if parameters < SMALL:
        built = zoo.build(name)
        assert sum(weight.numel() for weight in built.parameters()) == parameters
        assert all(weight.isfinite().all() for weight in built.parameters())


@pytest.mark.parametrize(
    ("name", "parameters"),
    [("ddpm-cifar10", 35_746_307), ("ddpm-celeba-64", 78_700_803), ("ddpm-church-256", 113_673_219)],
)
def test_published_models_have_their_published_size(name, parameters):
    model = assemble(configs.resolve(name), empty=True)
    assert sum(weight.numel() for weight in model.parameters()) == parameters


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in NAMES if not name.startswith("tiny-")])
def test_builds_with_memory(name):
    assert zoo.build(name).training


@torch.no_grad()
@pytest.mark.parametrize("name", [name for name in configs.names("tiny-*") if "denoiser" in configs.resolve(name)])
@pytest.mark.parametrize("sampler", [None, "ddpm", "plms"])
def test_tiny_models_sample_as_configured(name, sampler):
    model = zoo.build(name)
    assert zoo.sample(model, 2, sampler=sampler).shape == (2, *model.shape)
