"""Choosing an importer, and what an importer may do with tensors."""

import shutil

import pytest
import torch
from safetensors.torch import save_file

import zoo
from registry import UnknownName, importers
from zoo.checkpoint import CheckpointError
from zoo.importers.base import Importer


@pytest.fixture
def register(monkeypatch):
    """Importers that are gone after the test."""
    monkeypatch.setattr(importers, "_entries", dict(importers._entries))
    monkeypatch.setattr(importers, "_factories", dict(importers._factories))
    return importers.register


@pytest.fixture
def foreign(tmp_path):
    """A file in a format of nobody, with a stored table, a fused weight and an optimizer's leftovers."""
    net = zoo.build("tiny-unet").denoiser.state_dict()
    tensors = {f"net.{name}": tensor for name, tensor in net.items()}
    name = "net.mid.attn_1"
    tensors[f"{name}.qkv"] = torch.cat([tensors.pop(f"{name}.{part}.weight") for part in "qkv"])
    tensors["alphas_cumprod"] = torch.linspace(0.99, 0.01, 10)
    tensors["posterior_variance"] = torch.ones(10)
    save_file(tensors, tmp_path / "theirs.safetensors")
    return tmp_path / "theirs.safetensors", net


class Theirs(Importer):
    dropped = ("posterior_*",)

    def matches(self, source):
        return "net.conv_in.weight" in source

    def config(self, weights, fields):
        tree = {**zoo.build("tiny-unet").config, "schedule": {"name": "table", "steps": 10}}
        return tree | {"shape": [3, *fields.need("size", tuple[int, int], (16, 16))]}

    def tensors(self, weights):
        yield "schedule.alphas_cumprod", weights["alphas_cumprod"]
        for key in weights.under("net."):
            tensor = weights[f"net.{key}"]
            if key == "mid.attn_1.qkv":
                for part, rows in zip("qkv", tensor.chunk(3), strict=True):
                    yield f"denoiser.mid.attn_1.{part}.weight", rows
            else:
                yield f"denoiser.{key}", tensor


def test_an_importer_splits_and_renames_and_brings_its_table(foreign, register):
    path, net = foreign
    register("theirs")(Theirs)
    reports = []
    model = zoo.load(path, config={"size": [16, 8]}, report=reports.append)
    assert model.shape == (3, 16, 8)
    assert all(torch.equal(tensor, net[name]) for name, tensor in model.denoiser.state_dict().items())
    # stored in float32 there
    torch.testing.assert_close(model.schedule.alpha_bar, torch.linspace(0.99, 0.01, 10).double(), rtol=0, atol=0)
    assert reports[0].dropped == ("posterior_variance",)


def test_keys_that_are_neither_read_nor_dropped_are_all_named(foreign, register):
    class Careless(Theirs):
        dropped = ()

        def tensors(self, weights):
            yield from ((f"denoiser.{key}", weights[f"net.{key}"]) for key in ("conv_in.weight", "conv_in.bias"))

    register("careless")(Careless)
    with pytest.raises(CheckpointError, match=r"'careless' does not know these tensors: .*alphas_cumprod.* more;"):
        zoo.load(foreign[0], config={"size": [16, 8]})


def test_several_importers_that_match_are_named(foreign, register):
    register("one")(Theirs)
    register("two")(type("Two", (Theirs,), {"__doc__": "Another."}))
    with pytest.raises(CheckpointError, match="these keys fit several importers; pass format= one of one, two"):
        zoo.load(foreign[0])


def test_when_nobody_knows_the_keys_all_importers_are_named(foreign):
    with pytest.raises(CheckpointError, match=r"no importer knows these weights; the file holds .*; importers: .*ddim"):
        zoo.load(foreign[0])
    with pytest.raises(CheckpointError, match=r"the folder holds theirs\.safetensors; importers: "):
        zoo.load(foreign[0].parent)


def test_a_folder_with_a_model_of_the_zoo_leads_to_it(tmp_path):
    zoo.save(zoo.build("tiny-unet"), tmp_path / "model.safetensors")
    (tmp_path / "averages").mkdir()
    shutil.copy(tmp_path / "model.safetensors", tmp_path / "averages" / "step-000002-0.safetensors")
    with pytest.raises(CheckpointError, match=r"is a folder; .*: give .*/model\.safetensors$"):
        zoo.load(tmp_path)


def test_a_wrong_format_says_what_the_file_holds(foreign):
    with pytest.raises(CheckpointError, match=r"does not look like 'ddim' weights; the file holds .* more"):
        zoo.load(foreign[0], format="ddim")
    with pytest.raises(UnknownName, match="did you mean 'ddim'"):
        zoo.load(foreign[0], format="dim")


def test_a_broken_plug_in_keeps_nobody_from_loading(foreign, register):
    importers.lazy("broken", "no.such.module:Thing")
    register("theirs")(Theirs)
    zoo.load(foreign[0], config={"size": [16, 8]})


def test_our_own_files_need_no_config(tmp_path):
    path = tmp_path / "m.safetensors"
    zoo.save(zoo.build("tiny-unet"), path, weights="ema")
    with pytest.raises(CheckpointError, match="holds its config: leave out config="):
        zoo.load(path, config={"a": 1})
    (tmp_path / "m.yaml").write_text("denoiser: {name: gaussian}")
    assert zoo.load(path, weights="ema").config["denoiser"]["name"] == "unet"
    with pytest.raises(CheckpointError, match="holds the ema weights only, and raw was asked for"):
        zoo.load(path, weights="raw")


def test_a_model_whose_parts_are_not_installed_says_so(tmp_path, monkeypatch):
    path = tmp_path / "m.safetensors"
    model = zoo.build("tiny-unet")
    model.config = {**model.config, "denoiser": {"name": "unett"}}
    zoo.save(model, path)
    with pytest.raises(CheckpointError, match=r"(?s)the model in there cannot be built here.*unknown denoiser 'unett'"):
        zoo.load(path)


def test_the_name_of_a_config_is_no_path():
    with pytest.raises(CheckpointError, match=r"zoo\.build\('tiny-unet', pretrained=True\)"):
        zoo.load("tiny-unet")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: !!python/object/apply:os.system ['true']", "is no config of plain values"),
        ("a: [", "is no config of plain values"),
        ("- 1", "is no config: expected field names"),
        ("a: &a [1]\nb: *a", "data.image_size cannot be read"),
    ],
)
def test_a_foreign_config_is_plain_values(foreign, tmp_path, text, said, register):
    class Asks(Theirs):
        def config(self, weights, fields):
            return {"a": fields.need("data.image_size", int, 32)}

    register("asks")(Asks)
    (tmp_path / "c.yml").write_text(text)
    with pytest.raises(CheckpointError, match=said):
        zoo.load(foreign[0], config=tmp_path / "c.yml")
