"""ADM's classifier: its sizes, pools, files, and what it refuses. The whole is a recorded run."""

import pytest
import torch
from torch.nn import functional as F

import zoo
from zoo.checkpoint import CheckpointError
from zoo.classifiers.adm import ADMClassifier
from zoo.core.classifier import Classifier
from zoo.core.errors import ArgumentValueError, ShapeError
from zoo.factory import assemble
from zoo.guidance.classifier import Classifier as Guidance
from zoo.loading import load_model

POOLS = ["attention", "adaptive", "spatial", "spatial-norm"]


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


def tiny(**arguments):
    """A small network whose weights all matter: fresh ones end in zeros."""
    net = ADMClassifier(**{**ADMClassifier.TINY, **arguments}).eval()
    with torch.no_grad():
        for weight in net.parameters():
            weight.add_(0.3 * torch.randn(weight.shape) / weight[0].numel() ** 0.5 if weight.ndim > 1 else 0.1)
    return net


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("adm-classifier-64", 65_438_568),
        ("adm-classifier-128", 42_568_040),
        ("adm-classifier-256", 54_096_360),
        ("adm-classifier-512", 54_448_360),
    ],
)
def test_published_sizes(name, parameters):
    """Those of the released files, 65.4 M, 42.6 M, 54.1 M and 54.4 M."""
    classifier = zoo.build(name, device="meta")
    assert sum(parameter.numel() for parameter in classifier.parameters()) == parameters


@pytest.mark.parametrize("pool", POOLS)
def test_learns_through_every_weight(pool):
    net = tiny(pool=pool).train()
    logits = net(torch.randn(4, 3, 8, 8), torch.tensor([0, 10, 500, 999]))
    assert logits.shape == (4, 3)
    F.cross_entropy(logits, torch.tensor([0, 1, 2, 0])).backward()
    idle = [name for name, parameter in net.named_parameters() if parameter.grad is None or not parameter.grad.any()]
    # a bias of all keys alike moves no softmax: its gradient is rounding, or exactly nothing
    assert {name for name in idle if not name.endswith("k.bias")} == set()


@torch.no_grad()
@pytest.mark.parametrize("pool", POOLS)
def test_every_row_has_its_own_time(pool):
    net = tiny(pool=pool).double()
    x, t = torch.randn(1, 3, 8, 8).double().expand(2, -1, -1, -1), torch.tensor([3.0, 900.0])
    both = net(x, t)
    assert not torch.allclose(both[0], both[1])
    # sums are reordered by the batch size
    torch.testing.assert_close(both[1:], net(x[1:], t[1:]), rtol=0, atol=1e-10)
    assert torch.equal(net(x, torch.tensor(3.0))[0], net(x, torch.tensor([3.0, 3.0]))[0])


@torch.no_grad()
@pytest.mark.parametrize("pool", POOLS[1:])
@pytest.mark.parametrize("resample", ["conv", "residual", "plain"])
@pytest.mark.parametrize("size", [(8, 8), (7, 13), (16, 4)])
def test_pools_of_means_take_any_size(pool, resample, size):
    assert tiny(pool=pool, resample=resample)(torch.randn(1, 3, *size), torch.tensor(5)).isfinite().all()


def test_the_attention_pool_knows_one_size():
    with pytest.raises(ShapeError, match=r"built for a map of 16 positions, got 64: .* take pool: adaptive"):
        tiny()(torch.zeros(1, 3, 16, 16), torch.zeros(1))
    with pytest.raises(ShapeError, match=r"ADMClassifier expects x of shape \(B, 3, H, W\)"):
        tiny()(torch.zeros(1, 1, 8, 8), torch.zeros(1))


@pytest.mark.parametrize("arguments", [{"pool": pool} for pool in POOLS] + [{"resample": "conv"}, {"heads": 2}])
def test_sections_own_every_parameter(arguments):
    net = tiny(**arguments)
    net.shape = (3, 8, 8)
    table = zoo.describe(net)
    assert table.total.parameters == sum(weight.numel() for weight in net.parameters())
    assert "rest" not in {row.name for row in table.rows}
    assert table.total.blocks == sum("temb_proj.weight" in name for name, _ in net.named_parameters())


@torch.no_grad()
def test_survives_a_file(tmp_path):
    built = zoo.build("tiny-adm-classifier")
    assert isinstance(built, Classifier)
    with torch.no_grad():
        for weight in built.parameters():
            weight.add_(0.1 * torch.randn(weight.shape))
    zoo.save(built, tmp_path / "classifier.safetensors")
    again = zoo.load(tmp_path / "classifier.safetensors")
    assert not again.training
    assert again.config == built.config
    assert again.shape == (3, 16, 16)
    x, t = torch.randn(2, 3, 16, 16), torch.tensor([4.0, 400.0])
    assert torch.equal(again(x, t), built.eval()(x, t))


def test_the_config_of_a_classifier_is_no_models(tmp_path):
    tree = zoo.config.resolve("tiny-adm-classifier")
    assert "schedule" not in tree
    assert zoo.config.check({**tree, "sampler": "ddim"})[0].path == "sampler"
    with pytest.raises(
        ArgumentValueError, match=r"this is a classifier, not a model that makes samples; it guides one"
    ):
        assemble(tree)
    zoo.save(zoo.build(tree), tmp_path / "classifier.safetensors")
    with pytest.raises(CheckpointError, match=r"classifier\.safetensors: this is a classifier, not a model"):
        load_model(tmp_path / "classifier.safetensors")


@torch.no_grad()
def test_guides_a_model():
    """The gradient of the classifier reaches the samples."""
    model, classifier = zoo.build("tiny-adm"), tiny(resolution=16, attention_resolutions=(8,))
    guided, plain = (
        zoo.sample(model, 2, labels=[0, 1], seed=1, guidance=guidance)
        for guidance in ([Guidance(model=classifier, scale=3.0)], [])
    )
    assert not torch.equal(guided, plain)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"head_channels": 5}, "head_channels = 5 does not divide the 16 channels of level 1; nearest: 4 or 8"),
        ({"classes": 0}, "classes must be at least 1, got 0"),
        ({"attention_resolutions": (16,)}, "attention_resolutions: no level is at 16"),
    ],
)
def test_what_cannot_be_built(arguments, message):
    with pytest.raises(ArgumentValueError) as caught, torch.device("meta"):
        ADMClassifier(**{**ADMClassifier.TINY, **arguments})
    assert message in str(caught.value)
