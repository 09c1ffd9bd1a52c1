"""Foreign files are tensors by key, whatever they are wrapped in, and never code."""

import argparse
import collections
import logging
import pickle
import random

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from zoo.checkpoint import CheckpointError
from zoo.importers.source import Source


class Evil:
    """What a pickle that wants code looks like: it would create the file `path`."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return open, (self.path, "w")


def saved(path, value, **how):
    torch.save(value, path, **how)
    return path


def test_containers_of_any_kind_become_dotted_keys(tmp_path):
    value = [
        collections.OrderedDict({"module.a": torch.ones(2), "b": {"c": (torch.zeros(3), torch.ones(1))}}),
        {"state": {0: {"exp_avg": torch.ones(4)}}, "lr": 0.1, "params": [0, 1]},
        12,
        nn.Parameter(torch.ones(5)),
        {"args": argparse.Namespace(depth=3, name="x"), "loss": np.float64(0.5), "array": np.arange(3)},
    ]
    source = Source(saved(tmp_path / "x.pth", value))
    assert list(source) == [
        "0.module.a", "0.b.c.0", "0.b.c.1", "1.state.0.exp_avg", "3", "4.array",
    ]  # fmt: skip
    assert source.plain == {
        "1.lr": 0.1, "1.params.0": 0, "1.params.1": 1, "2": 12, "4.args.depth": 3, "4.args.name": "x", "4.loss": 0.5,
    }  # fmt: skip
    assert source.shape("0.b.c.0") == (3,)
    assert source.dtype("4.array") == torch.int64
    assert not source["3"].requires_grad


def test_a_part_leaves_out_its_prefix_and_remembers_what_was_read(tmp_path):
    source = Source(saved(tmp_path / "x.pth", {"a": {"b": torch.ones(1), "c": torch.ones(2)}, "d": torch.ones(3)}))
    part = source.under("a.")
    assert list(part) == ["b", "c"]
    assert len(part) == 2
    assert "b" in part
    assert "a.b" not in part
    assert source.unread() == []  # nothing was read of this file, so nothing is left behind
    assert part["b"].shape == (1,)
    assert source.unread() == ["a.c", "d"]
    assert part.unread() == ["c"]
    with pytest.raises(CheckpointError, match=r"has no tensor 'a\.x'"):
        part["x"]


@pytest.mark.parametrize("kind", ["safetensors", "torch"])
def test_shapes_and_dtypes_are_known_without_reading(tmp_path, kind):
    tensors = {"a": torch.randn(2, 3), "b": torch.ones(4, dtype=torch.float16)}
    path = tmp_path / "weights.bin"
    save_file(tensors, path) if kind == "safetensors" else torch.save(tensors, path)
    source = Source(path)
    assert source.shape("a") == (2, 3)
    assert source.dtype("b") == torch.float16
    assert torch.equal(source["a"], tensors["a"])


def test_a_file_is_not_changed_through_its_tensors(tmp_path):
    path = saved(tmp_path / "x.pth", {"a": torch.ones(1000)})
    before = path.read_bytes()
    Source(path)["a"].mul_(2)
    assert path.read_bytes() == before


def test_a_folder_is_opened_file_by_file(tmp_path):
    (tmp_path / "sub").mkdir()
    saved(tmp_path / "a.ckpt", {"x": torch.ones(1), "y": torch.ones(1)})
    saved(tmp_path / "sub" / "b.pt", {"x": torch.zeros(1)})
    (tmp_path / "c.bin").write_bytes(b"broken")
    (tmp_path / "notes.txt").touch()
    source = Source(tmp_path)
    assert source.files == ("a.ckpt", "c.bin", "sub/b.pt")
    assert float(source["sub/b.pt/x"]) == 0
    assert float(source.under("a.ckpt/")["x"]) == 1
    assert source.under("a.ckpt/").unread() == ["y"]
    with pytest.raises(CheckpointError, match=r"c\.bin: is neither"):
        list(source)


def test_a_folder_without_weights_or_no_file_at_all_is_said(tmp_path):
    with pytest.raises(CheckpointError, match="no files of weights in this folder"):
        Source(tmp_path)
    with pytest.raises(CheckpointError, match="no such file or folder"):
        Source(tmp_path / "none")


@pytest.mark.parametrize("wrap", ["zip", "legacy", 0, 1, 2, 3, 4, 5])
def test_a_pickle_that_wants_code_is_refused_and_runs_nothing(tmp_path, wrap):
    path, made = tmp_path / "evil.ckpt", tmp_path / "made"
    value = {"weight": torch.ones(2), "evil": Evil(made)}
    if isinstance(wrap, int):
        path.write_bytes(pickle.dumps(value["evil"], protocol=wrap))
    else:
        saved(path, value, _use_new_zipfile_serialization=wrap == "zip")
    before = path.read_bytes()
    with pytest.raises(
        CheckpointError, match=r"is refused: this pickle wants to run (io|_io|builtins|__builtin__)\.open"
    ):
        list(Source(path))
    assert not made.exists()
    assert path.read_bytes() == before


def test_a_pickled_module_names_its_class(tmp_path):
    with pytest.raises(CheckpointError, match=r"wants to run torch\.nn\.modules\.linear\.Linear"):
        list(Source(saved(tmp_path / "x.pt", nn.Linear(2, 2))))


def test_a_torchscript_program_is_refused(tmp_path):
    torch.jit.save(torch.jit.trace(nn.Linear(2, 2), torch.ones(1, 2)), tmp_path / "x.pt")
    with pytest.raises(CheckpointError, match="is a TorchScript program"):
        list(Source(tmp_path / "x.pt"))


def test_the_old_format_is_read_whole_and_says_so(tmp_path, caplog):
    path = saved(tmp_path / "x.pt", {"a": torch.ones(3)}, _use_new_zipfile_serialization=False)
    source = Source(path)
    with caplog.at_level(logging.WARNING):
        assert torch.equal(source["a"], torch.ones(3))
    assert source.remarks == ["it is in the format of torch before 1.6: all of it was read into memory"]
    assert caplog.messages == [f"{path}: {source.remarks[0]}"]


@pytest.mark.parametrize("legacy", [False, True])
def test_a_cut_torch_file_is_called_truncated(tmp_path, legacy):
    path = saved(tmp_path / "x.pt", {"a": torch.ones(3000)}, _use_new_zipfile_serialization=not legacy)
    whole = path.read_bytes()
    for place in [5, *random.Random(0).sample(range(40, len(whole)), 20)]:
        path.write_bytes(whole[:place])
        with pytest.raises(CheckpointError, match=r"truncated or corrupted|no pickle of tensors"):
            Source(path)["a"]


@pytest.mark.parametrize("content", [b"", b"family: x\n", b"<html></html>"])
def test_anything_else_is_refused(tmp_path, content):
    (tmp_path / "x.pt").write_bytes(content)
    with pytest.raises(CheckpointError, match="is neither a safetensors nor a torch file"):
        list(Source(tmp_path / "x.pt"))


def test_two_values_with_one_key_are_refused(tmp_path):
    path = saved(tmp_path / "x.pt", {"a.b": torch.ones(1), "a": {"b": torch.zeros(1)}})
    with pytest.raises(CheckpointError, match=r"two values have the key 'a\.b'"):
        list(Source(path))


def test_a_value_that_contains_itself_is_refused(tmp_path):
    loop = {}
    loop["again"] = loop
    with pytest.raises(CheckpointError, match="nested too deeply, or contains itself"):
        list(Source(saved(tmp_path / "x.pt", loop)))
