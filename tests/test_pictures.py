"""Grids of images and plots, as files."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch.testing import assert_close

from zoo import plots
from zoo.core.errors import ShapeError
from zoo.images import false_colours, grid, save_png


def test_a_grid_has_every_image_in_its_place():
    images = torch.stack([torch.full((1, 4, 6), value) for value in (-1.0, 0.0, 1.0)])
    sheet = grid(images, 2, gap=1)
    assert sheet.size == (6 * 2 + 1, 4 * 2 + 1)
    assert [sheet.getpixel(at)[0] for at in ((0, 0), (7, 0), (0, 5), (6, 0), (7, 5))] == [0, 128, 255, 255, 255]


def test_values_beyond_are_cut_and_colours_kept():
    image = torch.tensor([-3.0, 5.0, 1.0]).view(1, 3, 1, 1)
    assert grid(image).getpixel((0, 0)) == (0, 255, 255)


def test_a_grid_is_about_square():
    assert grid(torch.zeros(7, 1, 2, 2), gap=0).size == (6, 6)


@pytest.mark.parametrize("shape", [(0, 1, 4, 4), (2, 2, 4, 4), (1, 4, 4)])
def test_what_is_no_grid(shape):
    with pytest.raises(ShapeError, match="images must be"):
        grid(torch.zeros(shape))


def test_a_png_replaces_the_old_one(tmp_path):
    path = tmp_path / "grid.png"
    path.write_bytes(b"old")
    save_png(grid(torch.zeros(1, 1, 4, 4)), path)
    assert Image.open(path).size == (4, 4)
    assert list(tmp_path.iterdir()) == [path]


def test_lines_and_their_legend(tmp_path):
    path = tmp_path / "plot.png"
    plots.lines(path, {"ddim": ([1, 2, 4], [3.0, 2.0, 1.0]), "pndm": ([1, 2], [2.0, 1.0])}, x_scale="log")
    several = Image.open(path).convert("RGB")
    plots.lines(path, {"ddim": ([1, 2, 4], [3.0, 2.0, 1.0])}, x_scale="log")
    assert several.size == Image.open(path).size == (910, 585)
    assert several.tobytes() != Image.open(path).convert("RGB").tobytes()


def test_a_loss_curve_of_one_line(tmp_path):
    plots.loss_curve(tmp_path / "loss.png", [10], [0.5])
    assert (tmp_path / "loss.png").stat().st_size > 1000


def test_a_loss_curve_of_one_point_shows_it(tmp_path):
    plots.loss_curve(tmp_path / "one.png", [6], [1.0])
    pixels = np.asarray(Image.open(tmp_path / "one.png").convert("RGB")).astype(int)
    height, width = pixels.shape[:2]
    middle = pixels[height // 3 : 2 * height // 3, width // 3 : 2 * width // 3]
    assert (middle.max(-1) - middle.min(-1) > 60).any()


@pytest.mark.parametrize(("channels", "shown"), [(2, 1), (4, 3), (8, 3)])
def test_latents_are_shown_in_false_colours(channels, shown):
    latents = 5 + 40 * torch.randn(3, channels, 16, 16)
    colours = false_colours(latents)
    assert colours.shape == (3, shown, 16, 16)
    # by construction, up to rounding
    assert_close(colours.mean((0, 2, 3)), torch.zeros(shown), rtol=0, atol=1e-5)
    assert_close(3 * colours.std((0, 2, 3), correction=0), torch.ones(shown), rtol=0, atol=1e-5)
    assert false_colours(torch.zeros(1, 4, 2, 2)).isfinite().all()
