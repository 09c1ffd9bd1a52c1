"""``zoo voice``."""

from __future__ import annotations

import click

from zoo.cli.verbs import Verbs

_VERBS = {
    "convert": "Turn a recording into another voice.",
    "embed": "What is said in a recording, as content units.",
    "f0": "The pitch of a recording, as numbers or a picture.",
    "mel": "The mel spectrogram of a recording, as a picture or numbers.",
    "prepare": "Make training data of a folder of recordings.",
}


@click.group("voice", cls=Verbs, verbs=_VERBS, package="zoo.cli.voice")
def command() -> None:
    """Voices: what a recording is made of, training data, and another voice.

    \b
    zoo voice mel song.wav --out mel.png
    zoo voice prepare recordings --config svc-16k --out data/her
    zoo train data/her/config.yaml --out runs/her
    zoo voice convert song.wav --model runs/her/model.safetensors --key +3 --out out.wav

    They need the extra: pip install 'diffusion-zoo[voice]'
    """
