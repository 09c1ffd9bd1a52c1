"""Data whose best model is known, and models of known faults."""

from types import SimpleNamespace

import pytest
import torch

import zoo
from zoo.data.base import InMemory

VARIANCE = 0.09


class Gaussian(torch.nn.Module):
    """E[eps | x_t] for pixels N(mean, variance), each by itself, on the schedule of the model that holds it."""

    def __init__(self, variance=VARIANCE, mean=0.0):
        super().__init__()
        self.variance, self.mean = variance, mean
        self.schedule = zoo.Diffusion.wrap(lambda x, t: x).schedule

    def forward(self, x, t):
        m = self.schedule(t.double()).like(x)
        return m.sigma * (x - m.alpha * self.mean) / (m.alpha**2 * self.variance + m.sigma**2)


class Memory(torch.nn.Module):
    """E[eps | x_t] for data that is nothing but some pictures: its samples are copies of them."""

    def __init__(self, images):
        super().__init__()
        self.images = images
        self.schedule = zoo.Diffusion.wrap(lambda x, t: x).schedule

    def forward(self, x, t):
        m = self.schedule(t.double()).like(x)
        rows, known = x.flatten(1), self.images.flatten(1)
        alpha, sigma = m.alpha.flatten(1), m.sigma.flatten(1)
        share = (-(rows[:, None] - alpha[:, :, None] * known).square().sum(-1) / (2 * sigma**2)).softmax(1)
        return ((rows - alpha * (share @ known)) / sigma).reshape(x.shape)


def noise_pictures(n, seed, labels=None):
    x_0 = VARIANCE**0.5 * torch.randn(n, 1, 4, 4, generator=torch.Generator().manual_seed(seed))
    return InMemory(x_0, labels, classes=None if labels is None else int(labels.max()) + 1, title="noise pictures")


def wrapped(network):
    return zoo.Diffusion.wrap(network, shape=(1, 4, 4))


@pytest.fixture
def parts():
    return SimpleNamespace(
        Gaussian=Gaussian, Memory=Memory, pictures=noise_pictures, wrapped=wrapped, variance=VARIANCE
    )
