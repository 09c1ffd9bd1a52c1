"""The sheet of samples beside their neighbours."""

import numpy as np
import torch

from zoo.evaluation.distances import Seen
from zoo.evaluation.neighbours import sheet


def flat(*levels):
    """Pictures of 2 x 2 pixels of one grey each, from levels in [0, 255]."""
    return (torch.tensor(levels, dtype=torch.float32) / 127.5 - 1).reshape(-1, 1, 1, 1).expand(-1, 1, 2, 2)


def column(*places):
    return torch.tensor(places, dtype=torch.float64)[:, None]


def cells(picture, rows):
    """The grey of each cell: 9 columns of 2 pixels with gaps of 2."""
    pixels = np.asarray(picture.convert("L"))
    return [[int(pixels[4 * row, 4 * place]) for place in range(9)] for row in range(rows)]


def test_rows_have_the_sample_its_neighbours_in_features_and_those_in_pixels():
    data, samples = flat(10, 20, 30, 40), flat(100, 110)
    seen = Seen(column(0.1, 3.4), column(9, 0))
    found = cells(sheet(samples, seen, data, Seen(column(0, 1, 2, 3), column(0, 1, 2, 3))), 2)
    assert found[0] == [100, 255, 10, 20, 30, 255, 40, 30, 20]
    assert found[1] == [110, 255, 40, 30, 20, 255, 10, 20, 30]


def test_what_is_near_for_its_surroundings_comes_first():
    data = flat(10, 20, 30, 40)
    # the data is 0.1 apart at the left and 10 apart at the right; 0.05 is nothing there, and much here
    places = column(0, 0.1, 20, 30)
    samples = Seen(column(0.05, 21, 200), column(0, 0, 0))
    found = cells(sheet(flat(100, 110, 120), samples, data, Seen(places, places)), 3)
    assert [row[0] for row in found] == [110, 100, 120]


def test_a_copy_of_what_is_there_twice_is_suspicious():
    data, places = flat(10, 20, 30, 40), column(0, 0, 20, 30)
    found = cells(sheet(flat(100, 110), Seen(column(1, 0), column(1, 0)), data, Seen(places, places), rows=1), 1)
    assert found[0][0] == 110
