"""The loss by noise level of a model whose loss is known."""

import pytest
import torch

import zoo
from zoo.evaluation import EvaluationError, result
from zoo.evaluation.noise_levels import intervals, loss_by_level


def test_the_best_model_has_the_loss_of_the_formula(parts):
    model = parts.wrapped(parts.Gaussian())
    data = parts.pictures(400, seed=0)
    levels = result(loss_by_level(model, data.x_0, None, levels=8))
    assert len(levels) == 8
    assert {level.pictures for level in levels} == {400}
    for level in levels:
        # E |eps - E[eps | x_t]|^2 = alpha^2 v / (alpha^2 v + sigma^2)
        snr = torch.tensor(level.log_snr).exp().item() * parts.variance
        # 400 pictures of 16 pixels; and within a level, a tenth of log SNR on either side of the mean bends the curve
        assert level.loss == pytest.approx(snr / (snr + 1), abs=4 * level.error + 0.02)
    assert levels[0].loss < 0.01
    assert levels[-1].loss > 0.9


@pytest.mark.parametrize("schedule", ["linear", "cosine", "edm", "flow", {"name": "cosine", "zero_terminal_snr": True}])
def test_intervals_cover_what_was_trained_and_nothing_else(schedule):
    made = zoo.Diffusion.wrap(lambda x, t: x, schedule=schedule).schedule
    places = torch.linspace(0, 0.999, 50, dtype=torch.float64)
    several = intervals(made, 12, places)
    found = torch.stack([made(t).log_snr for t in several])
    assert found.isfinite().all()
    assert 8 <= len(several) <= 12
    low, high = float(found.min()), float(found.max())
    # intervals follow each other, and each is at most a twelfth wide
    assert (found[1:].min(1).values >= found[:-1].max(1).values - 1e-9).all()
    assert (found.max(1).values - found.min(1).values <= (high - low) / 12 + 0.2).all()
    times = torch.stack(several)
    assert times.min() >= made.t_min
    assert times.max() <= made.t_max
    if made.steps is not None:
        assert torch.equal(times, times.round())


def test_the_same_pictures_give_the_same_numbers(parts):
    model, data = parts.wrapped(parts.Gaussian()), parts.pictures(70, seed=1)
    first = result(loss_by_level(model, data.x_0, None, levels=3))
    assert result(loss_by_level(model, data.x_0, None, levels=3)) == first
    assert result(loss_by_level(model, data.x_0, None, levels=3, seed=1)) != first


def test_labels_are_told_and_dropout_is_off():
    class Network(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.dropout = torch.nn.Dropout(0.5)
            self.asked = []

        def forward(self, x, t, labels):
            self.asked.append(labels)
            return self.dropout(x)

    network = Network()
    model = zoo.Diffusion.wrap(network, shape=(1, 4, 4)).train()
    images, labels = torch.randn(70, 1, 4, 4), torch.arange(70)
    first = result(loss_by_level(model, images, labels, levels=2))
    assert torch.equal(torch.cat(network.asked[:2]), labels)
    assert result(loss_by_level(model, images, labels, levels=2)) == first
    assert model.training
    assert network.dropout.training


def test_one_picture_has_no_mean(parts):
    with pytest.raises(EvaluationError, match="too few"):
        result(loss_by_level(parts.wrapped(parts.Gaussian()), torch.zeros(1, 1, 4, 4), None))
