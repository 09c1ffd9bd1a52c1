"""``zoo evaluate``."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from zoo.cli.model_argument import complete, guidance_of, guidance_option, opened, spec_of
from zoo.cli.output import as_json, note, table
from zoo.cli.watching import watched


@click.command("evaluate")
@click.argument("model", shell_complete=complete("models"))
@click.argument("overrides", nargs=-1)
@click.option(
    "--data",
    help="A folder, or key=value over the model's data, or a data set with its arguments: 'mnist path=package'.  "
    "[default: what the model was trained on]",
)
@click.option("--out", required=True, type=click.Path(file_okay=False, path_type=Path), help="Folder of the report.")
@click.option("-n", "--number", type=click.IntRange(min=10), default=1000, show_default=True, help="Of samples.")
@click.option(
    "--features",
    shell_complete=complete("features"),
    help="What distances are taken in: 'timm model=resnet18 weights=FILE'.  [default: classifier, or pixels of data "
    "without classes]",
)
@click.option(
    "--real", type=click.IntRange(min=20), default=10_000, show_default=True, help="The most pictures of the data."
)
@click.option("--sampler", shell_complete=complete("samplers"), help="A name, with arguments: 'ddim eta=0.5'.")
@click.option("--steps", type=click.IntRange(min=1))
@click.option("--spacing", shell_complete=complete("spacings"), help="A name, with arguments: 'leading offset=1'.")
@guidance_option
@click.option("--precision", type=click.Choice(["float32", "bf16", "auto"]), help="[default: the model's]")
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Of the first sample; the next has one more.",
)
@click.option("--processes", type=click.IntRange(min=1), help="Draw samples.  [default: one a device]")
@click.option("--device", help="cpu, cuda, or several: cuda:0,cuda:1.  [default: all GPUs, else the CPU]")
@click.option("--random-weights", is_flag=True, help="Judge a config that has no trained weights.")
@click.option("--json", "json_", is_flag=True, help="For programs.")
def command(
    model: str,
    overrides: tuple[str, ...],
    data: str | None,
    out: Path,
    number: int,
    features: str | None,
    real: int,
    sampler: str | None,
    steps: int | None,
    spacing: str | None,
    guidance: tuple[str, ...],
    precision: str | None,
    seed: int,
    processes: int | None,
    device: str | None,
    random_weights: bool,
    json_: bool,
) -> None:
    """Say how good a model is: samples beside data.

    MODEL is a config with shipped weights, or a file of weights; OVERRIDES are key=value over a config. The report has
    distances with what real data comes to, precision, recall, density and coverage, the loss by noise level, and the
    samples beside their nearest neighbours.

    \b
    zoo evaluate runs/cat/model.safetensors --data ~/Pictures/cat --out reports/cat
    zoo evaluate ddpm-mnist --data path=package -n 500 --out reports/mnist
    zoo evaluate ddpm-mnist --data path=package --processes 4 --sampler plms --steps 10 --out reports/plms
    """
    _check_folder(out)
    _check_launch()
    from registry import data as datasets
    from zoo import evaluation

    diffusion = opened(model, overrides, random_weights=random_weights, untrained_by="--random-weights")
    places = _devices(device)
    dataset = datasets.build(_data_spec(data, diffusion.config), path="data", shape=diffusion.shape)
    found = watched(
        evaluation.events(
            diffusion,
            dataset,
            title=model,
            n=number,
            features=spec_of(features),
            real=real,
            seed=seed,
            processes=processes or len(places),
            devices=places,
            sampler=spec_of(sampler),
            steps=steps,
            spacing=spec_of(spacing),
            guidance=guidance_of(guidance),
            precision=precision,
        )
    )
    found.save(out)
    if json_:
        as_json(found.to_dict())
        return
    title = f"{model}: {number:,} samples beside {found.data}"
    table(title, ("measure", "samples", "data", "good is"), found.rows(), right=(1, 2), prose=(3,))
    for remark in found.remarks:
        note(remark)
    note(f"{out / 'report.md'}: the report, with pictures")


def _check_folder(out: Path) -> None:
    """Refuse a folder that cannot be written into, before the work and not after it."""
    above = next(place for place in (out, *out.absolute().parents) if place.exists())
    if not above.is_dir() or not os.access(above, os.W_OK):
        raise click.UsageError(f"--out: nothing can be written into {str(above)!r}")


def _check_launch() -> None:
    """Refuse a launch command: each of its processes would do all of the work, and write the same files."""
    from zoo.training.processes import launched

    if launched() > 1:
        raise click.UsageError(
            f"a launch command started {launched()} of these, and evaluate starts its processes itself: "
            "leave out torchrun and add --processes or --device cuda:0,cuda:1"
        )


def _devices(text: str | None) -> list[str]:
    """The devices that were named, or all GPUs, or the CPU; each can be used."""
    import torch

    from zoo.core.device import usable

    if text is None:
        return [f"cuda:{index}" for index in range(torch.cuda.device_count())] or ["cpu"]
    return [str(usable(name.strip())) for name in text.split(",")]


def _data_spec(text: str | None, config: Mapping[str, Any]) -> dict[str, Any]:
    """The data set that is meant: the model's own, changed where that is what was asked for."""
    from registry import data as datasets

    own = config.get("data")
    if text is None:
        if own is None:
            raise click.UsageError("this model does not say what it was trained on: add --data FOLDER")
        return dict(own)
    if text.strip() and Path(text).expanduser().is_dir():
        # the model's own way to read a folder: its classes, its cut
        if own is not None and "path" in own:
            return {**own, "path": text}
        return {"name": "images", "path": text}
    first = text.split()[0] if text.split() else ""
    if "=" in first:
        if own is None:
            raise click.UsageError("--data: this model has no data set to change; name one: 'images path=FOLDER'")
        changed = spec_of(f"{own['name']} {text}")
        assert changed is not None
        return {**own, **changed}
    if first not in datasets:
        raise click.UsageError(
            f"--data: {text!r} is neither a folder nor a data set ({', '.join(datasets.names())}) nor key=value"
        )
    named = spec_of(text)
    assert named is not None
    return named
