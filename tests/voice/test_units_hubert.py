"""HuBERT and its relatives: files of four projects, what lies beside their weights, sound of any length."""

import argparse
import collections
import enum
import json
import re
import sys
import types

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from registry import units
from zoo.core.errors import ArgumentValueError, ShapeError
from zoo.voice.base import VoiceError
from zoo.voice.units import hubert_net
from zoo.voice.units.hubert import ContentVec, Hubert, HubertSoft

WIDTH, HEADS = 32, 4
DEEP = "encoder.transformer"
FACTORS = f"{DEEP}.pos_conv_embed.conv.parametrizations.weight.original"


def small(large=False, layers=2):
    """A network of torchaudio with weights that all matter."""
    from torchaudio.models import wav2vec2_model

    torch.manual_seed(1)
    convolutions = [(8, 10, 5), *[(8, 3, 2)] * 4, *[(8, 2, 2)] * 2]
    mode = "layer_norm" if large else "group_norm"
    net = wav2vec2_model(
        mode, convolutions, large, WIDTH, 0.0, 16, 4, layers, HEADS, 0.0, 48, 0.0, 0.0, large, 0.0, None
    )
    for name, parameter in net.named_parameters():
        one = 1.0 * ("norm.weight" in name or name == f"{FACTORS}0")
        size = 0.3 if parameter.ndim == 1 else (len(parameter) / parameter.numel()) ** 0.5
        parameter.data = size * torch.randn_like(parameter) + one
    return net.eval()


@pytest.fixture(scope="module")
def base():
    return small()


@pytest.fixture(scope="module")
def deep():
    return small(layers=12)


def renamed(state, rules):
    out = collections.OrderedDict()
    for key, tensor in state.items():
        for pattern, name in rules:
            key = re.sub(pattern, name, key)
        out[key] = tensor
    return out


def as_fairseq(state):
    return renamed(
        state,
        [
            (r"(conv_layers\.\d)\.conv\.", r"\1.0."),
            # large networks have the norm between two transpositions
            (r"(conv_layers\.\d)\.layer_norm\.", r"\1.2.1." if large_(state) else r"\1.2."),
            (r"^encoder\.feature_projection\.projection", "post_extract_proj"),
            (r"^encoder\.feature_projection\.layer_norm", "layer_norm"),
            (re.escape(f"{FACTORS}0"), "encoder.pos_conv.0.weight_g"),
            (re.escape(f"{FACTORS}1"), "encoder.pos_conv.0.weight_v"),
            (r"^encoder\.transformer\.pos_conv_embed\.conv", "encoder.pos_conv.0"),
            (r"^encoder\.transformer\.", "encoder."),
            (r"(layers\.\d+)\.attention", r"\1.self_attn"),
            (r"(encoder\.layers\.\d+)\.layer_norm", r"\1.self_attn_layer_norm"),
            (r"feed_forward\.intermediate_dense", "fc1"),
            (r"feed_forward\.output_dense", "fc2"),
        ],
    )


def as_hugging_face(state):
    return renamed(state, [(r"^encoder\.(transformer|feature_projection)", r"\1"), (r"^transformer", "encoder")])


def as_bshall(state):
    joined = dict(state)
    for key in [key for key in state if "attention.q_proj" in key]:
        parts = [joined.pop(key.replace(".q_", f".{letter}_")) for letter in "qkv"]
        joined[key.replace("attention.q_proj.", "self_attn.in_proj_")] = torch.cat(parts)
    return renamed(
        joined,
        [
            (r"conv_layers\.(\d)\.conv", r"conv\1"),
            (r"conv_layers\.0\.layer_norm", "norm0"),
            (r"^encoder\.feature_projection\.layer_norm", "feature_projection.norm"),
            (r"^encoder\.feature_projection", "feature_projection"),
            (re.escape(f"{FACTORS}0"), "positional_embedding.conv.weight_g"),
            (re.escape(f"{FACTORS}1"), "positional_embedding.conv.weight_v"),
            (r"^encoder\.transformer\.pos_conv_embed", "positional_embedding"),
            (r"^encoder\.transformer\.layer_norm", "norm"),
            (r"^encoder\.transformer\.", "encoder."),
            (r"attention\.out_proj", "self_attn.out_proj"),
            (r"(layers\.\d+)\.layer_norm", r"\1.norm1"),
            (r"(layers\.\d+)\.final_layer_norm", r"\1.norm2"),
            (r"feed_forward\.intermediate_dense", "linear1"),
            (r"feed_forward\.output_dense", "linear2"),
        ],
    )


def large_(state):
    return "feature_extractor.conv_layers.1.layer_norm.weight" in state


def noise(samples, seed=0):
    return 0.1 * torch.randn(samples, generator=torch.Generator().manual_seed(seed))


def close(found, wanted):
    # the same operations on folded weights
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)


PROJECTION = {"weight": torch.randn(256, WIDTH, generator=torch.Generator().manual_seed(2)), "bias": torch.ones(256)}
LAYOUTS = {
    "torchaudio": lambda state: state,
    "torchaudio-pretraining": lambda state: {f"wav2vec2.{key}": value for key, value in state.items()},
    "fairseq": lambda state: {
        "model": {**as_fairseq(state), "mask_emb": torch.ones(3), "label_embs_concat": torch.ones(2)}
    },
    "fairseq-fine-tuned": lambda state: {
        "model": {f"w2v_encoder.w2v_model.{key}": value for key, value in as_fairseq(state).items()}
    },
    "hugging-face": lambda state: {**as_hugging_face(state), "masked_spec_embed": torch.ones(3)},
    "hugging-face-ctc": lambda state: {
        **{f"hubert.{key}": value for key, value in as_hugging_face(state).items()},
        "lm_head.weight": torch.ones(2),
    },
}


@pytest.mark.parametrize("large", [False, True], ids=["base", "large"])
@pytest.mark.parametrize("layout", LAYOUTS)
@torch.no_grad()
def test_every_layout_gives_the_same_units(layout, large, tmp_path):
    net = small(large)
    torch.save(LAYOUTS[layout](net.state_dict()), tmp_path / "net.pt")
    wav = noise(5000)
    heard = (wav - wav.mean()) / (wav.var(correction=0) + 1e-5).sqrt() if large else wav
    wanted = [*net.extract_features(heard[None])[0], net(heard[None])[0]]
    for layer, one in zip((1, 2, None), wanted, strict=True):
        method = Hubert(weights=str(tmp_path / "net.pt"), channels=WIDTH, heads=HEADS, layer=layer)
        found = method(wav, 16_000)
        assert found.shape == ((5000 - 400) // 320 + 1, WIDTH)
        close(found, one[0])
    plain = Hubert(weights=str(tmp_path / "net.pt"), channels=WIDTH, heads=HEADS, normalize=False)(wav, 16_000)
    assert (plain - found).abs().max() > 1e-3 if large else torch.equal(plain, found)


@torch.no_grad()
def test_a_folder_of_hugging_face_says_what_weights_do_not(base, tmp_path):
    state = as_hugging_face(base.state_dict())
    save_file({key: value.contiguous() for key, value in state.items()}, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps({"num_attention_heads": HEADS, "hidden_act": "gelu"}))
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({"do_normalize": True}))
    wav = noise(3000)
    heard = (wav - wav.mean()) / (wav.var(correction=0) + 1e-5).sqrt()
    for path in (tmp_path, tmp_path / "model.safetensors"):
        close(Hubert(weights=str(path), channels=WIDTH)(wav, 16_000), base(heard[None])[0][0])
    (tmp_path / "config.json").write_text(
        json.dumps({"num_attention_heads": HEADS, "conv_stride": [5, 2, 2, 2, 2, 2, 1]})
    )
    with pytest.raises(VoiceError, match=r"conv_stride is .* only networks with \[5, 2"):
        Hubert(weights=str(tmp_path), channels=WIDTH)(wav, 16_000)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(VoiceError, match=r"config\.json: cannot be read"):
        Hubert(weights=str(tmp_path), channels=WIDTH)(wav, 16_000)


@torch.no_grad()
@pytest.mark.parametrize("wrapped", [True, False])
def test_hubert_soft_is_read_as_bshall_saves_it(base, tmp_path, wrapped):
    state = as_bshall(base.state_dict()) | {f"proj.{key}": value for key, value in PROJECTION.items()}
    state |= {"masked_spec_embed": torch.ones(3), "label_embedding.weight": torch.ones(100, 256)}
    if wrapped:
        torch.save({"hubert": {f"module.{key}": value for key, value in state.items()}}, tmp_path / "soft.pt")
    else:
        save_file({key: value.contiguous() for key, value in state.items()}, tmp_path / "soft.pt")
    method = HubertSoft(weights=str(tmp_path / "soft.pt"), heads=HEADS)
    for samples in (320, 639, 640, 6400):
        wav = noise(samples)
        features = base(nn.functional.pad(wav, (40, 40))[None])[0][0]
        found = method(wav, 16_000)
        assert len(found) == samples // 320
        close(found, features @ PROJECTION["weight"].T + PROJECTION["bias"])


@torch.no_grad()
def test_contentvec_takes_layer_9_projected_or_layer_12(deep, tmp_path):
    state = as_fairseq(deep.state_dict()) | {f"final_proj.{key}": value for key, value in PROJECTION.items()}
    torch.save({"model": state, "args": argparse.Namespace(arch="contentvec")}, tmp_path / "vec.pt")
    wav = noise(4000)
    layers = deep.extract_features(wav[None])[0]
    projected = layers[8][0] @ PROJECTION["weight"].T + PROJECTION["bias"]
    close(ContentVec(weights=str(tmp_path / "vec.pt"), heads=HEADS)(wav, 16_000), projected)
    with pytest.raises(VoiceError, match=r"make units of 32 channels, not 768"):
        ContentVec(weights=str(tmp_path / "vec.pt"), dim=768, heads=HEADS)(wav, 16_000)
    close(Hubert(weights=str(tmp_path / "vec.pt"), channels=WIDTH, heads=HEADS, layer=12)(wav, 16_000), layers[11][0])
    with pytest.raises(
        VoiceError, match=r"hubert-soft: .*has no proj, so it is another encoder's; expected hubert-soft"
    ):
        HubertSoft(weights=str(tmp_path / "vec.pt"), heads=HEADS)(wav, 16_000)


class Kind(enum.Enum):
    A = "a"


class Ran(Exception): ...


def run(*_):
    raise Ran


class Runs:
    def __reduce__(self):
        return run, (1,)


class Settings(dict):
    def __init__(self, *args):
        super().__init__(*args)
        self.flags = {"k": Kind.A}


class Words(list): ...


@pytest.mark.parametrize("old_format", [False, True], ids=["zip", "old"])
@pytest.mark.parametrize("installed", [True, False])
def test_objects_beside_the_weights_are_passed_over(base, tmp_path, monkeypatch, old_format, installed):
    """Even with their program at hand, nothing of it is called."""
    module = types.ModuleType("some_fairseq")
    for one in (Kind, run, Runs, Settings, Words):
        monkeypatch.setattr(one, "__module__", "some_fairseq")
        monkeypatch.setattr(module, one.__name__, one, raising=False)
    monkeypatch.setitem(sys.modules, "some_fairseq", module)
    beside = {
        "args": argparse.Namespace(a=Kind.A),
        "cfg": {"model": Settings({"a": 1}), "words": Words(["a", "b"]), "any": collections.defaultdict(list, a=[1])},
        "task": Runs(),
        "best_loss": np.float64(1),
        "history": np.ones(3),
        "rng": {1, 2},
    }
    file = tmp_path / "net.pt"
    state = as_fairseq(base.state_dict())
    torch.save({**beside, "model": state}, file, _use_new_zipfile_serialization=not old_format)
    if not installed:
        monkeypatch.delitem(sys.modules, "some_fairseq")
    wav = noise(2000)
    close(Hubert(weights=str(file), channels=WIDTH, heads=HEADS)(wav, 16_000), base(wav[None])[0][0].detach())


def test_long_sound_is_encoded_in_blocks(base, tmp_path, monkeypatch):
    torch.save(base.state_dict(), tmp_path / "net.pt")
    method = Hubert(weights=str(tmp_path / "net.pt"), channels=WIDTH, heads=HEADS)
    wav = noise(40_000)
    whole = method(wav, 16_000)
    heard: list[int] = []
    monkeypatch.setattr(hubert_net, "_BLOCK", 50)
    monkeypatch.setattr(hubert_net, "_CONTEXT", 10)
    monkeypatch.setattr(
        hubert_net.Hubert, "forward", lambda self, part, **how: heard.append(len(part[0])) or whole_of(part)
    )

    def whole_of(part):
        """What a sound says where it stands, so that each unit has to come from its own place."""
        return part.unfold(1, 400, 320)[..., :WIDTH]

    found = method(wav, 16_000)
    assert torch.equal(found, wav.unfold(0, 400, 320)[:, :WIDTH])
    assert len(found) == len(whole)
    # the last one up to the end of the sound
    assert heard == [49 * 320 + 400] * (len(heard) - 1) + [49 * 320 + 400 + (40_000 - 400) % 320]


@pytest.mark.parametrize("count", [*range(1, 60), 99, 1499, 1500, 1501, 2799, 2800, 2801, 180_000])
def test_blocks_follow_one_another(count):
    behind = 0
    for low, start, stop, high in hubert_net._blocks(count):
        assert start == behind
        assert 0 <= low <= start < stop <= high <= count
        assert high - low == min(count, 1500)
        # on either side, unless the sound ends there
        assert start - low >= 100 or low == 0
        assert high - stop >= 100 or high == count
        behind = stop
    assert behind == count


def test_sound_is_resampled_and_checked(base, tmp_path):
    torch.save(base.state_dict(), tmp_path / "net.pt")
    method = Hubert(weights=str(tmp_path / "net.pt"), channels=WIDTH, heads=HEADS).to("cpu")
    assert len(method(noise(44_100), 44_100)) == 49
    with pytest.raises(
        VoiceError, match=r"hubert: the sound is too short .* 3 samples at 16000 Hz .* shortest is 25 ms"
    ):
        method(noise(3), 16_000)
    with pytest.raises(VoiceError, match=r"sample 1 is nan"):
        method(torch.tensor([0.0, torch.nan] * 400), 16_000)
    with pytest.raises(ShapeError, match=r"expected \(L,\) floating point"):
        method(torch.zeros(1, 800), 16_000)


def test_arguments_are_checked():
    with pytest.raises(ArgumentValueError, match="layer is from 1"):
        Hubert(layer=0)
    with pytest.raises(ArgumentValueError, match="dim is 256"):
        ContentVec(dim=512)


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("hubert-soft", r"hubert-soft-0d54a1f4\.pt"),
        ("contentvec", r"checkpoint_best_legacy_500\.pt"),
        ("hubert", r"hubert_base_ls960\.pt"),
    ],
)
def test_missing_weights_name_the_public_file(name, file, tmp_path):
    with pytest.raises(VoiceError, match=rf"{name} has no weights: pass weights=FILE with {file}|{file}"):
        units.build({"name": name})(noise(800), 16_000)
    with pytest.raises(VoiceError, match=rf"none\.pt: no such file.*expected a file of {name}"):
        units.build({"name": name, "weights": str(tmp_path / "none.pt")})(noise(800), 16_000)


def test_other_files_are_refused(base, tmp_path):
    path = tmp_path / "net.pt"

    def refused(message, **how):
        method = Hubert(weights=str(path), **{"channels": WIDTH, "heads": HEADS, **how})
        with pytest.raises(VoiceError, match=message):
            method(noise(800), 16_000)

    state = base.state_dict()
    torch.save(state, path)
    refused(r"net\.pt has the layers 1 to 2, not 3", layer=3)
    refused(r"make units of 32 channels, not 768", channels=768)
    refused(r"how many heads attend .* of width 32: pass heads=NUMBER", heads=None)
    refused(r"how many heads attend", heads=5)
    torch.save({"a": torch.ones(1)}, path)
    refused(r"is not a file of hubert: none of its tensors is called")
    torch.save({**state, "encoder.odd": torch.ones(1)}, path)
    refused(r"encoder\.odd is no part of it")
    torch.save({**state, f"{DEEP}.layers.0.final_layer_norm.bias": torch.ones(3)}, path)
    refused(r"final_layer_norm\.bias is \(3,\), not \(32,\)")
    for missing, message in (
        (f"{FACTORS}0", "weight norm"),
        (f"{DEEP}.layers.1.attention.q_proj.weight", r"q_proj\.weight is missing"),
        ("feature_extractor.conv_layers.3.conv.weight", r"conv_layers\.3\.conv\.weight is missing"),
    ):
        torch.save({key: value for key, value in state.items() if key != missing}, path)
        refused(message)
    torch.save(state, path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    refused(r"net\.pt: is truncated or corrupted.*expected a file of hubert")
    path.write_bytes(b"RIFF....WAVE")
    refused(r"neither a safetensors nor a torch file")
    torch.jit.save(torch.jit.script(nn.Linear(1, 1)), path)
    refused(r"TorchScript program")
