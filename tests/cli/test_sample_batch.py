"""``zoo sample --batch``: the same picture, in parts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

Zoo = Callable[..., object]


@pytest.mark.parametrize("sampler", ["ddim", "ddpm"])
def test_parts_make_the_same_samples(zoo: Zoo, tmp_path: Path, sampler: str) -> None:
    common = ["sample", "tiny-gaussian", "-n", "5", "--steps", "4", "--sampler", sampler]
    assert zoo(*common, "--out", "whole.safetensors").code == 0
    assert zoo(*common, "--out", "parts.safetensors", "--batch", "2").code == 0
    assert (tmp_path / "whole.safetensors").read_bytes() == (tmp_path / "parts.safetensors").read_bytes()


def test_what_cannot_be_split_is_one_message(zoo: Zoo) -> None:
    result = zoo(
        *("sample", "tiny-gaussian", "-n", "5", "--out", "a.safetensors", "--batch", "2"),
        *("--sampler", "dpm-adaptive together=worst", "--steps", "1", "--spacing", "log-snr"),
    )
    assert (result.code, result.err.splitlines()[0]) == (
        2,
        "error: batch: 5 samples cannot be walked 2 at a time by DPMAdaptive, whose steps depend on the whole batch; "
        "leave batch out",
    )
