"""Every pitch method: what it finds, how many frames it gives, and what it does with sounds that have no pitch."""

import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from registry import f0
from zoo.core.errors import ArgumentValueError, ShapeError
from zoo.voice.base import VoiceError
from zoo.voice.f0.crepe import Crepe, likeliest_path
from zoo.voice.f0.praat import Parselmouth

GOLDEN = Path(__file__).parents[1] / "golden/voice/f0_parselmouth/io.safetensors"
# name -> arguments; all that carry their weights, or have none
METHODS = {
    "crepe": {"model": "tiny"},
    "dio": {},
    "fcpe": {},
    "harvest": {},
    "parselmouth": {},
}
NEEDS = {
    "crepe": "torchcrepe",
    "dio": "pyworld",
    "fcpe": "torchfcpe",
    "harvest": "pyworld",
    "parselmouth": "parselmouth",
}
RATE, HOP = 22050, 256


@pytest.fixture(scope="module", params=METHODS)
def method(request):
    return f0.build({"name": request.param, **METHODS[request.param]})


def voice(seconds, low, high, rate=RATE):
    """A tone with eight harmonics that glides, and its pitch at every sample."""
    time = torch.arange(int(rate * seconds), dtype=torch.float64) / rate
    hertz = low * (high / low) ** (time / seconds)
    phase = 2 * math.pi * (hertz / rate).cumsum(0)
    return 0.3 * sum((k * phase).sin() / k for k in range(1, 9)).float(), hertz


def test_a_glide_is_followed_within_a_hundredth(method):
    wav, hertz = voice(0.5, 140.0, 240.0)
    frames = len(wav) // HOP + 1
    found = method(wav, RATE, hop=HOP, frames=frames)
    # at its ends a method hears half a window of silence
    inside = torch.arange(frames // 6, frames - frames // 6)
    truth = hertz[inside * HOP].float()
    off = (found[inside] / truth - 1).abs()
    assert found.dtype == torch.float32
    assert off.median() < 0.005
    assert off.max() < 0.01


def test_a_voice_between_silences_is_voiced_where_it_is(method):
    wav, _ = voice(0.3, 200.0, 200.0)
    quiet = torch.zeros(int(0.3 * RATE))
    frames = int(0.9 * RATE) // HOP
    found = method(torch.cat([quiet, wav, quiet]), RATE, hop=HOP, frames=frames)
    place = torch.arange(frames) * HOP / RATE
    assert (found[(place > 0.35) & (place < 0.55)] > 0).all()
    # crepe's windows and Viterbi path reach 64 ms beyond
    assert (found[(place < 0.22) | (place > 0.68)] == 0).all()


@pytest.mark.parametrize("samples", [1, 3, 256, 2001])
def test_there_are_as_many_frames_as_were_asked_for(method, samples):
    wav = torch.rand(samples, generator=torch.Generator().manual_seed(0)) - 0.5
    for frames in (0, samples // HOP + 1, 40):
        found = method(wav, RATE, hop=HOP, frames=frames)
        assert found.shape == (frames,)
        assert found.isfinite().all()
        assert (found >= 0).all()


def test_silence_has_no_pitch(method):
    for samples in (0, 3, 5000):
        assert not method(torch.zeros(samples), RATE, hop=HOP, frames=20).any()


def test_the_same_sound_has_the_same_pitch_again(method):
    wav, _ = voice(0.1, 150.0, 160.0)
    once, again = (method(wav, RATE, hop=HOP, frames=9) for _ in range(2))
    assert torch.equal(once, again)


def test_what_is_no_sound_is_refused(method):
    with pytest.raises(ShapeError, match=r"\(L,\)"):
        method(torch.zeros(2, 100), RATE, hop=HOP, frames=1)
    with pytest.raises(ShapeError, match="int64"):
        method(torch.zeros(100, dtype=torch.int64), RATE, hop=HOP, frames=1)
    with pytest.raises(VoiceError, match="sample 1 is nan"):
        method(torch.tensor([0.0, math.nan]), RATE, hop=HOP, frames=1)
    with pytest.raises(ArgumentValueError, match="hop"):
        method(torch.zeros(100), RATE, hop=0, frames=1)


@pytest.mark.parametrize("name", METHODS)
def test_a_missing_package_is_named_with_its_remedy(name, monkeypatch):
    monkeypatch.setitem(sys.modules, NEEDS[name], None)
    made = f0.build({"name": name, **METHODS[name]})
    with pytest.raises(VoiceError, match=rf"{name}.* needs the package {NEEDS[name]}.*\[voice\]"):
        made(voice(0.1, 200.0, 200.0)[0], RATE, hop=HOP, frames=1)


@pytest.mark.slow
def test_no_method_imports_its_package_before_it_is_called():
    code = (
        "import sys; from registry import f0\n"
        f"for name, arguments in {METHODS!r}.items(): f0.build({{'name': name, **arguments}})\n"
        "f0.build({'name': 'rmvpe', 'checkpoint': 'nowhere.pt'})\n"
        f"assert not {set(NEEDS.values()) | {'torchaudio', 'librosa'}!r} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])


@pytest.mark.parametrize("name", f0.names())
def test_a_range_that_is_none_is_refused(name):
    more = {"checkpoint": "nowhere.pt"} if name == "rmvpe" else {}
    with pytest.raises(ArgumentValueError, match="f0_min < f0_max"):
        f0.get(name)(f0_min=300.0, f0_max=200.0, **more)


def test_unknown_rules_are_refused():
    with pytest.raises(ArgumentValueError, match="openvpi"):
        Parselmouth(pad="none")
    with pytest.raises(ArgumentValueError, match="closed"):
        Crepe(gaps="open")
    with pytest.raises(ArgumentValueError, match="tiny"):
        Crepe(model="small")
    with pytest.raises(ArgumentValueError, match="32 to 2006"):
        Crepe(f0_min=20.0)
    with pytest.raises(ArgumentValueError, match="channels_in_octave"):
        f0.get("dio")(channels_in_octave=0.0)


def test_crepe_closes_gaps_as_diff_svc_did():
    wav, _ = voice(0.2, 200.0, 200.0)
    quiet = torch.zeros(int(0.2 * RATE))
    low, _ = voice(0.2, 150.0, 150.0)
    closed = Crepe(model="tiny", gaps="closed")(torch.cat([quiet, wav, quiet, low]), RATE, hop=HOP, frames=80)
    assert (closed > 0).all()
    # level before the first voiced window and behind the last, a falling line between
    assert closed[0] == closed[3]
    assert closed[-1] == closed[-3]
    gap = closed[int(0.48 * RATE / HOP) : int(0.52 * RATE / HOP)]
    assert ((gap > 150) & (gap < 200)).all()


@pytest.mark.slow
def test_crepe_walks_the_path_that_its_package_walks():
    package = pytest.importorskip("torchcrepe")
    logits = 3 * torch.randn(1, 360, 200, generator=torch.Generator().manual_seed(0))
    logits[:, :40] = -math.inf
    wanted, _ = package.decode.viterbi(logits)
    assert torch.equal(likeliest_path(logits[0].softmax(0)), wanted[0])


@pytest.fixture(scope="module")
def golden():
    return load_file(GOLDEN)


def test_parselmouth_is_that_of_diff_svc(golden):
    method = Parselmouth(f0_min=50.0, f0_max=1100.0, pad="diff-svc")
    wav, wanted = golden["24k.wav_in"], golden["24k.f0"]
    found = method(wav, 24000, hop=128, frames=len(wanted))
    assert torch.equal(found == 0, wanted == 0)
    # Praat's own sums in another build
    torch.testing.assert_close(found, wanted, atol=1e-3, rtol=0)
    padded = torch.cat([wav, torch.zeros(len(wanted) * 128 - len(wav))])
    torch.testing.assert_close(method.raw(padded, 24000, hop=128), golden["24k.f0_parselmouth_raw"], atol=1e-3, rtol=0)


def test_parselmouth_is_that_of_openvpi(golden):
    wanted = golden["44k.f0_parselmouth"]
    found = Parselmouth(f0_min=65.0, f0_max=1100.0, pad="openvpi")(
        golden["44k.wav"], 44100, hop=512, frames=len(wanted)
    )
    torch.testing.assert_close(found, wanted, atol=1e-3, rtol=0)
    assert torch.equal(found == 0, golden["44k.uv"])


@pytest.mark.parametrize("pad", ["diff-svc", "openvpi"])
@pytest.mark.parametrize("more", [-1, 0, 1, 2])
def test_parselmouth_takes_sounds_around_its_shortest(pad, more):
    samples = int(3 / 50 * 8000) + more
    wav = torch.rand(samples, generator=torch.Generator().manual_seed(0)) - 0.5
    assert Parselmouth(f0_min=50.0, pad=pad)(wav, 8000, hop=80, frames=2).shape == (2,)
