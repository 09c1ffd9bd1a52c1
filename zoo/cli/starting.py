"""Starting points of ``zoo sample``: a picture that is noised, or one of which a part is kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from zoo.core.diffusion import Diffusion
    from zoo.core.sampler import Moment

F = TypeVar("F", bound=Callable[..., Any])

_FILE = click.Path(exists=True, dir_okay=False)


def options(command: F) -> F:
    """The options that say where a walk starts."""
    for option in (
        click.option(
            "--resample", type=click.IntRange(min=1), help="Of --image: walk each stretch so often (RePaint)."
        ),
        click.option("--keep", type=_FILE, help="Of --image: a picture that is white where the image is kept."),
        click.option("--image", type=_FILE, help="Keep a part of this picture and make up the rest."),
        click.option("--start-t", type=float, help="Of --start: the time to noise it to.  [default: half of them]"),
        click.option("--start", type=_FILE, help="Begin with this picture under noise, and not with noise alone."),
    ):
        command = option(command)
    return command


def begin(
    diffusion: Diffusion,
    shape: Sequence[int | None],
    n: int,
    *,
    start: str | None,
    start_t: float | None,
    image: str | None,
    keep: str | None,
    resample: int | None,
) -> Callable[..., Iterator[Moment]]:
    """What walks: ``walk(**settings) -> moments``, from where the options say."""
    import zoo
    from zoo.data.pictures import picture
    from zoo.editing import inpaint_walk

    if start is not None and image is not None:
        raise click.UsageError("give --start (begin with a picture) or --image (keep a part of it), not both")
    if start is None and start_t is not None:
        raise click.UsageError("--start-t belongs to --start")
    if (image is None) != (keep is None):
        raise click.UsageError("--image and --keep belong together: what to fill, and where it is kept")
    if image is None and resample is not None:
        raise click.UsageError("--resample belongs to --image")
    if start is not None:
        first = picture(start, shape).expand(n, *[-1] * 3)
        half = (diffusion.schedule.t_max + diffusion.schedule.t_clean) / 2
        at = half if start_t is None else start_t
        return lambda **settings: zoo.walk(diffusion, start=first, start_t=at, **_without_shape(settings))
    if image is not None and keep is not None:
        known = picture(image, shape)[None]
        kept = (picture(keep, (1, *shape[1:]))[None] + 1) / 2
        times = 1 if resample is None else resample
        return lambda **settings: inpaint_walk(diffusion, known, kept, n=n, resample=times, **_without_shape(settings))
    return lambda **settings: zoo.walk(diffusion, n, **settings)


def _without_shape(settings: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if name != "shape"}
