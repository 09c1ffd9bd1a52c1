"""``zoo voice mel``."""

from __future__ import annotations

from pathlib import Path

import click

from zoo.cli.model_argument import check_out, complete
from zoo.cli.output import note
from zoo.cli.voice.arguments import chosen, save, section_of


@click.command("mel")
@click.argument("sound", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--out", required=True, type=click.Path(dir_okay=False, path_type=Path), help=".png or .safetensors")
@click.option("--mel", "mel_", help="The analysis, with arguments: 'hifigan hop=200'.  [default: nsf-hifigan]")
@click.option("--config", help="A config or a model file whose analysis is taken.", shell_complete=complete("models"))
@click.option("--key", type=float, default=0.0, help="Semitones by which the timbre is moved.")
@click.option("--speed", type=click.FloatRange(min=0.0, min_open=True), default=1.0, help="Of the frames.")
def command(sound: Path, out: Path, mel_: str | None, config: str | None, key: float, speed: float) -> None:
    """The mel spectrogram of a recording, as a picture or as numbers, (bins, frames).

    \b
    zoo voice mel song.wav --out mel.png
    zoo voice mel song.wav --mel pwg --out mel.safetensors
    zoo list mels
    """
    check_out(out)
    if out.suffix.lower() not in (".png", ".safetensors"):
        raise click.UsageError(f"--out: a mel is written as .png or .safetensors, not {out.suffix!r}")
    spec = chosen(mel_, section_of(config), "mel", "nsf-hifigan")

    from registry import mels
    from zoo.voice import audio
    from zoo.voice.base import VoiceError
    from zoo.voice.mel import Mel

    analysis: Mel = mels.build(spec, path="mel")
    found = analysis(audio.read(sound, sample_rate=analysis.sample_rate).wav, key_shift=key, speed=speed)
    if not found.shape[-1]:
        raise VoiceError(f"{sound}: is shorter than a frame of {analysis.hop} samples")
    if out.suffix.lower() == ".safetensors":
        save(out, {"mel": found}, log=analysis.log, sample_rate=str(analysis.sample_rate), hop=str(analysis.hop))
        return
    from zoo import plots

    title = (
        f"{sound.name}: {analysis.bins} bins, {found.shape[-1]} frames of {analysis.hop / analysis.sample_rate:.4g} s"
    )
    step = speed * analysis.hop / analysis.sample_rate
    plots.mel_pictures(out, {title: found}, seconds=step, y_label=f"mel bin, {analysis.fmin:g} to {analysis.fmax:g} Hz")
    note(f"{out}: {title}, {analysis.log} of {float(found.min()):.2f} to {float(found.max()):.2f}")
