"""``zoo trace``: pictures of paths, and tables of weights."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image

import zoo as library
from zoo.trajectories import table, trace

Zoo = Callable[..., object]


def test_draws_samplers_side_by_side(zoo: Zoo, tmp_path: Path) -> None:
    arguments = ["--sampler", "ddim", "--sampler", "dpmpp-2m", "--sampler", "ddim eta=1", "--steps", "6", "-n", "5"]
    found = json.loads(zoo("trace", "--out", "paths.png", *arguments, "--json").out)
    assert [path["sampler"] for path in found["paths"]] == ["ddim", "dpmpp-2m", "ddim eta=1"]
    assert [path["nfe"] for path in found["paths"]] == [6, 6, 6]
    assert found["paths"][2]["error"] is None
    assert found["paths"][1]["error"] < found["paths"][0]["error"] + 0.05
    assert len(found["paths"][0]["ends"]) == 5
    with Image.open(tmp_path / "paths.png") as picture:
        width, height = picture.size
        # three panels in a row, and something drawn in each of them
        assert width > 2 * height
        thirds = [picture.convert("L").crop((i * width // 3, 0, (i + 1) * width // 3, height)) for i in range(3)]
    assert all(third.getextrema()[0] < 60 for third in thirds)


def test_paths_start_from_the_same_noise_and_the_reference_is_exact() -> None:
    model = library.build("tiny-mixture")
    paths = trace(model, ["ddim", "plms", {"name": "ddim", "eta": 1.0}], n=4, steps=200)
    starts = [path.states[0] for path in paths.several]
    assert torch.equal(starts[0], starts[1])
    assert torch.equal(starts[0], starts[2])
    # more steps come closer to the fine walk, which no sampler in the picture made
    coarse = trace(model, ["ddim"], n=4, steps=20).several[0].error
    assert paths.several[0].error < 0.3 * coarse


def test_prints_the_weights_of_the_formula(zoo: Zoo) -> None:
    lines = zoo("trace", "tiny-mixture", "--table", "--sampler", "ddim", "--steps", "2").out.splitlines()
    assert lines[0] == "ddim:"
    now, _, step, _ = (line.strip() for line in lines[1:5])
    alpha, sigma = (float(part.split()[0]) for part in now.split(" = ")[2:])
    at = library.build("tiny-mixture").schedule(torch.tensor(499.0, dtype=torch.float64))
    scale = float(at.alpha) / alpha
    weight_x, weight_out = float(step.split()[2]), float(step.split()[5])
    assert math.isclose(weight_x, scale, rel_tol=1e-6)
    assert math.isclose(weight_out, scale * sigma - float(at.sigma), rel_tol=1e-5)


def test_a_rule_that_is_more_than_sums_says_so(zoo: Zoo) -> None:
    library.build("tiny-mixture")
    learned = {"name": "eps", "learned_variance": True}
    model = library.Diffusion.wrap(lambda x, t: torch.cat([x, x], 1), parameterization=learned, shape=(2,))
    assert table(model, {"name": "ddpm", "variance": "learned-range"}, steps=3) is None
    assert table(model, "ddim", steps=3) is not None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "add --out paths.png for a picture, or --table for the weights"),
        (["--out", "a.png", "--table"], "add --out paths.png for a picture, or --table"),
        (["--out", "a.gif"], "'a.gif' is no .png file"),
        (["--out", "nowhere/a.png"], "there is no folder 'nowhere'"),
        (["ddpm-mnist", "--out", "a.png"], "a sample must have shape (2,)"),
        (["--out", "a.png", "--sampler", "dimm"], "did you mean 'ddim'?"),
    ],
)
def test_bad_input_gives_one_message(zoo: Zoo, tmp_path: Path, arguments: list[str], message: str) -> None:
    result = zoo("trace", *arguments)
    assert result.code == 2
    assert message in result.err
    assert "Traceback" not in result.err
    assert not list(tmp_path.iterdir())
