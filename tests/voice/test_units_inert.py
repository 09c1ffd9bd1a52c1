"""Pickles of fairseq's kind: tensors come out, and nothing that is named in them is imported or called."""

import argparse
import collections
import enum
import os
import pathlib
import sys
import types

import numpy as np
import pytest
import torch

from zoo.voice.base import VoiceError
from zoo.voice.units import inert
from zoo.voice.units.inert import tensors

ABSENT = "a_module_that_is_not_installed"


@pytest.fixture
def theirs(monkeypatch):
    """Objects of a module that is gone when the file is read."""
    module = types.ModuleType(ABSENT)

    class Settings:
        def __init__(self):
            self.flags, self.cache = {1: 2}, collections.defaultdict(dict)

    class Kind(enum.Enum):
        STATIC = "static"

    class Rows(list):
        pass

    class Table(dict):
        pass

    for made in (Settings, Kind, Rows, Table):
        made.__module__, made.__qualname__ = ABSENT, made.__name__
        setattr(module, made.__name__, made)
    monkeypatch.setitem(sys.modules, ABSENT, module)
    return {
        "args": argparse.Namespace(arch="hubert", more=Settings()),
        "cfg": {"model": Settings(), "kind": Kind.STATIC, "rows": Rows([1]), "table": Table(a=Settings())},
        "best": np.float64(0.5),
        "noise": np.ones(3),
        "history": collections.deque([collections.defaultdict(list, a=[1])]),
        "path": pathlib.PurePosixPath("/x"),
        "seen": {1, 2},
        "dtype": torch.float16,
    }


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("protocol", [2, 4])
def test_settings_of_absent_programs_are_passed_over(theirs, tmp_path, monkeypatch, zipped, protocol):
    path = tmp_path / "model.pt"
    weight = torch.nn.Parameter(torch.randn(3, 4))
    state = collections.OrderedDict(weight=weight, half=weight.detach()[1:, ::2])
    content = {**theirs, "model": state, "optimizer": [{"moment": torch.arange(2)}]}
    torch.save(content, path, pickle_protocol=protocol, _use_new_zipfile_serialization=zipped)
    monkeypatch.delitem(sys.modules, ABSENT)
    found = tensors(path)
    assert ABSENT not in sys.modules
    assert list(found) == ["model.weight", "model.half", "optimizer.0.moment"]
    assert torch.equal(found["model.weight"], weight)
    assert torch.equal(found["model.half"], weight[1:, ::2])


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("call", [os.system, eval, os.mkdir])
def test_code_in_a_pickle_is_never_run(tmp_path, zipped, call):
    made = tmp_path / "made"
    line = {os.system: f"mkdir {made}", eval: f"__import__('os').mkdir({str(made)!r})", os.mkdir: str(made)}[call]

    class Evil:
        def __reduce__(self):
            return call, (line,)

    path = tmp_path / "model.pt"
    torch.save({"model": {"weight": torch.ones(2)}, "x": Evil()}, path, _use_new_zipfile_serialization=zipped)
    assert list(tensors(path)) == ["model.weight"]
    assert not made.exists()
    torch.load(path, weights_only=False)
    assert made.exists()  # so it would have been


def test_a_pickle_cannot_change_what_tensors_are_made_by(tmp_path):
    path = tmp_path / "model.pt"
    # BUILD with slots gives the function that stands for this name another default
    path.write_bytes(b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\nN}X\x0c\x00\x00\x00__defaults__K\x01\x85s\x86b.")
    with pytest.raises(VoiceError, match="truncated or corrupted"):
        tensors(path)
    assert inert._tensor.__defaults__ is None
    assert torch._utils._rebuild_tensor_v2.__defaults__ == (None,)


def test_broken_files_are_one_error(tmp_path):
    path = tmp_path / "model.pt"
    held: list[object] = []
    held.append(held)
    torch.save({"model": {"weight": torch.ones(200)}}, path)
    whole = path.read_bytes()
    torch.save({"model": held}, tmp_path / "self.pt")
    itself = (tmp_path / "self.pt").read_bytes()
    for content in (whole[:600], whole[:-40], b"PK\x03\x04nothing", b"\x80\x02}q", itself):
        path.write_bytes(content)
        with pytest.raises(VoiceError, match=r"model\.pt: is truncated or corrupted"):
            tensors(path)
    for content in (b"", b"not weights"):
        path.write_bytes(content)
        with pytest.raises(VoiceError, match=r"is neither a safetensors nor a torch file"):
            tensors(path)
    with pytest.raises(VoiceError, match=r"cannot be read: no such file"):
        tensors(tmp_path / "none.pt")


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
def test_programs_are_refused(tmp_path):
    path = tmp_path / "model.pt"
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), path)
    with pytest.raises(VoiceError, match=r"is a TorchScript program; save its state_dict"):
        tensors(path)
