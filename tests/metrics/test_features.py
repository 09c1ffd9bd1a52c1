"""Feature extractors: what they make of pictures, and what they say when they cannot."""

import hashlib
import sys
from types import SimpleNamespace

import pytest
import safetensors.torch
import timm
import torch

from registry import ArgumentError, features
from zoo.metrics import inception

# a hundred thousand weights, made by timm for tests
SMALL = "test_resnet"


def pictures(n=5, channels=3, side=20):
    return torch.rand(n, channels, side, side, generator=torch.Generator().manual_seed(0)) * 2 - 1


class TestPixels:
    def test_small_pictures_stay_as_they_are(self):
        images = pictures(side=4)
        built = features.build("pixels", images=images)
        assert torch.equal(built(images), images.flatten(1))
        assert (built.dimensions, built.facts()["height"]) == (3 * 4 * 4, 4)

    def test_large_ones_are_averaged(self):
        images = pictures(side=8).repeat_interleave(4, 2).repeat_interleave(4, 3)
        built = features.build({"name": "pixels", "side": 8}, images=images)
        rows = built(images).unflatten(1, (3, 8, 8))
        assert rows.shape == (5, 3, 8, 8)
        # the filter reaches half a square into its neighbours, so that a mean of all is what is kept exactly
        assert float(rows.mean()) == pytest.approx(float(images.mean()), abs=0.02)
        assert float((rows - pictures(side=8)).abs().mean()) < 0.3

    def test_the_longer_side_decides(self):
        images = torch.zeros(2, 1, 30, 15)
        assert features.build({"name": "pixels", "side": 10}, images=images)(images).shape == (2, 50)

    def test_needs_a_pixel(self):
        with pytest.raises(ArgumentError, match="at least 1"):
            features.build({"name": "pixels", "side": 0}, images=pictures())


class TestTimm:
    @pytest.fixture
    def network(self):
        torch.manual_seed(0)
        return timm.create_model(SMALL, num_classes=7).eval()

    @pytest.fixture(params=["weights.safetensors", "weights.pth"])
    def weights(self, request, network, tmp_path):
        file = tmp_path / request.param
        save = safetensors.torch.save_file if file.suffix == ".safetensors" else torch.save
        save(network.state_dict(), file)
        return str(file)

    @torch.no_grad()
    def test_gives_what_the_network_says_before_its_head(self, network, weights):
        built = features.build({"name": "timm", "model": SMALL, "weights": weights, "side": 20, "device": "cpu"})
        images = pictures()
        about = network.pretrained_cfg
        mean, std = (torch.tensor(about[key])[:, None, None] for key in ("mean", "std"))
        expected = network.forward_head(network.forward_features(((images + 1) / 2 - mean) / std), pre_logits=True)
        torch.testing.assert_close(built(images), expected)
        assert built.dimensions == expected.shape[1]

    def test_grey_is_taken_as_colour_and_small_as_large(self, weights):
        built = features.build({"name": "timm", "model": SMALL, "weights": weights, "device": "cpu"})
        grey = pictures(channels=1, side=9)
        # batches of another size are summed in another order
        torch.testing.assert_close(built(grey), built(grey.expand(-1, 3, -1, -1)), rtol=1e-4, atol=1e-5)
        assert built.facts()["height"] == timm.data.resolve_model_data_config(built.network)["input_size"][1]

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({}, "need trained weights"),
            ({"weights": "a.pth", "pretrained": True}, "not both"),
            ({"weights": "missing.pth"}, "there is no file missing.pth"),
            ({"model": "resnet-of-nobody", "weights": "a.pth"}, "there is no network 'resnet-of-nobody'"),
        ],
    )
    def test_says_what_is_missing(self, arguments, message):
        with pytest.raises(ArgumentError, match=message):
            features.build({"name": "timm", "model": SMALL, "device": "cpu", **arguments})

    def test_refuses_weights_of_another_network(self, tmp_path):
        safetensors.torch.save_file({"other.weight": torch.zeros(2)}, tmp_path / "other.safetensors")
        with pytest.raises(
            ArgumentError, match=r"another network than test_resnet: it lacks .*; it has besides: other"
        ):
            features.build({"name": "timm", "model": SMALL, "weights": str(tmp_path / "other.safetensors")})

    @pytest.mark.parametrize("name", ["state_dict", "model"])
    def test_takes_weights_out_of_a_training_state(self, network, tmp_path, name):
        plain, wrapped = tmp_path / "plain.pth", tmp_path / "wrapped.pth"
        torch.save(network.state_dict(), plain)
        state = {f"module.{key}": tensor for key, tensor in network.state_dict().items()}
        torch.save({"epoch": 3, name: state}, wrapped)
        built = [features.build({"name": "timm", "model": SMALL, "weights": str(file)}) for file in (plain, wrapped)]
        assert torch.equal(built[0](pictures()), built[1](pictures()))

    def test_weights_from_before_batches_were_counted(self, network, tmp_path):
        torch.save(network.state_dict(), tmp_path / "whole.pth")
        older = {key: one for key, one in network.state_dict().items() if not key.endswith("num_batches_tracked")}
        torch.save(older, tmp_path / "older.pth")
        built = [
            features.build({"name": "timm", "model": SMALL, "weights": str(tmp_path / name)})
            for name in ("whole.pth", "older.pth")
        ]
        assert len(older) < len(network.state_dict())
        assert torch.equal(built[0](pictures()), built[1](pictures()))

    def test_values_that_are_no_tensors(self, network, tmp_path):
        torch.save(dict.fromkeys(network.state_dict(), 1), tmp_path / "a.pth")
        with pytest.raises(ArgumentError, match=r"conv1\.0\.weight is no tensor there"):
            features.build({"name": "timm", "model": SMALL, "weights": str(tmp_path / "a.pth")})

    def test_a_transformer_takes_pictures_of_one_size(self, tmp_path):
        vit = timm.create_model("vit_tiny_patch16_224")
        torch.save(vit.state_dict(), tmp_path / "vit.pth")
        with pytest.raises(ArgumentError, match="takes no pictures of 32 x 32 pixels, set side to another"):
            features.build(
                {"name": "timm", "model": "vit_tiny_patch16_224", "weights": str(tmp_path / "vit.pth"), "side": 32}
            )

    def test_says_which_weights_they_were(self, weights):
        origin = features.build({"name": "timm", "model": SMALL, "weights": weights, "device": "cpu"}).origin()
        with open(weights, "rb") as content:
            digest = hashlib.sha256(content.read()).hexdigest()
        assert origin == {"timm": timm.__version__, "weights_sha256": digest}

    def test_says_which_weight_has_another_shape(self, tmp_path):
        grey = timm.create_model(SMALL, in_chans=1)
        torch.save(grey.state_dict(), tmp_path / "grey.pth")
        with pytest.raises(ArgumentError, match=r"conv1\.0\.weight is \(\d+, 1, 3, 3\) there and \(\d+, 3, 3, 3\) in"):
            features.build({"name": "timm", "model": SMALL, "weights": str(tmp_path / "grey.pth")})

    def test_says_what_cannot_be_read(self, network, tmp_path):
        (tmp_path / "junk.pth").write_bytes(b"hello" * 100)
        torch.save(network, tmp_path / "whole.pth")
        torch.save([1], tmp_path / "list.pth")
        torch.save({0: torch.zeros(2)}, tmp_path / "numbered.pth")
        for name in ("junk", "whole", "list", "numbered"):
            with pytest.raises(ArgumentError, match=f"{name}.pth cannot be read as weights: expected"):
                features.build({"name": "timm", "model": SMALL, "weights": str(tmp_path / f"{name}.pth")})

    def test_says_that_pictures_are_too_small(self, weights):
        with pytest.raises(ArgumentError, match="takes no pictures of 0 x 0 pixels, set side to another"):
            features.build({"name": "timm", "model": SMALL, "weights": weights, "side": 0, "device": "cpu"})

    def test_says_that_nothing_can_be_fetched(self, monkeypatch):
        def offline(*_, **__):
            raise OSError("no network")

        monkeypatch.setattr(timm, "create_model", offline)
        with pytest.raises(ArgumentError, match="set weights to a file of them: no network"):
            features.build({"name": "timm", "model": SMALL, "pretrained": True, "device": "cpu"})


class TestInception:
    def test_says_how_to_get_the_package(self, monkeypatch, tmp_path):
        monkeypatch.setitem(sys.modules, "torch_fidelity.feature_extractor_inceptionv3", None)
        with pytest.raises(ArgumentError, match=r"pip install 'diffusion-zoo\[fid\]'"):
            features.build({"name": "inception", "weights": "any.pth"})

    def test_takes_no_other_weights(self, tmp_path):
        pytest.importorskip("torch_fidelity", reason="it comes with the extra 'fid'")
        with pytest.raises(ArgumentError, match="there is no file"):
            features.build({"name": "inception", "weights": str(tmp_path / "none.pth")})
        (tmp_path / "other.pth").write_bytes(b"other")
        with pytest.raises(ArgumentError, match="in other weights there is no FID"):
            features.build({"name": "inception", "weights": str(tmp_path / "other.pth")})

    def test_unpickles_nothing(self, monkeypatch, tmp_path):
        class Fidelity:
            def FeatureExtractorInceptionV3(self, *_, **__):
                raise AssertionError("it would have unpickled the file")

        class Evil:
            def __reduce__(self):
                return (tmp_path.joinpath("ran").touch, ())

        monkeypatch.setitem(sys.modules, "torch_fidelity", SimpleNamespace())
        monkeypatch.setitem(sys.modules, "torch_fidelity.feature_extractor_inceptionv3", Fidelity())
        torch.save({"weight": Evil()}, tmp_path / "evil.pth")
        digest = hashlib.sha256((tmp_path / "evil.pth").read_bytes()).hexdigest()
        # a file with the same eight digits is a matter of minutes
        monkeypatch.setattr(inception, "_SHA256", digest[:8])
        with pytest.raises(ArgumentError, match=r"evil\.pth cannot be read as weights"):
            features.build({"name": "inception", "weights": str(tmp_path / "evil.pth"), "device": "cpu"})
        assert not (tmp_path / "ran").exists()

    @pytest.mark.slow
    def test_asks_the_network_for_bytes(self, monkeypatch, tmp_path):
        module = pytest.importorskip("torch_fidelity.feature_extractor_inceptionv3", reason="the extra 'fid'")
        # the structure of the true network, with weights that cost no download
        monkeypatch.setattr(module, "load_state_dict_from_url", lambda *_, **__: None)
        load = torch.nn.Module.load_state_dict
        monkeypatch.setattr(torch.nn.Module, "load_state_dict", lambda self, state: state and load(self, state))
        network = module.FeatureExtractorInceptionV3("any", ["2048"])
        torch.save(network.state_dict(), tmp_path / "weights.pth")
        digest = hashlib.sha256((tmp_path / "weights.pth").read_bytes()).hexdigest()
        monkeypatch.setattr(inception, "_SHA256", digest[:8])
        built = features.build({"name": "inception", "weights": str(tmp_path / "weights.pth"), "device": "cpu"})
        images = pictures(2, channels=1)
        pixels = ((images + 1) * 127.5).round().byte().expand(-1, 3, -1, -1)
        torch.testing.assert_close(built(images), network(pixels)[0])
        assert built(images).shape == (2, built.dimensions)
