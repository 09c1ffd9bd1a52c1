"""``zoo evaluate``: a model beside data, from one command."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import zoo as library

Zoo = Callable[..., object]

FEW = ("-n", "12", "--steps", "2", "--features", "pixels side=4", "--device", "cpu")
REPORT = ["loss-by-noise.png", "nearest.png", "report.json", "report.md", "samples.png"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two classes of pictures, two dozen of each."""
    generator = np.random.default_rng(0)
    for name, level in (("dark", 40), ("light", 200)):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for index in range(24):
            pixels = generator.normal(level, 20, (8, 8, 3)).clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "pictures" / name / f"{index}.png")
    return tmp_path / "pictures"


def tiny(path: Path, /, **data: object) -> Path:
    """A file of an untrained model of 8 x 8 colour pictures, of two classes where its data has some."""
    tree: dict[str, object] = {
        "shape": [3, 8, 8],
        "denoiser": {
            "name": "unet",
            "base_channels": 8,
            "channel_mult": [1],
            "blocks_per_level": 1,
            "attention_resolutions": [],
            "resolution": 8,
            "norm_groups": 4,
            "classes": 2 if data.get("class_folders") else None,
        },
        "schedule": "cosine",
        "parameterization": "v",
        **({"data": data} if data else {}),
    }
    library.save(library.build(tree), path)
    return path


def test_a_folder_is_read_as_the_model_was_trained(zoo: Zoo, tmp_path: Path, folder: Path) -> None:
    model = tiny(tmp_path / "model.safetensors", name="images", path="gone", class_folders=True)
    done = zoo("evaluate", str(model), "--data", str(folder), "--out", "a/report", *FEW)
    assert done.code == 0, done.err
    assert sorted(path.name for path in (tmp_path / "a" / "report").iterdir()) == REPORT
    tree = json.loads((tmp_path / "a" / "report" / "report.json").read_text())
    assert "2 classes" in tree["data"]
    assert tree["sampling"]["steps"] == 2
    assert tree["features"] == {"name": "pixels", "side": 4}
    measures = [line.split("  ")[0] for line in done.out.splitlines()[2:6]]
    assert measures == ["FD-pixels", "FD-pixels, all beside all", "KD-pixels", "precision"]
    # 12 samples and 48 features
    assert "more about how few they are" in done.err


def test_data_is_the_models_own_or_changed_or_another(zoo: Zoo, tmp_path: Path, folder: Path) -> None:
    own = tiny(tmp_path / "own.safetensors", name="images", path=str(folder / "light"))
    none = tiny(tmp_path / "none.safetensors")
    for model, arguments, size in (
        (own, (), 24),
        (own, ("--data", f"path={folder}"), 48),
        (own, ("--data", "horizontal_flip=true"), 48),
        (none, ("--data", str(folder)), 48),
        (none, ("--data", f"images path={folder} horizontal_flip=true"), 96),
    ):
        done = zoo("evaluate", str(model), *arguments, "--out", "report", "--json", *FEW)
        assert done.code == 0, done.err
        assert json.loads(done.out)["data_size"] == size


@pytest.mark.slow
def test_two_processes_report_what_one_does(zoo: Zoo, tmp_path: Path, folder: Path) -> None:
    model = str(tiny(tmp_path / "model.safetensors", name="images", path=str(folder)))
    arguments = ("evaluate", model, "--json", *FEW, "-n", "60")
    one, two = (
        json.loads(zoo(*arguments, "--out", f"report-{count}", "--processes", count).out) for count in ("1", "2")
    )
    del one["seconds"], two["seconds"]
    assert one == two
    assert (tmp_path / "report-1" / "samples.png").read_bytes() == (tmp_path / "report-2" / "samples.png").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["ddpm-digits", "--random-weights", "--data", "nowhere"], "'nowhere' is neither a folder nor a data set"),
        (["tiny-unet", "--random-weights"], "does not say what it was trained on: add --data FOLDER"),
        (["tiny-unet", "--random-weights", "--data", "path=a"], "this model has no data set to change"),
        (["ddpm-digits"], "add --random-weights"),
        (["ddpm-digits", "--random-weights", "--features", "pixel"], "did you mean 'pixels'?"),
        (["ddpm-digits", "--random-weights", "--features", "timm model=resnet18"], "need trained weights"),
        (["ddpm-digits", "--random-weights", "--sampler", "dimm"], "did you mean 'ddim'?"),
        (["ddpm-digits", "--random-weights", "--guidance", "cgf"], "did you mean 'cfg'?"),
        (["ddpm-digits", "--random-weights", "--data", ""], "'' is neither a folder nor a data set"),
        (["ddpm-digits", "--random-weights", "--data", "~nobody-here/x"], "no user of that name"),
        (["ddpm-digits", "--random-weights", "--device", "cpu,abacus"], "device 'abacus' cannot be used"),
        (["ddpm-mnist", "--data", "path=gone"], "mnist: gone is not a folder"),
    ],
)
def test_bad_input_gives_one_message(zoo: Zoo, tmp_path: Path, arguments: list[str], message: str) -> None:
    device = () if "--device" in arguments else ("--device", "cpu")
    done = zoo("evaluate", *arguments, *device, "-n", "10", "--steps", "1", "--real", "20", "--out", "report")
    assert done.code == 2
    assert message in done.err
    assert "Traceback" not in done.err
    assert "sampling" not in done.err, "told before the work"
    assert not list(tmp_path.iterdir())


def test_a_launch_command_is_refused(zoo: Zoo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    done = zoo("evaluate", "ddpm-digits", "--random-weights", "--out", "report", *FEW)
    assert done.code == 2
    assert "leave out torchrun and add --processes" in done.err
    assert not list(tmp_path.iterdir())


def test_the_folder_of_the_report_is_looked_at_first(zoo: Zoo, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    done = zoo("evaluate", "ddpm-digits", "--random-weights", "--out", "taken/report")
    assert done.code == 2
    assert "nothing can be written into" in done.err
