"""Chosen recorded runs of reference samplers, one for each convention that we claim to repeat."""

from pathlib import Path

import pytest
from golden_samplers import Case, recipe, replay

FILES = sorted((Path(__file__).parent / "samplers").glob("*.safetensors"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_repeats_the_reference(file):
    case = Case.read(file)
    replay(case, recipe(case))


def test_a_wrong_grid_is_noticed():
    """The comparison can fail: one convention for another moves the result by far more than the tolerance."""
    case = Case.read(next(file for file in FILES if file.stem == "diffusers_ddim_sd"))
    ours = recipe(case)
    clean = {**ours.walk, "spacing": {**ours.walk["spacing"], "end": "clean"}}
    with pytest.raises(AssertionError):
        replay(case, type(ours)(ours.sampler, clean))
