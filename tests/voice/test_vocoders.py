"""HiFi-GAN and its relatives: recorded numbers, layouts of files, blocks, and files that cannot be used."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from registry import vocoders
from zoo.core.errors import ArgumentValueError, ShapeError
from zoo.voice.base import LN_OF_10, VoiceError
from zoo.voice.mel import HifiGanMel, NsfHifiGanMel
from zoo.voice.vocoders import load
from zoo.voice.vocoders.generator import Generator
from zoo.voice.vocoders.hifigan import HifiGan, NsfHifiGan

GOLDEN = Path(__file__).parents[1] / "golden" / "voice"
PLAIN, NSF, MINI = (
    GOLDEN / "hifigan_jik876_v1like" / "generator.ckpt",
    GOLDEN / "nsfhifigan_dsvc_44k_resblock2" / "model",
    GOLDEN / "pc_nsfhifigan_mini" / "model.ckpt",
)
CASES = (PLAIN, PLAIN.with_name("generator_no_weight_norm.safetensors"), NSF, MINI)


def recorded(path):
    return load_file(path.parent / "io.safetensors")


def inputs(path, frames=None):
    """The recorded mel and pitch, repeated to so many frames."""
    io = recorded(path)
    mel, f0 = io.get("mel_ln", io.get("mel")), io.get("f0")
    if frames is not None:
        many = -(-frames // mel.shape[-1])
        mel = mel.repeat(1, 1, many)[..., :frames]
        f0 = None if f0 is None else f0.repeat(1, many)[:, :frames]
    return mel, f0


def assert_near(ours, theirs, tolerance=1e-5):
    """Of the largest value: what reordered float32 sums do, and the published source's sum of phases in float32."""
    torch.testing.assert_close(ours, theirs, rtol=0, atol=tolerance * float(theirs.abs().max()))


def copied(path, folder, change=None, config=None):
    """A case elsewhere, with changed weights or a changed config."""
    folder.mkdir(exist_ok=True)
    state = torch.load(path, weights_only=True)["generator"]
    state = state if change is None else change(state)
    torch.save({"generator": state}, folder / "model")
    tree = json.loads((path.parent / "config.json").read_text()) | (config or {})
    (folder / "config.json").write_text(json.dumps({key: value for key, value in tree.items() if value != "gone"}))
    return folder


class TestRecorded:
    @pytest.mark.parametrize("path", CASES, ids=lambda path: f"{path.parent.name}/{path.name}")
    @torch.no_grad()
    def test_equals_the_published_code(self, path):
        io = recorded(path)
        mel, f0 = inputs(path)
        wav = load(path).network(mel, f0, rand_ini=io.get("rand_ini"), source_noise=io.get("source_noise"))
        assert_near(wav, io["wav"])

    @torch.no_grad()
    def test_a_source_without_noise(self):
        io = recorded(NSF)
        assert_near(load(NSF).network(io["mel_ln"], io["f0"]), io["wav_no_noise"])

    @torch.no_grad()
    def test_the_signal_of_the_source(self):
        for path in (NSF, MINI):
            io, network = recorded(path), load(path).network
            ours = network.source(network.track(io["f0"]), rand_ini=io.get("rand_ini"), noise=io.get("source_noise"))
            assert_near(ours, io["har_source"].reshape(ours.shape))

    def test_diff_svc_multiplies_its_log10_mels(self):
        io = recorded(NSF)
        assert_near(io["mel_log10_in"] * LN_OF_10, io["mel_ln"], 1e-6)


class TestSource:
    def network(self, **options):
        return Generator(
            mel_bins=4, channels=8, rates=(4, 4), kernel_sizes=(8, 8), block_kernel_sizes=(3,), block_dilations=((1,),),
            sample_rate=16_000, **options,
        )  # fmt: skip

    @pytest.mark.parametrize("kind", ["harmonics", "sine"])
    def test_the_phase_is_exact_after_an_hour(self, kind):
        """80 Hz at 16 kHz and 16 samples a frame: twelve and a half frames a period, so that every 25 are the same."""
        network = self.network(source=kind)
        pitch = network.track(torch.full((1, 3_600_000), 80.0))
        begin, end = (network.source(pitch.part(at, at + 50)) for at in (0, 3_599_950))
        torch.testing.assert_close(begin, end, rtol=0, atol=1e-5)

    def test_a_gliding_pitch_arrives_where_the_next_frame_begins(self):
        """The steps of the phase grow evenly: none is larger than the pitch of the loudest frame allows."""
        pitch = self.network(source="sine").track(torch.tensor([[100.0, 200.0, 150.0, 150.0]]))
        steps = torch.cat([pitch.samples().flatten(1)[:, :1], (pitch.samples().flatten(1).diff() % 1)], -1)
        hertz = steps * 16_000
        torch.testing.assert_close(hertz[0, ::16], torch.tensor([100.0, 200.0, 150.0, 150.0]), rtol=0, atol=0.1)
        assert hertz.diff().abs().max() < 100 / 16 + 0.1

    def test_noise_stands_for_unvoiced_frames(self):
        network = self.network(source="harmonics")
        noise = torch.randn(1, 32, 9)
        pitch = network.track(torch.tensor([[0.0, 100.0]]))
        with torch.no_grad():
            network.m_source.l_linear.weight.fill_(0.1)
            network.m_source.l_linear.bias.zero_()
            loud, soft = (network.source(pitch, noise=noise) - network.source(pitch))[0, 0].split(16)
        assert loud.std() > 5 * soft.std() > 0

    @pytest.mark.parametrize(
        ("options", "said"),
        [
            ({"kernel_sizes": (8, 7)}, "kernel_sizes: 7 does not go with a rate of 4"),
            ({"channels": 6}, "channels: 6 cannot be halved 2 times"),
            ({"rates": (4, 3), "kernel_sizes": (8, 7), "source": "harmonics"}, "rates: the product"),
            ({"block_kernel_sizes": (4,), "block_dilations": ((1,),)}, "block_kernel_sizes must be odd"),
            ({"block_dilations": ()}, "dilations for each residual block"),
            ({"noise_sigma": -1.0}, "noise_sigma"),
        ],
    )
    def test_sizes_that_make_no_sound_are_refused(self, options, said):
        with pytest.raises(ArgumentValueError, match=said):
            Generator(**{"mel_bins": 4, "channels": 8, "rates": (4, 4), "kernel_sizes": (8, 8)} | options)


class TestBlocks:
    @pytest.mark.parametrize("path", [PLAIN, NSF, MINI], ids=lambda path: path.parent.name)
    @pytest.mark.parametrize("block", [1, 13, 100])
    def test_blocks_are_the_whole(self, path, block):
        vocoder = load(path)
        mel, f0 = inputs(path, 130)
        whole = torch.cat(list(vocoder.stream(mel, f0, block=1000)), -1)
        pieces = list(vocoder.stream(mel, f0, block=block))
        assert len(pieces) == -(-130 // block)
        assert_near(torch.cat(pieces, -1), whole)

    def test_an_overlap_that_is_a_frame_shorter_is_heard(self, monkeypatch):
        vocoder = load(NSF)
        mel, f0 = inputs(NSF, 130)
        whole = vocoder(mel, f0)
        monkeypatch.setattr(Generator, "reach", 1)
        assert (torch.cat(list(vocoder.stream(mel, f0, block=13)), -1) - whole).abs().max() > 1e-2

    def test_noise_behind_the_first_convolution_is_that_of_the_whole(self, tmp_path):
        vocoder = load(copied(MINI, tmp_path, config={"noise_sigma": 0.05}))
        mel, f0 = inputs(MINI, 130)
        whole = torch.cat(list(vocoder.stream(mel, f0, block=1000)), -1)
        assert_near(torch.cat(list(vocoder.stream(mel, f0, block=50)), -1), whole)
        assert (whole - load(MINI)(mel, f0)).abs().max() > 1e-3
        with pytest.raises(ShapeError, match="pre_noise"):
            vocoder.network(mel, f0, pre_noise=torch.zeros(1, 48, 129))

    def test_a_block_of_no_frames_is_refused(self):
        with pytest.raises(ArgumentValueError, match="block"):
            next(load(PLAIN).stream(*inputs(PLAIN), block=0))

    def test_nothing_makes_nothing(self):
        assert load(NSF)(torch.zeros(2, 128, 0), torch.zeros(2, 0)).shape == (2, 0)


class TestCall:
    @pytest.mark.parametrize("path", [PLAIN, NSF, MINI], ids=lambda path: path.parent.name)
    def test_an_item_does_not_depend_on_those_beside_it(self, path):
        vocoder = load(path)
        mel, f0 = inputs(path)
        mel = torch.cat([mel, mel + 1])
        f0 = None if f0 is None else torch.cat([f0, f0 * 1.1])
        alone = vocoder(mel[-1:], None if f0 is None else f0[-1:], seed=3)
        assert alone.shape == (1, mel.shape[-1] * vocoder.hop)
        assert_near(vocoder(mel, f0, seed=3)[-1:], alone)

    def test_the_seed_moves_the_noise(self):
        vocoder, (mel, f0) = load(NSF), inputs(NSF)
        assert torch.equal(vocoder(mel, f0, seed=1), vocoder(mel, f0, seed=1))
        assert (vocoder(mel, f0, seed=1) - vocoder(mel, f0, seed=2)).abs().max() > 1e-2

    def test_shapes_that_do_not_fit_are_refused(self):
        vocoder, (mel, f0) = load(NSF), inputs(NSF)
        for arguments, said in (
            ((mel[:, :80], f0), r"\(B, 128, T\), got \(2, 80, 24\)"),
            ((mel, f0[:, 1:]), r"f0 of shape \(2, 24\)"),
            ((mel,), "f0 is missing"),
        ):
            with pytest.raises(ShapeError, match=said):
                vocoder(*arguments)
        with pytest.raises(ShapeError, match="source_noise"):
            vocoder.network(mel, f0, source_noise=torch.zeros(2, 24, 9))
        with pytest.raises(ShapeError, match="rand_ini"):
            vocoder.network(mel, f0, rand_ini=torch.zeros(2, 8))

    def test_gradients_reach_the_mel_through_the_network(self):
        mel, f0 = inputs(NSF)
        mel.requires_grad_()
        load(NSF).network(mel, f0).sum().backward()
        assert mel.grad.abs().max() > 0


class TestLayouts:
    def test_weight_norm_is_the_folded_weight(self):
        mel, _ = inputs(PLAIN)
        assert_near(load(CASES[1])(mel), load(PLAIN)(mel))

    @pytest.mark.parametrize("path", [PLAIN, NSF], ids=lambda path: path.parent.name)
    def test_the_names_of_newer_torch(self, path, tmp_path):
        def rename(state):
            new = {"weight_g": "parametrizations.weight.original0", "weight_v": "parametrizations.weight.original1"}
            return {".".join([*key.split(".")[:-1], new.get(key.split(".")[-1], key.split(".")[-1])]): value
                    for key, value in state.items()}  # fmt: skip

        assert torch.equal(load(copied(path, tmp_path, rename))(*inputs(path)), load(path)(*inputs(path)))

    def test_bare_tensors_in_half_precision(self, tmp_path):
        state = torch.load(NSF, weights_only=True)["generator"]
        save_file({key: value.half() for key, value in state.items()}, tmp_path / "vocoder.safetensors")
        shutil.copy(NSF.parent / "config.json", tmp_path)
        vocoder = load(tmp_path)
        assert vocoder.network.conv_pre.weight.dtype == torch.float32
        assert_near(vocoder(*inputs(NSF)), load(NSF)(*inputs(NSF)), 1e-2)

    def test_the_24_khz_vocoder_of_diff_svc(self, tmp_path):
        """Its tensors lie two mappings deep, its config is YAML in words of its own, and it takes log10 mels."""
        state = torch.load(NSF, weights_only=True)["generator"]
        for step in (200, 1000):
            tensors = {"state_dict": {"model_gen": state, "model_disc": {"x": torch.zeros(1)}}, "global_step": step}
            torch.save(tensors, tmp_path / f"model_ckpt_steps_{step}.ckpt")
        (tmp_path / "model_ckpt_steps_200.ckpt").write_text("not the latest")
        config = json.loads((NSF.parent / "config.json").read_text())
        names = {"sampling_rate": "audio_sample_rate", "num_mels": "audio_num_mel_bins"}
        config = {names.get(key, key): value for key, value in config.items()} | {"use_pitch_embed": True}
        (tmp_path / "config.yaml").write_text(json.dumps(config))
        vocoder = load(tmp_path)
        assert (vocoder.name, vocoder.log, vocoder.sample_rate, vocoder.hop) == ("nsf-hifigan", "log10", 44100, 32)
        mel, f0 = inputs(NSF)
        assert_near(vocoder(mel, f0), load(NSF)(mel, f0))
        # it alone was made to be heard without a pitch too
        assert_near(vocoder(mel)[:, None], vocoder.network(mel))

    def test_what_the_others_say_of_themselves(self):
        assert [(v.name, v.log, v.needs_f0, v.sample_rate, v.hop) for v in map(load, (PLAIN, NSF, MINI))] == [
            ("hifigan", "ln", False, 22050, 32),
            ("nsf-hifigan", "ln", True, 44100, 32),
            ("nsf-hifigan", "ln", True, 44100, 32),
        ]


class TestRefused:
    def refusal(self, path, **options):
        with pytest.raises(VoiceError) as error:
            load(path, **options)
        return str(error.value)

    def test_no_such_file(self, tmp_path):
        assert "nowhere: no such file" in self.refusal(tmp_path / "nowhere")
        assert "no weights in this folder" in self.refusal(tmp_path)

    def test_a_text_file(self, tmp_path):
        folder = copied(NSF, tmp_path)
        (folder / "model").write_text("<html>not found</html>")
        assert "neither a safetensors nor a torch file" in self.refusal(folder)

    def test_half_a_file(self, tmp_path):
        folder = copied(NSF, tmp_path)
        (folder / "model").write_bytes((folder / "model").read_bytes()[:5000])
        assert "truncated or corrupted" in self.refusal(folder)

    def test_a_pickle_that_wants_to_run_code(self, tmp_path):
        folder = copied(NSF, tmp_path)
        torch.save({"generator": Generator(channels=32)}, folder / "model")
        assert "wants to run" in self.refusal(folder)

    def test_no_config(self, tmp_path):
        folder = copied(NSF, tmp_path)
        (folder / "config.json").unlink()
        assert "no config.json or config.yaml beside it" in self.refusal(folder)

    def test_a_config_that_is_none(self, tmp_path):
        folder = copied(NSF, tmp_path)
        (folder / "config.json").write_text("{")
        assert "no config of plain values" in self.refusal(folder)

    def test_several_files_that_could_be_meant(self):
        assert "generator.ckpt, generator_no_weight_norm.safetensors; name one" in self.refusal(PLAIN.parent)

    @pytest.mark.parametrize(
        ("config", "said"),
        [
            ({"num_mels": 80}, "num_mels is 80 in the config, the weights say 128"),
            ({"upsample_initial_channel": 512}, "upsample_initial_channel is 512 in the config, the weights say 48"),
            ({"upsample_kernel_sizes": [8, 4, 4]}, "upsample_kernel_sizes"),
            ({"upsample_rates": [4, 8]}, "upsample_rates .* the weights have 3 stages"),
            ({"upsample_rates": [2, 4, 4]}, "upsample_rates .*noise_convs.0"),
            ({"upsample_rates": "fast"}, "upsample_rates: expected"),
            ({"resblock": 1}, "resblock is '1' in the config, the weights say '2'"),
            ({"resblock_kernel_sizes": [3, 11]}, "resblock_kernel_sizes"),
            ({"resblock_dilation_sizes": [[1, 3, 5], [1, 3, 5]]}, "resblock_dilation_sizes"),
            ({"mini_nsf": True}, "mini_nsf is True in the config"),
            ({"sampling_rate": "gone"}, "sampling_rate is missing in the config"),
            ({"resblock_dilation_sizes": "gone"}, "resblock_dilation_sizes is missing in the config"),
        ],
        ids=str,
    )
    def test_a_config_of_other_weights(self, tmp_path, config, said):
        with pytest.raises(VoiceError, match=said):
            load(copied(NSF, tmp_path, config=config))

    def test_every_field_is_named_at_once(self, tmp_path):
        said = self.refusal(copied(NSF, tmp_path, config={"num_mels": 80, "resblock": "1"}))
        assert "num_mels" in said
        assert "resblock" in said

    @pytest.mark.parametrize(
        ("key", "said"),
        [
            ("conv_post.bias", "conv_post.bias: missing"),
            ("ups.1.weight_g", "ups.1 has weight_v alone"),
            ("resblocks.3.convs.1.weight_v", "resblocks.3.convs.1 has weight_g alone"),
            ("noise_convs.2.weight", "noise_convs.2.weight: missing"),
        ],
    )
    def test_missing_tensors(self, tmp_path, key, said):
        assert said in self.refusal(copied(NSF, tmp_path, lambda state: {k: v for k, v in state.items() if k != key}))

    def test_tensors_that_nobody_asked_for(self, tmp_path):
        said = self.refusal(copied(NSF, tmp_path, lambda state: state | {"extra.weight": torch.zeros(1)}))
        assert "extra.weight: not a part of this generator" in said

    def test_no_generator(self, tmp_path):
        assert "holds no generator" in self.refusal(copied(NSF, tmp_path, lambda _: {"weight": torch.zeros(1)}))

    def test_the_mel_of_another_model(self):
        said = self.refusal(PLAIN, mel=HifiGanMel())
        assert "hop: 32 in the vocoder, 256 in the mel of the model" in said
        mel = NsfHifiGanMel(hop=32, fmin=20.0)
        assert "fmin: 40 in the vocoder, 20 in the mel of the model" in self.refusal(NSF, mel=mel)
        assert load(NSF, mel=NsfHifiGanMel(hop=32)).sample_rate == 44100


class TestRegistered:
    @pytest.mark.parametrize("name", ["hifigan", "nsf-hifigan"])
    def test_without_weights_it_says_what_to_do(self, name):
        vocoder = vocoders.build(name, mel=HifiGanMel())
        with pytest.raises(VoiceError, match=f"{name!r} needs weights: weights=PATH"):
            vocoder(torch.zeros(1, 80, 4), torch.zeros(1, 4))

    def test_weights_are_read_when_they_are_needed(self, tmp_path):
        vocoder = vocoders.build({"name": "nsf-hifigan", "weights": str(tmp_path / "later")})
        shutil.copytree(NSF.parent, tmp_path / "later")
        assert torch.equal(vocoder(*inputs(NSF)), load(NSF)(*inputs(NSF)))

    def test_another_kind_is_refused_by_its_name(self):
        with pytest.raises(VoiceError, match="without a source of pitch: that is the vocoder 'hifigan'"):
            NsfHifiGan(weights=str(PLAIN))(*inputs(PLAIN))
        with pytest.raises(VoiceError, match="that is the vocoder 'nsf-hifigan', not 'hifigan'"):
            HifiGan(weights=str(NSF))(*inputs(NSF))

    @pytest.mark.parametrize("name", vocoders.names())
    def test_every_vocoder_is_built_from_a_mel(self, name):
        """Nothing is read, and what the list says of it is true."""
        vocoder = vocoders.build(name, mel=NsfHifiGanMel())
        facts = vocoders.entry(name).facts
        assert vocoder.needs_f0 == (facts["f0"] == "needed")
        assert vocoder.to("cpu") is vocoder
