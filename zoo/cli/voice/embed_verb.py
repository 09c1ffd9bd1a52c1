"""``zoo voice embed``."""

from __future__ import annotations

from pathlib import Path

import click

from zoo.cli.model_argument import check_out, complete
from zoo.cli.voice.arguments import chosen, save, section_of


@click.command("embed")
@click.argument("sound", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--out", required=True, type=click.Path(dir_okay=False, path_type=Path), help=".safetensors")
@click.option("--units", "units_", help="The encoder, with arguments: 'hubert-soft weights=hubert-soft.pt'.")
@click.option("--config", help="A config or a model file whose encoder is taken.", shell_complete=complete("models"))
@click.option("--device", default="cpu", show_default=True, help="Where the encoder runs.")
def command(sound: Path, out: Path, units_: str | None, config: str | None, device: str) -> None:
    """What is said in a recording: content units, (units, channels), in a safetensors file.

    Without --units and --config they are made by whisper.

    \b
    zoo voice embed song.wav --out units.safetensors
    zoo voice embed song.wav --units 'contentvec weights=checkpoint_best_legacy_500.pt' --out units.safetensors
    zoo list units
    """
    check_out(out)
    if out.suffix.lower() != ".safetensors":
        raise click.UsageError(f"--out: units are written as .safetensors, not {out.suffix!r}")
    spec = chosen(units_, section_of(config), "units", "whisper")

    from registry import units
    from zoo.core.device import usable
    from zoo.voice import audio
    from zoo.voice.base import Units

    encoder: Units = units.build(spec, path="units")
    recorded = audio.read(sound)
    found = encoder.to(usable(device))(recorded.wav, recorded.sample_rate)
    save(out, {"units": found}, units=str(spec["name"]), rate=f"{encoder.rate:g}")
