"""From a file of weights to a model: our own files, and through importers those of others."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, Literal

import torch

from registry import RegistryError, importers
from zoo import checkpoint, factory
from zoo import config as configs
from zoo.core.classifier import Classifier
from zoo.core.diffusion import Diffusion
from zoo.header import CheckpointError
from zoo.importers.base import Copy, Importer, Report
from zoo.importers.fields import read_fields
from zoo.importers.source import Source
from zoo.placing import place

_SHOWN = 20

Wanted = Literal["ema", "raw"] | None


def load(
    path: str | PathLike[str],
    *,
    format: str | None = None,
    config: Mapping[str, Any] | str | PathLike[str] | None = None,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
    weights: Wanted = None,
    report: Callable[[Report], object] | None = None,
) -> Any:
    """Load a model.

    A file that the zoo saved holds its whole config, and nothing beside it counts. A foreign file or folder goes
    through an importer, which learns the network from names and shapes of the weights and asks for what they do not
    tell.

    Args:
        path: a file, or for foreign weights a folder.
        format: name of the importer; None to find the one that knows these keys.
        config: of a foreign file, in the field names of the project it comes from: a mapping, or the path of its
            YAML or JSON file.
        device: where the model goes.
        dtype: of the parameters; None is float32, whatever the file holds.
        weights: which copy to take, the moving average or the raw weights; None for the average where there is one.
        report: called with what became of a foreign file: what was kept, dropped and assumed.

    Returns:
        The model, a Diffusion, in eval mode; of a classifier's weights the Classifier, ``(x_t, t) -> logits``.

    Raises:
        CheckpointError: the file is broken, refused or unknown, or does not hold what was asked for.
        MissingField: neither the weights nor ``config`` tell something; the message names the field.
    """
    path = Path(path).expanduser()
    if format is None and checkpoint.is_model(path):
        if config is not None:
            raise CheckpointError(f"{path}: is a model of the zoo and holds its config: leave out config=")
        model = _ours(path, weights, dtype)
    else:
        model = _foreign(path, format, config, weights, dtype, report)
    return model.to(device=device, dtype=dtype).eval()


def load_model(path: str | PathLike[str], **how: Any) -> Diffusion:
    """`load` for those who need a model that makes samples.

    Raises:
        CheckpointError: it is a classifier; or as `load`.
    """
    found = load(path, **how)
    if not isinstance(found, Diffusion):
        raise CheckpointError(f"{path}: {factory.NO_MODEL}")
    return found


def _ours(path: Path, weights: Wanted, dtype: torch.dtype | None) -> Diffusion | Classifier:
    held = checkpoint.read_header(path).metadata.get("zoo.weights")
    if weights not in (None, held) and held != "unknown":
        raise CheckpointError(f"{path}: holds the {held} weights only, and {weights} was asked for")
    model = factory.make(_resolved(path, checkpoint.read_config(path)), empty=True)
    checkpoint.fill(model, path, dtype=dtype)
    return model


def _foreign(
    path: Path,
    format: str | None,
    config: Mapping[str, Any] | str | PathLike[str] | None,
    wanted: Wanted,
    dtype: torch.dtype | None,
    report: Callable[[Report], object] | None,
) -> Diffusion | Classifier:
    if not path.exists() and str(path) in configs.names():
        raise CheckpointError(
            f"{path}: no such file; for the config of that name: zoo.build({str(path)!r}, pretrained=True)"
        )
    source = Source(path)
    name, importer = _importer(source, format)
    copies = importer.copies(source)
    taken = _taken(path, list(copies), wanted)
    part = copies[taken]
    remarks = []
    if config is None and (beside := _beside(path, importer)):
        config = beside
        remarks.append(f"its config was read from {beside.name} in the same folder")
    fields = read_fields(config)
    tree = importer.config(part, fields)
    fields.settle()
    resolved = _resolved(path, tree)
    tensors = dict(importer.tensors(part))
    dropped, unknown = importer.leftover(source, taken)
    if unknown:
        raise CheckpointError(
            f"{path}: the importer {name!r} does not know these tensors: {_listed(unknown, _SHOWN)}; the network is "
            "another one than it looks like"
        )
    model = factory.make(resolved, empty=True)
    # a scaling's numbers are in its config; a schedule's table comes with the weights, unless it is there too
    in_config = ("scaling.", "schedule.") if resolved.get("schedule", {}).get("alphas_cumprod") else "scaling."
    given = {name: tensor for name, tensor in model.part_tensors().items() if name.startswith(in_config)}
    place(model, {**given, **tensors}, str(path), dtype=dtype)
    if report is not None:
        report(
            Report(
                importer=name,
                weights=wanted if taken == "unknown" and wanted else taken,
                step=importer.step(source),
                kept=tuple(tensors),
                dropped=tuple(dropped),
                assumed=tuple(fields.assumed),
                remarks=(*source.remarks, *remarks, *fields.remarks),
            )
        )
    return model


def _importer(source: Source, format: str | None) -> tuple[str, Importer]:
    """The importer of that name, or the only one that knows the source."""
    if format is not None:
        chosen = importers.build(format)
        if not chosen.matches(source):
            raise CheckpointError(f"{source.path}: does not look like {format!r} weights; {_inside(source)}")
        return format, chosen
    known: dict[str, Importer] = {}
    for name in importers.names():
        try:
            known[name] = importers.build(name)
        except RegistryError:
            continue  # a broken plug-in is listed by `zoo list`, and must not keep others from loading
    matching, broken = [], []
    for name, importer in known.items():
        try:
            if importer.matches(source):
                matching.append(name)
        except CheckpointError as error:  # a broken file in a folder may be none of its business
            broken.append(error)
    if len(matching) == 1:
        return matching[0], known[matching[0]]
    if matching:
        raise CheckpointError(
            f"{source.path}: these keys fit several importers; pass format= one of {', '.join(matching)}"
        )
    if broken:
        raise broken[0]
    ours = [source.path / file for file in source.files if checkpoint.is_model(source.path / file)]
    if ours:
        # of a run its model, and not a snapshot in a folder below
        first = min(ours, key=lambda file: len(file.parts))
        raise CheckpointError(f"{source.path}: is a folder; the zoo's own models are files: give {first}")
    raise CheckpointError(
        f"{source.path}: no importer knows these weights; {_inside(source)}; importers: {', '.join(known)}"
    )


def _taken(path: Path, held: Sequence[Copy], wanted: Wanted) -> Copy:
    if wanted is None:
        return "ema" if "ema" in held else held[0]
    if wanted in held:
        return wanted
    if "unknown" in held:  # then whoever asks for one of the two knows better than the file
        return "unknown"
    raise CheckpointError(f"{path}: holds the {held[0]} weights only, and {wanted} was asked for")


def _beside(path: Path, importer: Importer) -> Path | None:
    """The foreign config in a folder of weights, or beside a file whose project always keeps it there."""
    folder = path if path.is_dir() else path.parent
    files = [folder / name for name in importer.configs] if folder is path or importer.beside else []
    return next((file for file in files if file.is_file()), None)


def _resolved(path: Path, tree: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return configs.resolve(tree)
    except configs.ConfigError as error:
        raise CheckpointError(f"{path}: the model in there cannot be built here\n{error}") from error


def _inside(source: Source) -> str:
    """The first things to see in there: the files of a folder, or the keys of a file."""
    if source.files:
        return f"the folder holds {_listed(source.files, 5)}"
    return f"the file holds {_listed(list(source), 5) or 'no tensors'}"


def _listed(names: Sequence[str], most: int) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
