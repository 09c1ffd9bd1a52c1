"""Pitch networks that come from files: RMVPE, and the extractor that hears mels."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from zoo.core.errors import ShapeError
from zoo.voice.base import VoiceError
from zoo.voice.f0.from_mel import read_pitch_of_mel
from zoo.voice.f0.rmvpe import Rmvpe, decode, mel, read_net
from zoo.voice.f0.rmvpe_net import RmvpeNet, Sizes

GOLDEN = Path(__file__).parents[1] / "golden/voice/pitch_extractor_24k"
SMALL = Sizes(blocks=2, levels=3, middle=2, channels=4, hidden=8, recurrent=2)


@pytest.fixture
def small():
    return RmvpeNet(SMALL).eval()


def test_the_public_network_has_the_public_names():
    with torch.device("meta"):
        state = {key: tuple(tensor.shape) for key, tensor in RmvpeNet(Sizes()).state_dict().items()}
    # of rmvpe.pt: 741 tensors, 181 MB in half precision
    assert len(state) == 741
    assert Sizes.of(state) == Sizes()
    public = {
        "unet.encoder.bn.running_var": (1,),
        "unet.encoder.layers.0.conv.0.conv.0.weight": (16, 1, 3, 3),
        "unet.encoder.layers.0.conv.0.conv.1.bias": (16,),
        "unet.encoder.layers.0.conv.0.shortcut.bias": (16,),
        "unet.encoder.layers.4.conv.3.conv.4.weight": (256,),
        "unet.intermediate.layers.0.conv.0.shortcut.weight": (512, 256, 1, 1),
        "unet.intermediate.layers.3.conv.3.conv.3.weight": (512, 512, 3, 3),
        "unet.decoder.layers.0.conv1.0.weight": (512, 256, 3, 3),
        "unet.decoder.layers.0.conv1.1.weight": (256,),
        "unet.decoder.layers.4.conv2.0.conv.0.weight": (16, 32, 3, 3),
        "cnn.weight": (3, 16, 3, 3),
        "fc.0.gru.weight_ih_l0_reverse": (768, 384),
        "fc.1.weight": (360, 512),
    }
    assert {key: state.get(key) for key in public} == public


@pytest.mark.parametrize("layout", ["bare", "model", "safetensors"])
def test_files_of_every_layout_are_read(small, tmp_path, layout):
    # one half carries filters that it never calls, one is in half precision
    state = small.state_dict()
    path = tmp_path / "rmvpe.pt"
    if layout == "bare":
        torch.save(
            {key: tensor.half() if tensor.is_floating_point() else tensor for key, tensor in state.items()}, path
        )
    elif layout == "model":
        torch.save({"model": {**state, "unet.tf.layers.0.conv.0.weight": torch.zeros(4, 4, 3, 3)}}, path)
    else:
        save_file(state, path)
    net = read_net(path)
    assert net.sizes == SMALL
    x = torch.randn(1, 128, 16)
    # half precision keeps three digits of a weight
    torch.testing.assert_close(net(x), small(x), atol=1e-3 if layout == "bare" else 0, rtol=0)


def test_a_network_that_hears_its_classes_gives_their_pitch(small, tmp_path):
    """The likelihoods are what a bias says: the whole way from a file to frames, with a known answer."""
    with torch.no_grad():
        small.fc[1].weight.zero_()
        small.fc[1].bias.fill_(-20.0)
        small.fc[1].bias[[130, 131]] = 2.0
    path = tmp_path / "model.pt"
    torch.save({"model": small.state_dict()}, path)
    method = Rmvpe(checkpoint=str(path))
    wanted = 10 * 2 ** ((20 * 130.5 + 1997.3794084376191) / 1200)
    for samples in (1, 3, 4001, 44100):
        wav = torch.rand(samples, generator=torch.Generator().manual_seed(0)) - 0.5
        frames = samples // 512 + 1
        found = method(wav, 44100, hop=512, frames=frames)
        assert found.tolist() == pytest.approx([wanted] * frames, rel=1e-6)
    assert not method(torch.zeros(4000), 44100, hop=512, frames=9).any()
    assert not Rmvpe(checkpoint=str(path), f0_max=100.0)(torch.ones(4000), 44100, hop=512, frames=7).any()
    assert not Rmvpe(checkpoint=str(path), threshold=0.9)(torch.ones(4000), 44100, hop=512, frames=7).any()


def test_likelihoods_are_averaged_around_the_best():
    likely = torch.zeros(4, 360)
    likely[0, 100] = 0.5
    likely[1, [0, 1]] = torch.tensor([0.5, 0.25])
    likely[2, 359] = 0.02  # below the threshold
    likely[3, [200, 204, 205]] = torch.tensor([0.5, 0.5, 0.4])  # the last one lies too far away
    cents = [2000, 20 / 3, None, 4040]
    wanted = [0 if c is None else 10 * 2 ** ((c + 1997.3794084376191) / 1200) for c in cents]
    assert decode(likely, 0.03).tolist() == pytest.approx(wanted, rel=1e-6)


def test_the_mel_of_rmvpe_is_librosas():
    librosa = pytest.importorskip("librosa")
    wav = torch.rand(4000, generator=torch.Generator().manual_seed(0)) - 0.5
    basis = librosa.filters.mel(sr=16000, n_fft=1024, n_mels=128, fmin=30, fmax=8000, htk=True)
    size = abs(librosa.stft(wav.numpy(), n_fft=1024, hop_length=160, pad_mode="reflect"))
    wanted = torch.from_numpy((basis @ size).clip(1e-5)).log()
    # reordered float32 sums
    torch.testing.assert_close(mel(wav, 128), wanted, atol=1e-4, rtol=0)


def test_other_files_are_refused(small, tmp_path):
    method = Rmvpe(checkpoint=str(tmp_path / "none.pt"))
    with pytest.raises(VoiceError, match=r"none\.pt: no such file.*expected a file of RMVPE"):
        method(torch.ones(100), 16000, hop=160, frames=1)
    with pytest.raises(VoiceError, match=r"is not a file of RMVPE.*unet\.encoder\.bn\.weight is missing"):
        read_net(GOLDEN / "checkpoint.ckpt")
    state = small.state_dict()
    state["cnn.bias"] = torch.zeros(5)
    del state["fc.1.bias"]
    torch.save(state, tmp_path / "odd.pt")
    with pytest.raises(VoiceError, match=r"fc\.1\.bias is missing; cnn\.bias is \(5,\), not \(3,\)"):
        read_net(tmp_path / "odd.pt")
    del state["cnn.weight"]
    torch.save(state, tmp_path / "odd.pt")
    with pytest.raises(VoiceError, match=r"cnn\.weight is missing"):
        read_net(tmp_path / "odd.pt")


@torch.no_grad()
def test_pitch_of_mels_is_that_of_diff_svc():
    recorded = load_file(GOLDEN / "io.safetensors")
    net = read_pitch_of_mel(GOLDEN / "checkpoint.ckpt")
    mels = recorded["mel"].transpose(1, 2)
    # of the largest value, as for all single forwards
    torch.testing.assert_close(net.predict(mels), recorded["pitch_pred"], atol=1e-4, rtol=0)
    torch.testing.assert_close(net(mels), recorded["f0_denorm_pred"], atol=0, rtol=1e-4)
    assert (recorded["f0_denorm_pred"] == 0).sum() == 4  # frames that are padding

    hidden = read_pitch_of_mel(GOLDEN / "checkpoint.ckpt", use_uv=True)(mels)
    unvoiced = (recorded["pitch_pred"][..., 1] > 0) | (recorded["f0_denorm_pred"] == 0)
    assert torch.equal(hidden == 0, unvoiced)
    assert torch.equal(hidden[~unvoiced], net(mels)[~unvoiced])


def test_the_extractor_refuses_other_mels_and_files(small, tmp_path):
    net = read_pitch_of_mel(GOLDEN / "checkpoint.ckpt")
    with pytest.raises(ShapeError, match=r"\(B, 80, T\), got \(1, 30, 80\)"):
        net(torch.zeros(1, 30, 80))
    torch.save(small.state_dict(), tmp_path / "rmvpe.pt")
    with pytest.raises(VoiceError, match=r"is not diff-svc's pitch extractor.*mel_prenet"):
        read_pitch_of_mel(tmp_path / "rmvpe.pt")
