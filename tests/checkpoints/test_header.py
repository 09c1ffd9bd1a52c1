"""What is wrong with a file is said in one message, before anything is built."""

import json
import random
import struct
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file

import zoo
from zoo import checkpoint
from zoo.checkpoint import CheckpointError
from zoo.header import NUMBERS, any_header, seal


def rewritten(path, change):
    """The file at `path` with a changed header."""
    raw = path.read_bytes()
    length = struct.unpack("<Q", raw[:8])[0]
    tree = json.loads(raw[8 : 8 + length])
    change(tree)
    text = json.dumps(tree).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + raw[8 + length :])
    return path


def test_the_header_tells_everything_about_a_model(saved, model):
    metadata = checkpoint.read_header(saved).metadata
    assert metadata["zoo.format"] == "1"
    assert metadata["zoo.version"] == zoo.__version__
    assert metadata["zoo.step"] == "7"
    assert metadata["zoo.weights"] == "ema"
    assert metadata["zoo.note.trained_on"] == "nothing"
    assert len(metadata["zoo.hash"]) == 64
    assert checkpoint.read_config(saved) == model.config


def test_reading_a_config_imports_no_torch(saved):
    code = (
        "import sys; from zoo import checkpoint; path = sys.argv[1];"
        "checkpoint.verify(path); print(checkpoint.read_config(path)['denoiser']['name'], 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, saved], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split() == ["unet", "False"]


def test_other_libraries_read_our_files(saved, model):
    assert load_file(saved).keys() == model.state_dict().keys()


def test_a_file_cut_anywhere_is_refused_before_it_is_built(saved):
    whole = saved.read_bytes()
    header = 8 + struct.unpack("<Q", whole[:8])[0]
    places = {0, 1, 7, 8, 9, 100, header - 1, header, header + 1, len(whole) - 1}
    places |= set(random.Random(0).sample(range(len(whole)), 40))
    for place in sorted(places):
        saved.write_bytes(whole[:place])
        with pytest.raises(CheckpointError, match=r"truncated|is empty|not a safetensors file") as error:
            zoo.load(saved) if place > header else checkpoint.read_config(saved)
        assert str(saved) in str(error.value)


def test_bytes_after_the_end_are_refused(saved):
    saved.write_bytes(saved.read_bytes() + b"\0")
    with pytest.raises(CheckpointError, match="1 bytes follow the last tensor"):
        zoo.load(saved)


def test_any_flipped_bit_is_found(tmp_path):
    path = tmp_path / "model.safetensors"
    zoo.save(zoo.build("tiny-gaussian"), path)
    checkpoint.verify(path)
    whole = path.read_bytes()
    rng = random.Random(0)
    for place in range(len(whole)):
        broken = bytearray(whole)
        broken[place] ^= 1 << rng.randrange(8)
        path.write_bytes(broken)
        with pytest.raises(CheckpointError):
            checkpoint.verify(path)


def test_a_newer_format_names_both_versions(saved):
    def newer(tree):
        tree["__metadata__"] |= {"zoo.format": "2", "zoo.version": "9.1"}

    with pytest.raises(
        CheckpointError, match=r"in format 2, written by version 9\.1; .* up to 1: pip install --upgrade"
    ):
        zoo.load(rewritten(saved, newer))


def test_an_edited_config_is_not_believed(saved):
    def edit(tree):
        tree["__metadata__"]["zoo.config"] = tree["__metadata__"]["zoo.config"].replace("eps", "v")

    with pytest.raises(CheckpointError, match="the header is not what was written"):
        checkpoint.read_config(rewritten(saved, edit))


def test_tensors_of_others_are_no_model(tmp_path, model):
    save_file(model.denoiser.state_dict(), tmp_path / "x.safetensors")
    with pytest.raises(CheckpointError, match=r"not a model that the zoo saved.*zoo\.load\(path, format"):
        checkpoint.read_config(tmp_path / "x.safetensors")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"PK\x03\x04" + b"\0" * 60, "torch.save"),
        (b"\x80\x02}q\x00." * 9, "a pickle"),
        (b"<!DOCTYPE html><html></html>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (b"no such thing" * 5, "is not a safetensors file$"),
        (struct.pack("<Q", 1 << 40) + b"{}", "is not a safetensors file"),
        (struct.pack("<Q", 4) + b"{\xff}}", "is corrupted"),
        (struct.pack("<Q", 24) + b'{"a": 1, "a": 2}        ', "is corrupted"),
        (struct.pack("<Q", 60000) + b'{"a":' * 10000 + b"1" + b"}" * 9999, "is corrupted"),
    ],
)
def test_what_is_no_safetensors_file_is_called_what_it_is(tmp_path, content, said):
    path = tmp_path / "x.safetensors"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=said):
        any_header(path)


@pytest.mark.parametrize(
    "entry",
    [
        {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]},
        {"dtype": "F32", "shape": [2], "data_offsets": [4, 12]},
        {"dtype": "F32", "shape": [-2], "data_offsets": [0, -8]},
        {"dtype": "X9", "shape": [2], "data_offsets": [0, 8]},
        {"dtype": "F32", "shape": [2]},
        {"dtype": "F32", "shape": "22", "data_offsets": [0, 8]},
        {"dtype": "F32", "shape": [2], "data_offsets": [0]},
        [],
        None,
    ],
)
def test_a_tensor_that_does_not_fit_its_place_is_refused(tmp_path, entry):
    text = json.dumps({"a": entry}).encode()
    path = tmp_path / "x.safetensors"
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"\0" * 8)
    with pytest.raises(CheckpointError, match="is corrupted"):
        any_header(path)


@pytest.mark.parametrize("config", ["[]", "{", None])
def test_a_header_without_a_config_is_refused(saved, config):
    def change(tree):
        metadata = tree["__metadata__"]
        metadata.pop("zoo.config") if config is None else metadata.update({"zoo.config": config})
        metadata["zoo.seal"] = seal(metadata)

    with pytest.raises(CheckpointError, match=r"is corrupted: zoo\.config"):
        zoo.load(rewritten(saved, change))


def test_a_missing_file_or_a_folder_is_no_header(tmp_path):
    for path in (tmp_path, tmp_path / "none.safetensors"):
        with pytest.raises(CheckpointError, match=r"cannot be read: .*directory"):
            checkpoint.read_config(path)


def test_numbers_take_the_bytes_that_torch_gives_them():
    assert {name: getattr(torch, name).itemsize for name, _ in NUMBERS.values()} == dict(NUMBERS.values())
