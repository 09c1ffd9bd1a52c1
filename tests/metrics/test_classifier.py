"""The classifier whose features distances are taken in."""

import pytest
import torch

from registry import features
from zoo.core.errors import ArgumentValueError
from zoo.metrics.classifier import Classifier
from zoo.metrics.frechet import Moments, frechet_distance

SMALL = {"epochs": 10, "base_channels": 6, "dimensions": 6}


def bars(n, side=12):
    """Pictures of a bright row (class 0) or a bright column (class 1), with noise."""
    generator = torch.Generator().manual_seed(0)
    images = 0.2 * torch.randn(n, 1, side, side, generator=generator) - 0.8
    labels = torch.arange(n) % 2
    places = torch.randint(side, (n,), generator=generator).tolist()
    for image, label, place in zip(images, labels.tolist(), places, strict=True):
        (image[:, place] if label == 0 else image[:, :, place]).fill_(1.0)
    return images, labels


@pytest.fixture(scope="module")
def trained():
    images, labels = bars(600)
    return Classifier(**SMALL, images=images, labels=labels)


def test_learns_what_it_was_shown(trained):
    facts = trained.facts()
    assert facts["held_out_accuracy"] > 0.9
    assert (facts["trained_on"], facts["held_out"], facts["dimensions"]) == (480, 120, 6)


def test_features_have_one_row_an_image(trained):
    images, _ = bars(300)
    rows = trained(images)
    assert rows.shape == (300, 6)
    # the matrix products of different batch sizes add up in another order
    torch.testing.assert_close(trained(images[7:9]), rows[7:9], rtol=1e-4, atol=1e-5)


def test_the_same_twice(trained):
    images, labels = bars(600)
    before = torch.get_rng_state()
    again = Classifier(**SMALL, images=images, labels=labels)
    assert torch.equal(again(images[:5]), trained(images[:5]))
    assert torch.equal(torch.get_rng_state(), before)


def test_one_class_is_farther_from_both_than_both(trained):
    images, labels = bars(600)
    half, rest = Moments.of(trained(images[:300])), trained(images[300:])
    mixed = frechet_distance(Moments.of(rest), half)
    rows_only = frechet_distance(Moments.of(rest[labels[300:] == 0]), half)
    assert rows_only > 10 * mixed


def test_built_by_name():
    images, labels = bars(40, side=8)
    built = features.build({"name": "classifier", **SMALL}, images=images, labels=labels)
    assert built(images).shape == (40, 6)


def test_needs_labels_and_examples():
    images, labels = bars(20)
    with pytest.raises(ArgumentValueError, match="no class"):
        Classifier(**SMALL, images=images, labels=labels - 1)
    with pytest.raises(ArgumentValueError, match="too few"):
        Classifier(**SMALL, images=images[:5], labels=labels[:5])
