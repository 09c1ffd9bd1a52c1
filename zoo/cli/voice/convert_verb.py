"""``zoo voice convert``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from zoo.cli.model_argument import check_out, spec_of
from zoo.cli.output import bar, note

if TYPE_CHECKING:
    from torch import Tensor

    from zoo.core.diffusion import Diffusion
    from zoo.voice.audio import Sound
    from zoo.voice.settings import Voice


def _key(ctx: click.Context, parameter: click.Parameter, text: str) -> float | str:
    if text == "auto":
        return text
    try:
        return float(text)
    except ValueError:
        raise click.BadParameter(f"expected semitones such as +3 or -2.5, or auto, got {text!r}") from None


_NOT_OLD = ("sampler", "spacing", "strength", "speaker", "match_loudness", "gate_db", "together")
"""Arguments that the old path has nothing for."""


@click.command("convert")
@click.argument("sounds", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--model", required=True, type=click.Path(exists=True, path_type=Path), help="A file, or an old folder.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="A .wav; a folder for several sounds.")
@click.option("--key", default="0", callback=_key, help="Semitones, or auto: as high as the model's voice.")
@click.option("--units", "units_", help="An encoder in place of the model's: 'hubert-soft weights=hubert-soft.pt'.")
@click.option("--f0", "f0_", help="A pitch method in place of the model's.")
@click.option("--vocoder", help="In place of the model's: a name with arguments, or the path of one.")
@click.option("--sampler", help="In place of the model's, with arguments.")
@click.option("--steps", type=click.IntRange(min=1), help="Of the sampler.")
@click.option("--spacing", help="Which times they visit.")
@click.option("--strength", type=click.FloatRange(0, 1), default=1.0, show_default=True, help="1 begins with noise.")
@click.option("--speaker", type=int, help="Of a model with several.")
@click.option("--match-loudness", type=click.FloatRange(0, 1), default=0.0, show_default=True)
@click.option("--gate-db", type=float, help="Silence where the source is quieter.")
@click.option("--together", type=click.IntRange(min=1), default=4, show_default=True, help="Runs in one batch.")
@click.option("--seed", type=click.IntRange(0, 2**62), default=0, show_default=True)
@click.option("--device", help="cpu, cuda, ...  [default: the GPU when there is one]")
@click.option("--as-old", is_flag=True, help="By diff-svc's own path, for its models.")
@click.option("--add-noise-step", type=click.IntRange(min=1), help="With --as-old: begin with the source's mel.")
@click.option("--pe", type=click.Path(exists=True, path_type=Path), help="With --as-old: the pitch net of 24 kHz.")
def command(
    sounds: tuple[Path, ...],
    model: Path,
    out: Path,
    key: float | str,
    units_: str | None,
    f0_: str | None,
    vocoder: str | None,
    sampler: str | None,
    steps: int | None,
    spacing: str | None,
    strength: float,
    speaker: int | None,
    match_loudness: float,
    gate_db: float | None,
    together: int,
    seed: int,
    device: str | None,
    as_old: bool,
    add_noise_step: int | None,
    pe: Path | None,
) -> None:
    """Turn recordings into the voice of a model.

    MODEL is a file that `zoo train` made of a voice, or the folder or checkpoint of diff-svc or DDSP-SVC with its
    config.yaml beside it, for which --vocoder and the weights of --units are given.

    \b
    zoo voice convert song.wav --model runs/her/model.safetensors --key auto --out out.wav
    zoo voice convert song.wav --model old/ --key +3 --units 'hubert-soft weights=hubert_soft.pt' \\
        --vocoder nsf_hifigan/model --out out.wav --as-old
    """
    files = _files(sounds)
    folder = len(sounds) > 1 or sounds[0].is_dir()
    if folder:
        out.mkdir(parents=True, exist_ok=True)
    else:
        check_out(out)
    if not as_old and (add_noise_step is not None or pe is not None):
        raise click.UsageError("--add-noise-step and --pe belong to --as-old; --strength begins with the source's mel")
    source_of = click.get_current_context().get_parameter_source
    given = [f"--{name.replace('_', '-')}" for name in _NOT_OLD if source_of(name) is not ParameterSource.DEFAULT]
    if as_old and given:
        raise click.UsageError(
            f"--as-old is one way alone, without {', '.join(given)}: "
            "it takes --key, --steps, --seed, --add-noise-step and --pe"
        )
    targets = [out / f"{file.stem}.wav" if folder else out for file in files]
    for file, target in zip(files, targets, strict=True):
        if target.exists() and target.samefile(file):
            raise click.UsageError(f"--out: {str(file)!r} would be overwritten by its own conversion; name another")

    from zoo import loading
    from zoo.core.device import usable
    from zoo.voice import audio
    from zoo.voice.convert import length_at
    from zoo.voice.settings import voice_of

    place = usable(device)
    loaded = loading.load_model(model, device=place)
    voice = voice_of(
        loaded, f0_=spec_of(f0_), units_=spec_of(units_), vocoder_=vocoder if _is_path(vocoder) else spec_of(vocoder)
    ).to(place)
    rate = voice.mel.sample_rate
    for file, target in zip(files, targets, strict=True):
        sound = audio.read(file, channel="first" if as_old else "mix")
        if as_old:
            made = _as_old(sound, loaded, voice, key, steps, seed, add_noise_step, pe)
        else:
            how = {"sampler": spec_of(sampler), "steps": steps, "spacing": spec_of(spacing)}
            manner = {
                "strength": strength,
                "speaker": speaker,
                "match_loudness": match_loudness,
                "gate_db": gate_db,
                "together": together,
                "seed": seed,
            }
            made = _converted(sound, loaded, voice, key, manner, how)
        with bar() as progress, audio.Writer(target, rate) as writer:
            task = progress.add_task(file.name, total=length_at(sound, rate))
            for wav in made:
                writer.add(wav)
                progress.advance(task, len(wav))
        note(f"{target}: {sound.seconds:.1f} s at {rate} Hz")


def _converted(
    sound: Sound, model: Diffusion, voice: Voice, key: float | str, manner: dict[str, Any], how: dict[str, Any]
) -> Iterator[Tensor]:
    from zoo.voice.convert import Manner, automatic, chunks

    moved = automatic(sound, model, voice) if isinstance(key, str) else key
    if isinstance(key, str):
        note(f"key {moved:+g}")
    for _, wav in chunks(sound, model, voice, Manner(key=moved, **manner), **how):
        yield wav


def _as_old(
    sound: Sound,
    model: Diffusion,
    voice: Voice,
    key: float | str,
    steps: int | None,
    seed: int,
    add_noise_step: int | None,
    pe: Path | None,
) -> Iterator[Tensor]:
    from zoo.voice.f0.from_mel import read_pitch_of_mel
    from zoo.voice.old import OldManner, as_old, walked

    if isinstance(key, str):
        raise click.UsageError("--key: the old path takes semitones")
    total = walked(model, add_noise_step) or model.schedule.steps or 1000
    if steps is not None and steps > total:
        raise click.UsageError(f"--steps: {steps} are more than the {total} trained ones")
    interval = 20 if steps is None else total // steps
    manner = OldManner(key=key, interval=interval, add_noise_step=add_noise_step, seed=seed)
    hides = bool(getattr(model.conditioner, "use_uv", False))
    pitch_of_mel = None if pe is None else read_pitch_of_mel(pe, use_uv=hides)
    return as_old(sound, model, voice, manner, pitch_of_mel=pitch_of_mel)


def _files(sounds: tuple[Path, ...]) -> list[Path]:
    """The files themselves, and those in the folders among them."""
    from zoo.voice.prepare import recordings

    found = [file for sound in sounds for file in (recordings(sound) if sound.is_dir() else [sound])]
    if not found:
        raise click.UsageError(f"{sounds[0]}: holds no recordings")
    stems = [file.stem for file in found]
    if twice := next((stem for stem in stems if stems.count(stem) > 1), None):
        raise click.UsageError(f"several recordings are called {twice!r}, and would be written to one file")
    return found


def _is_path(text: str | None) -> bool:
    return text is not None and Path(text).exists()
