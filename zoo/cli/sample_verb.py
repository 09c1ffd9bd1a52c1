"""``zoo sample``."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from zoo.cli import starting
from zoo.cli.model_argument import check_out, complete, guidance_of, guidance_option, opened, shape_of, spec_of
from zoo.cli.output import as_json, bar, note

if TYPE_CHECKING:
    from torch import Tensor

    from zoo.core.diffusion import Diffusion
    from zoo.core.sampler import Moment


@click.command("sample")
@click.argument("model", shell_complete=complete("models"))
@click.argument("overrides", nargs=-1)
@click.option("--out", required=True, type=click.Path(dir_okay=False, path_type=Path), help=".png or .safetensors")
@click.option("-n", "--number", type=click.IntRange(min=1), help="How many samples.  [default: 4 a class, else 16]")
@click.option("--labels", help="Classes, cycled over the samples: 3, or 0,1,2, or 0-9.")
@click.option("--cond", type=click.Path(exists=True, dir_okay=False), help="A .safetensors: cond, or units, f0, ...")
@click.option(
    "--low-res", type=click.Path(exists=True, dir_okay=False), help="Of an upsampler: the picture to enlarge."
)
@click.option("--sampler", shell_complete=complete("samplers"), help="A name, with arguments: 'ddim eta=0.5'.")
@click.option("--steps", type=click.IntRange(min=1))
@click.option("--spacing", shell_complete=complete("spacings"), help="A name, with arguments: 'leading offset=1'.")
@guidance_option
@click.option("--seed", type=int, default=0, show_default=True)
@click.option(
    "--batch", type=click.IntRange(min=1), help="At most so many are walked together.  [default: what memory holds]"
)
@click.option(
    "--precision", type=click.Choice(["float32", "bf16", "auto"]), help="Of the network.  [default: the model's]"
)
@click.option(
    "--compile", "compile_", type=click.Choice(["off", "step", "graph"]), help="Of its kernels.  [default: the model's]"
)
@click.option("--shape", help="Of one sample, where the config leaves it open: 3,64,64.")
@starting.options
@click.option("--device", help="cpu, cuda, ...  [default: the GPU when there is one]")
@click.option("--random-weights", is_flag=True, help="Sample a config that has no trained weights.")
@click.option("--json", "json_", is_flag=True, help="For programs.")
def command(
    model: str,
    overrides: tuple[str, ...],
    out: Path,
    number: int | None,
    labels: str | None,
    cond: str | None,
    low_res: str | None,
    sampler: str | None,
    steps: int | None,
    spacing: str | None,
    guidance: tuple[str, ...],
    seed: int,
    batch: int | None,
    precision: str | None,
    compile_: str | None,
    shape: str | None,
    start: str | None,
    start_t: float | None,
    image: str | None,
    keep: str | None,
    resample: int | None,
    device: str | None,
    random_weights: bool,
    json_: bool,
) -> None:
    """Draw samples and save them as a picture.

    MODEL is a config with shipped weights, or a file of weights; OVERRIDES are key=value over a config.

    \b
    zoo sample ddpm-mnist --out grid.png
    zoo sample ddpm-mnist --out threes.png --labels 3 -n 20 --sampler plms --steps 10
    zoo sample runs/cat/model.safetensors --out cats.png --seed 7
    zoo sample ddpm-mnist --out variants.png --start mine.png --start-t 400 --labels 3
    zoo sample ddpm-mnist --out filled.png --image mine.png --keep mask.png --resample 5
    zoo sample upsampler.safetensors --out large.png --low-res small.png --labels 207
    zoo sample voice.safetensors --cond features.safetensors --out mel.safetensors
    """
    if out.suffix.lower() not in (".png", ".safetensors"):
        raise click.UsageError(f"--out: {out.name!r} is neither a .png nor a .safetensors file")
    from zoo.core.device import usable

    check_out(out)
    size: tuple[int | None, ...] | None = shape_of(shape)
    diffusion = opened(model, overrides, random_weights=random_weights, untrained_by="--random-weights")
    diffusion.to(usable(device))
    chosen = _labels(labels, diffusion.config["denoiser"].get("classes"))
    conditions = _conditions(cond, number)
    size = size or _as_long(diffusion, conditions) or diffusion.shape
    if size is None or None in size:
        raise click.UsageError(f"{model} leaves the shape of a sample open: add --shape, such as --shape 128,860")
    if out.suffix.lower() == ".png" and not (len(size) == 3 and size[0] in (1, 3)):
        other = out.with_suffix(".safetensors").name
        raise click.UsageError(f"--out: samples of shape {tuple(size)} are no pictures; save them as {other!r}")
    n = _rows(conditions) or number or (4 * len(chosen) if chosen else 16)
    if low_res is not None or (diffusion.config["denoiser"].get("low_res_channels") and "low_res" not in conditions):
        conditions["low_res"] = _enlarged(low_res, diffusion, size).expand(n, -1, -1, -1)
    settings: dict[str, Any] = {
        "sampler": spec_of(sampler),
        "steps": steps,
        "spacing": spec_of(spacing),
        "guidance": guidance_of(guidance),
        "seed": seed,
        "batch": batch,
        "precision": precision,
        "compile": compile_,
        "shape": size,
        **conditions,
    }
    if chosen:
        settings["labels"] = _dealt(n, chosen)
    walk = starting.begin(diffusion, size, n, start=start, start_t=start_t, image=image, keep=keep, resample=resample)
    began = time.perf_counter()
    images, nfe = _walked(diffusion, walk(**settings))
    seconds = time.perf_counter() - began
    _save(images, out, _columns(n, len(chosen)))
    if json_:
        as_json({"out": str(out), "n": n, "nfe": nfe, "seconds": seconds, "shape": list(images.shape)})
    else:
        note(f"{out}: {n} samples, {nfe} evaluations each, {seconds:.1f} s")


def _conditions(path: str | None, number: int | None) -> dict[str, Tensor]:
    """The tensors of a file, each with a row a sample."""
    if path is None:
        return {}
    from zoo.importers.source import Source

    found = dict(Source(path))
    rows = {name: len(tensor) if tensor.ndim else 0 for name, tensor in found.items()}
    if len({number or _rows(found), *rows.values()}) > 1:
        told = ", ".join(f"{name} has {count}" for name, count in rows.items())
        raise click.UsageError(f"--cond: expected one row a sample in each tensor; {told}")
    return found


def _enlarged(path: str | None, diffusion: Diffusion, size: Sequence[int | None]) -> Tensor:
    """The picture that an upsampler is to enlarge, as it is: (1, C, h, w)."""
    from zoo.data.pictures import whole_picture

    channels = diffusion.config["denoiser"].get("low_res_channels")
    if not channels:
        raise click.UsageError("--low-res: this model is no upsampler")
    if path is None:
        raise click.UsageError("this model is an upsampler: add --low-res, the picture to enlarge")
    low_res = whole_picture(path, channels)
    (height, width), (_, tall, wide) = low_res.shape[1:], size
    if tall is not None and wide is not None and height * wide != width * tall:
        raise click.UsageError(
            f"--low-res: the picture is {height} x {width}, and samples of {tall} x {wide} would stretch it: cut it, "
            f"or set --shape, such as --shape {size[0]},{4 * height},{4 * width}"
        )
    return low_res[None]


def _rows(conditions: Mapping[str, Tensor]) -> int:
    return next((len(tensor) for tensor in conditions.values() if tensor.ndim), 0)


def _as_long(diffusion: Diffusion, conditions: Mapping[str, Tensor]) -> tuple[int | None, ...] | None:
    """The shape of a sample as long as its condition (B, H, T), or its pitch (B, T) or (B, T, 1)."""
    shape = diffusion.shape
    if shape is None or shape[-1] is not None:
        return None
    lengths = [conditions["cond"].shape[-1]] if "cond" in conditions else []
    lengths += [conditions["f0"].shape[1]] if "f0" in conditions else []
    return (*shape[:-1], lengths[0]) if lengths else None


def _walked(diffusion: Diffusion, moments: Iterable[Moment]) -> tuple[Tensor, int]:
    """The samples and the number of evaluations, with a bar on the way."""
    with bar() as progress:
        task = progress.add_task("sampling", total=None)
        for moment in moments:
            progress.update(task, total=moment.total, completed=moment.index)
    return diffusion.scaling.decode(moment.x_t), moment.nfe


def _dealt(n: int, classes: Sequence[int]) -> list[int]:
    """A label for each sample: as many of each class, one class after the other, or in turns when that is uneven."""
    each, left = divmod(n, len(classes))
    return [classes[index % len(classes) if left else index // each] for index in range(n)]


def _columns(n: int, classes: int) -> int | None:
    """A row for each class, all of them in one row when there is one of each; else about square."""
    if classes < 2 or n % classes:
        return None
    return n // classes if n > classes else min(n, 10)


def _save(images: Tensor, out: Path, columns: int | None) -> None:
    from safetensors.torch import save

    from zoo.files import write_atomically
    from zoo.images import grid, save_png

    try:
        if out.suffix.lower() == ".png":
            save_png(grid(images, columns), out)
        else:
            content = save({"samples": images.cpu().contiguous()})
            write_atomically(out, lambda beside: beside.write_bytes(content))
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise click.ClickException(f"--out: {out}: cannot be written: {reason}; nothing was changed") from error


def _labels(text: str | None, classes: int | None) -> list[int]:
    if text is None:
        return list(range(classes)) if classes else []
    if classes is None:
        raise click.UsageError("--labels: this model knows no classes")
    chosen: list[int] = []
    for part in text.split(","):
        first, dash, last = part.partition("-")
        try:
            some = list(range(int(first), int(last) + 1)) if dash and first else [int(part)]
        except ValueError:
            some = []
        if not some:
            raise click.UsageError(f"--labels: expected classes such as 3 or 0,1,2 or 0-9, got {text!r}")
        chosen += some
    if wrong := [label for label in chosen if not 0 <= label < classes]:
        raise click.UsageError(f"--labels: this model has the classes 0-{classes - 1}, got {wrong[0]}")
    return chosen
