"""Latents on the disk."""

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import zoo
from zoo.data.base import DataError
from zoo.data.latents import Latents
from zoo.training import train
from zoo.training.feed import Order, batches

SHAPE = (4, 4, 6)
ROWS = torch.randn(5, *SHAPE, generator=torch.Generator().manual_seed(0))


def latents(path, shape=SHAPE, **options):
    return Latents(path=str(path), shape=shape, **options)


def one_a_file(folder, rows=ROWS, lead=True):
    folder.mkdir()
    for number, row in enumerate(rows):
        np.save(folder / f"{number}.npy", (row[None] if lead else row).numpy())
    return folder


def as_one(folder):
    np.save(folder, ROWS.numpy())
    return folder


def as_safetensors(folder):
    folder.mkdir()
    save_file({"latents": ROWS[:3].clone(), "labels": torch.tensor([0, 1, 2])}, folder / "a.safetensors")
    save_file({"latents": ROWS[3:].clone(), "labels": torch.tensor([3, 4])}, folder / "b.safetensors")
    return folder


LAYOUTS = {
    "one a file": lambda at: one_a_file(at / "features"),
    "one a file, three axes": lambda at: one_a_file(at / "features", lead=False),
    "all in one": lambda at: as_one(at / "features.npy"),
    "safetensors": lambda at: as_safetensors(at / "features"),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_hold_the_same(tmp_path, layout):
    data = latents(LAYOUTS[layout](tmp_path))
    assert torch.equal(torch.stack([data[i]["x_0"] for i in range(len(data))]), ROWS)
    if layout == "safetensors":
        assert [data[i]["labels"] for i in range(5)] == list(range(5))
        assert data.describe() == f"5 latents in 2 files of {tmp_path / 'features'}, 4x4x6, 5 classes"
    else:
        assert data.classes is None
        assert data[0]["labels"] == -1


def test_numbers_are_in_natural_order(tmp_path):
    rows = torch.arange(12.0)[:, None, None, None].expand(-1, *SHAPE)
    data = latents(one_a_file(tmp_path / "features", rows))
    assert [float(data[i]["x_0"].mean()) for i in range(12)] == list(range(12))


def test_labels_beside(tmp_path):
    folder = one_a_file(tmp_path / "features")
    (tmp_path / "labels").mkdir()
    for number in range(5):
        np.save(tmp_path / "labels" / f"{number}.npy", np.array([number * 2]))
    data = latents(folder, labels=str(tmp_path / "labels"))
    assert [data[i]["labels"] for i in range(5)] == [0, 2, 4, 6, 8]
    assert data.classes == 9
    whole = as_one(tmp_path / "all.npy")
    np.save(tmp_path / "y.npy", np.arange(5))
    assert [latents(whole, labels=str(tmp_path / "y.npy"), classes=7)[i]["labels"] for i in range(5)] == list(range(5))


def test_scale_and_shift(tmp_path):
    data = latents(as_one(tmp_path / "a.npy"), scale=0.18215, shift=0.5)
    assert torch.allclose(data[2]["x_0"], 0.18215 * (ROWS[2] - 0.5))


def test_of_moments_the_mean_is_taken(tmp_path):
    moments = torch.cat([ROWS, torch.full_like(ROWS, 9.0)], dim=1)
    assert torch.equal(latents(one_a_file(tmp_path / "features", moments))[3]["x_0"], ROWS[3])


def test_half_precision_comes_as_float32(tmp_path):
    np.save(tmp_path / "a.npy", ROWS.numpy().astype(np.float16))
    assert latents(tmp_path / "a.npy")[0]["x_0"].dtype == torch.float32


@pytest.mark.parametrize("kind", [">f4", "f8"])
def test_numbers_of_other_machines_are_the_same(tmp_path, kind):
    np.save(tmp_path / "a.npy", ROWS.numpy().astype(kind))
    assert torch.equal(latents(tmp_path / "a.npy")[1]["x_0"], ROWS[1])


def test_files_that_are_not_read_are_told(tmp_path):
    folder = one_a_file(tmp_path / "features")
    torch.save(ROWS[0], folder / "5.pt")
    assert "; 1 .npz or .pt or .pth files are not read" in latents(folder).describe()
    (tmp_path / "other").mkdir()
    torch.save(ROWS, tmp_path / "other" / "all.pt")
    with pytest.raises(DataError, match=r"has no files .*; save what all\.pt holds as one of these"):
        latents(tmp_path / "other")


def test_what_holds_no_latents_is_refused(tmp_path):
    np.save(tmp_path / "empty.npy", np.zeros((0, *SHAPE), np.float32))
    with pytest.raises(DataError, match=r"is empty, it holds \[0, 4, 4, 6\]"):
        latents(tmp_path / "empty.npy")
    np.save(tmp_path / "complex.npy", ROWS.numpy().astype(complex))
    with pytest.raises(DataError, match="holds complex128, which are no real numbers"):
        latents(tmp_path / "complex.npy")
    save_file({"latents": ROWS.clone(), "labels": torch.zeros(5, dtype=torch.bfloat16)}, tmp_path / "a.safetensors")
    with pytest.raises(DataError, match=r"has 5 labels of type torch\.bfloat16 for 5 latents"):
        latents(tmp_path / "a.safetensors")


def test_errors_say_what_is_wrong(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"has no files \.npy or \.safetensors"):
        latents(tmp_path / "empty")
    with pytest.raises(DataError, match="is neither a folder nor a file"):
        latents(tmp_path / "nothing")
    whole = as_one(tmp_path / "all.npy")
    with pytest.raises(DataError, match=r"holds \[5, 4, 4, 6\], and the model's shape is \[4, 8, 8\]"):
        latents(whole, shape=(4, 8, 8))
    np.save(tmp_path / "y.npy", np.arange(4))
    with pytest.raises(DataError, match="has 4 labels of type int64 for 5 latents"):
        latents(whole, labels=str(tmp_path / "y.npy"))
    np.save(tmp_path / "y.npy", np.arange(5))
    with pytest.raises(DataError, match="the labels reach from 0 to 4; 3 classes"):
        latents(whole, labels=str(tmp_path / "y.npy"), classes=3)
    np.save(tmp_path / "object.npy", np.array({"a": 1}, dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match="cannot be read as an array"):
        latents(tmp_path / "object.npy")
    save_file({"moments": ROWS.clone()}, tmp_path / "m.safetensors")
    with pytest.raises(DataError, match="has no tensor 'latents'; it has moments"):
        latents(tmp_path / "m.safetensors")
    (tmp_path / "bad.safetensors").write_bytes(b"nothing")
    with pytest.raises(DataError, match="cannot be read"):
        latents(tmp_path / "bad.safetensors")
    rows = ROWS.clone()
    rows[3, 0, 0, 0] = torch.nan
    np.save(tmp_path / "nan.npy", rows.numpy())
    with pytest.raises(DataError, match="number 3 is not finite"):
        latents(tmp_path / "nan.npy")[3]


def test_a_latent_model_trains_and_shows_false_colours(tmp_path):
    rows = torch.randn(8, 4, 8, 8)
    np.save(tmp_path / "all.npy", rows.numpy())
    config = {
        "inherits": ["tiny-dit"],
        "shape": [4, 8, 8],
        "denoiser": {"in_channels": 4, "resolution": 8, "classes": None},
        "sampling": {"steps": 1, "guidance": None},
        "data": {"name": "latents", "path": str(tmp_path / "all.npy")},
        "training": {"steps": 2, "batch_size": 2},
    }
    model = train(config, out=tmp_path / "run", device="cpu")
    assert zoo.load(model).config["shape"] == [4, 8, 8]
    assert (model.parent / "samples-000002.png").is_file()


@pytest.mark.parametrize("workers", [0, 2])
def test_an_error_is_one_message_whichever_process_met_it(tmp_path, workers):
    rows = ROWS.clone()
    rows[3, 0, 0, 0] = float("nan")
    np.save(tmp_path / "a.npy", rows.numpy())
    feed = batches(latents(tmp_path), Order([range(5)], 5, seed=0), workers)
    with pytest.raises(DataError) as raised:
        next(feed)
    assert str(raised.value) == f"latents: {tmp_path / 'a.npy'}: number 3 is not finite; leave it out of the folder"
