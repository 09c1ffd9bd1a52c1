"""An evaluation from beginning to end."""

from __future__ import annotations

import platform
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

import zoo
from registry import features as extractors
from zoo.core.diffusion import Diffusion
from zoo.data.base import Dataset
from zoo.evaluation import digests, neighbours
from zoo.evaluation.distances import PIXEL_SIDE, Distances, Seen, measured
from zoo.evaluation.draws import draw
from zoo.evaluation.errors import EvaluationError
from zoo.evaluation.noise_levels import loss_by_level
from zoo.evaluation.real import Real, gather, wanted_labels, wanted_low_res
from zoo.evaluation.report import Evaluation
from zoo.metrics.classifier import Classifier
from zoo.metrics.features import Features
from zoo.metrics.frechet import Moments, frechet_distance
from zoo.metrics.pixels import Pixels
from zoo.progress import Events, Progress, result
from zoo.sampling import chosen_grid, chosen_guidance, chosen_sampler

LEAST = 10
"""Samples: enough to have the neighbours that every measure asks for."""

_LOSS_PICTURES = 128
_BATCH = 256
_PAPERS = 50_000


def evaluate(model: Diffusion, data: Dataset, **options: Any) -> Evaluation:
    """Judge a model by data; :func:`events` has the options, and tells how far it is."""
    return result(events(model, data, **options))


def events(
    model: Diffusion,
    data: Dataset,
    *,
    title: str = "model",
    n: int = 1000,
    features: str | Mapping[str, Any] | None = None,
    real: int = 10_000,
    seed: int = 0,
    processes: int = 1,
    devices: Sequence[torch.device | str] = ("cpu",),
    **settings: Any,
) -> Events[Evaluation]:
    """Draw samples, and say how far they are from data in all the ways the zoo knows.

    Args:
        model: what is judged.
        data: pictures, by which it is judged; that which the model was trained on shows copies.
        title: what the report calls the model.
        n: number of samples; sample i has the seed ``seed + i``.
        features: what distances are taken in, of the registry of features; None takes the classifier where the data
            has classes, and pixels where it has none.
        real: the most pictures of the data that are looked at, chosen by the seed.
        seed: of everything.
        processes: how many draw samples, see :func:`zoo.evaluation.draws.draw`.
        devices: where they draw, in turn; the loss is taken on the first.
        **settings: of :func:`zoo.sampling.sample`; the model's own where they are left out.

    Returns:
        What was found.

    Raises:
        EvaluationError: the data is too little or fits neither measures nor model, or samples are not finite.
        DataError: the data cannot be read.
        RegistryError: for unknown names and arguments.
    """
    if n < LEAST:
        raise EvaluationError(f"n: {n} samples are too few to judge by; it takes {LEAST}")
    # what is wrong with them is told before the work and not after it
    chosen_sampler(model, settings.get("sampler"))
    chosen_grid(model, settings.get("steps"), settings.get("spacing"), settings.get("times"))
    chosen_guidance(model, settings.get("guidance"), conditional=False)
    clock: dict[str, float] = {}
    with _timed(clock, "data"):
        found = yield from gather(data, real, seed)
    size = tuple(found.images.shape[1:])
    if model.shape is not None and any(want not in (None, side) for want, side in zip(model.shape, size, strict=False)):
        raise EvaluationError(f"{found.about}: pictures of {size}, and the model makes {model.shape}")
    labels, remark = wanted_labels(model, found, n)
    low_res = wanted_low_res(model, found, n)
    spec = _features(features, found)
    yield Progress(f"features: {spec['name']}", 0, 1)
    with _timed(clock, "features"):
        extractor: Features = extractors.build(spec, path="features", images=found.images, labels=found.labels)
        pixels = Pixels(side=PIXEL_SIDE, images=found.images)
        data_seen = Seen(_by_parts(extractor, found.images), pixels(found.images))
    with _timed(clock, "sampling"):
        samples = yield from draw(
            model,
            n,
            seed=seed,
            labels=labels,
            low_res=low_res,
            processes=processes,
            devices=devices,
            shape=size,
            **settings,
        )
    if not samples.isfinite().all():
        wrong = int((~samples.isfinite().flatten(1).all(1)).sum())
        raise EvaluationError(f"{wrong} of {n} samples are not finite: the sampler diverges, or the weights are broken")
    # as a picture is cut when it is saved, and not to what a dark or pale set reaches
    samples = samples.float().clamp(min(-1.0, float(found.images.min())), max(1.0, float(found.images.max())))
    yield Progress("distances", 0, 1)
    with _timed(clock, "distances"):
        seen = Seen(_by_parts(extractor, samples), pixels(samples))
        beside = data_seen.rows(found.half)
        # what is enlarged from the first half is near to it, and no copy for that
        first = 0 if low_res is None else found.half
        # fewer pictures are further away and reach less of the data: both columns are of as many
        fewest = min(n, found.half)
        aside = data_seen.rows(0, fewest)
        scale = 1.0 if spec["name"] == "inception" else float(data_seen.features.square().mean().sqrt()) or 1.0
        judged = measured(seen.rows(0, fewest), beside, copied=data_seen.rows(first), scale=scale, seed=seed)
        everything = frechet_distance(Moments.of(seen.features), Moments.of(data_seen.features))
        judged = replace(judged, frechet_all=everything)
        if isinstance(extractor, Classifier) and labels is not None:
            judged = replace(judged, as_asked=float((extractor.guess(samples) == labels).double().mean()))
        floor = measured(aside, beside, copied=beside, scale=scale, seed=seed)
        copies = neighbours.sheet(samples, seen, found.images[first:], data_seen.rows(first))
    with _timed(clock, "loss"):
        some = found.images[:_LOSS_PICTURES]
        told = None if labels is None else _labels_of(found, len(some), labels)
        given = None if low_res is None or found.low_res is None else found.low_res[:_LOSS_PICTURES]
        levels = yield from loss_by_level(model.to(devices[0]), some, told, low_res=given, seed=seed)
    name = str(spec["name"])
    return Evaluation(
        model=title,
        data=found.about,
        looked_at=len(found.images),
        beside=len(found.images) - found.half,
        copies_of=len(found.images) - first,
        data_size=found.size,
        # what other networks give must not be read as one of the numbers in papers
        frechet_name="FID" if name == "inception" else f"FD-{name}",
        kernel_name="KID" if name == "inception" else f"KD-{name}",
        features=spec,
        feature_facts=dict(extractor.facts()),
        sampling=_settings(model, settings) | {"device": torch.device(devices[0]).type},
        seed=seed,
        drawn=n,
        samples=judged,
        floor=floor,
        levels=levels,
        remarks=[*([remark] if remark else []), *_remarks(judged, floor, extractor, found, n, name)],
        versions={"zoo": zoo.__version__, "torch": str(torch.__version__), "python": platform.python_version()},
        origin=_origin(model, found, extractor),
        seconds=clock,
        pictures=samples,
        nearest=copies,
    )


@contextmanager
def _timed(clock: dict[str, float], stage: str) -> Iterator[None]:
    began = time.perf_counter()
    yield
    clock[stage] = time.perf_counter() - began


def _features(features: str | Mapping[str, Any] | None, real: Real) -> dict[str, Any]:
    """The spec with the defaults of its arguments."""
    if features is None:
        features = "classifier" if (real.labels >= 0).all() else "pixels"
    named = {"name": features} if isinstance(features, str) else dict(features)
    arguments, problems = extractors.check(named, path="features", context=("images", "labels"))
    # what is wrong with it, `build` tells
    return named if problems else {"name": named["name"], **arguments}


def _by_parts(extractor: Features, images: Tensor) -> Tensor:
    found = torch.cat([extractor(part) for part in torch.split(images, _BATCH)])
    if not found.isfinite().all():
        raise EvaluationError("features: some are not finite, so that nothing can be compared; the weights are broken")
    return found


def _origin(model: Diffusion, real: Real, extractor: Features) -> dict[str, str]:
    """Of which weights, pictures and features the numbers are."""
    found = {"pictures_sha256": digests.of_pictures(real.images, real.labels)}
    # a function of the caller's has no weights to tell it by
    if weights := model.denoiser.state_dict():
        found["model_sha256"] = digests.of_tensors(weights)
    return found | {f"features_{name}": value for name, value in extractor.origin().items()}


def _labels_of(real: Real, n: int, dealt: Tensor) -> Tensor:
    """The classes of the first pictures, or those that samples were dealt where the data has none."""
    return real.labels[:n] if (real.labels >= 0).all() else dealt[torch.arange(n) % len(dealt)]


def _settings(model: Diffusion, settings: Mapping[str, Any]) -> dict[str, Any]:
    """What was asked for, and the model's own settings where nothing was."""
    own = {"sampler": model.config.get("sampler"), **model.config.get("sampling", {})}
    return {**own, **{name: value for name, value in settings.items() if value is not None}}


def _remarks(
    judged: Distances, floor: Distances, extractor: Features, real: Real, drawn: int, features: str
) -> list[str]:
    remarks = []
    if drawn > judged.pictures:
        remarks.append(
            f"Both columns are of {judged.pictures:,} pictures, as many as the data can set aside, and so of the first "
            f"{judged.pictures:,} of {drawn:,} samples. More pictures of the data would make use of all."
        )
    if features == "inception" and (drawn < _PAPERS or len(real.images) < real.size):
        remarks.append(
            f"FID as papers quote it is of {_PAPERS:,} samples beside all of the data, the row 'all beside all'; here "
            f"it is of {drawn:,} samples beside {len(real.images):,} of {real.size:,} pictures, and fewer make it "
            "larger."
        )
    fewest = judged.pictures // real.copies
    if fewest <= extractor.dimensions:
        remarks.append(
            f"There are {fewest:,} different pictures in a set and {extractor.dimensions:,} features: the Frechet "
            "distance says more about how few they are than about the model. Take more pictures, or features of fewer "
            "dimensions."
        )
    for where, share, usual in (
        ("in features", judged.nearer, floor.nearer),
        ("in pixels", judged.nearer_pixels, floor.nearer_pixels),
    ):
        spread = (usual * (1 - usual) * (1 / judged.pictures + real.copies / floor.pictures)) ** 0.5
        if share - usual > 3 * spread:
            remarks.append(
                f"More samples are nearer to the data than data is, {where}: {share:.0%} where {usual:.0%} are usual. "
                "Look at nearest.png: they may be copies, or blurred."
            )
    return remarks
