"""``zoo voice f0``."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import click

from zoo.cli.model_argument import check_out, complete
from zoo.cli.output import note
from zoo.cli.voice.arguments import chosen, save, section_of

if TYPE_CHECKING:
    from torch import Tensor

    from zoo.voice.audio import Sound


@click.command("f0")
@click.argument("sound", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--out", required=True, type=click.Path(dir_okay=False, path_type=Path), help=".png or .safetensors")
@click.option("--f0", "f0_", multiple=True, help="The method, with arguments: 'harvest f0_max=600'; may be repeated.")
@click.option("--config", help="A config or a model file whose method is taken.", shell_complete=complete("models"))
@click.option("--hop", type=click.IntRange(1, 1000), default=10, show_default=True, help="In ms.")
@click.option("--device", default="cpu", show_default=True, help="Where methods that are networks run.")
def command(sound: Path, out: Path, f0_: tuple[str, ...], config: str | None, hop: int, device: str) -> None:
    """The pitch of a recording in Hz, 0 where unvoiced, as numbers or as a picture over its mel.

    Without --f0 and --config it is found by harvest.

    \b
    zoo voice f0 song.wav --out pitch.png --f0 harvest --f0 fcpe
    zoo voice f0 song.wav --out pitch.safetensors
    zoo list f0
    """
    check_out(out)
    if out.suffix.lower() not in (".png", ".safetensors"):
        raise click.UsageError(f"--out: pitch is written as .png or .safetensors, not {out.suffix!r}")
    section = section_of(config)
    specs = [chosen(text, section, "f0", "harvest") for text in f0_ or (None,)]

    from registry import f0
    from zoo import plots
    from zoo.core.device import usable
    from zoo.voice import audio

    recorded = audio.read(sound)
    step = max(1, round(recorded.sample_rate * hop / 1000))
    frames = len(recorded.wav) // step + 1
    found = {}
    names = [str(spec["name"]) for spec in specs]
    for spec in specs:
        method = f0.build(spec, path="f0").to(usable(device))
        # the same method may be asked for twice
        name = str(spec["name"]) if names.count(str(spec["name"])) == 1 else ", ".join(map(str, spec.values()))
        found[name] = method(recorded.wav, recorded.sample_rate, hop=step, frames=frames)
        voiced = found[name][found[name] > 0]
        median = f"median {float(voiced.median()):.1f} Hz" if len(voiced) else "nothing voiced"
        note(f"{name}: {median}, {len(voiced) / frames:.0%} of {frames} frames voiced")
    if out.suffix.lower() == ".safetensors":
        save(out, found, hop=str(step), sample_rate=str(recorded.sample_rate))
        return
    seconds = [frame * step / recorded.sample_rate for frame in range(frames)]
    under = _harmonics(recorded, step)
    curves = {name: (seconds, pitch.tolist()) for name, pitch in found.items()}
    plots.pitch_curves(out, curves, mel=under, title=sound.name)
    note(f"{out}: {', '.join(curves)}")


def _harmonics(recorded: Sound, step: int) -> tuple[Tensor, float, list[float]]:
    """What the curves are drawn over: the frequencies that a voice can have, frame by frame, and those of the bins."""
    from zoo.voice.mel import HifiGanMel

    rate = recorded.sample_rate
    n_fft = max(2 ** math.ceil(math.log2(rate / 16)), 2 ** math.ceil(math.log2(step)))
    mel = HifiGanMel(sample_rate=rate, n_fft=n_fft, hop=step, win=n_fft, bins=96, fmin=50.0, fmax=min(1600.0, rate / 2))
    return mel(recorded.wav), step / rate, (mel.basis.argmax(1) * rate / n_fft).tolist()
