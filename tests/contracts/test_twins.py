"""A network and its twin for inference: the same numbers, and nothing of the network touched."""

import copy

import pytest
import torch
from parts import start, tiny_model
from torch import nn
from torch.nn.utils import parametrizations

import registry
import zoo
from zoo.kernels import AUTO_BAR, KernelError, Watched, ready, twin, winograd
from zoo.kernels.convolutions import FrameConv, FrameLinear, PixelLinear
from zoo.kernels.winograd import WinogradConv1d, WinogradConv2d
from zoo.layers.edm import FourierEmbedding

CPU = torch.device("cpu")
WITH_WEIGHTS = [name for name in registry.denoisers.names() if list(tiny_model(name).parameters())]


@pytest.fixture(scope="module", params=WITH_WEIGHTS)
def model(request):
    return tiny_model(request.param)


@torch.no_grad()
def test_computes_the_same(model):
    x, t = start(model, 3, torch.float32), torch.tensor([3.0, 500.5, 998.0])
    plain = model.denoiser(x, t)
    # sums of other products, in float32
    error = (twin(model.denoiser, torch.float32)(x, t) - plain).abs().max()
    assert error <= 1e-5 * plain.abs().max()


@torch.no_grad()
def test_leaves_the_network_alone(model):
    before = copy.deepcopy(model.denoiser.state_dict())
    owners = {name: id(weight) for name, weight in model.denoiser.named_parameters()}
    kinds = [type(module) for module in model.denoiser.modules()]
    for dtype in (torch.float32, torch.bfloat16):
        twin(model.denoiser, dtype)(start(model, 2, dtype), torch.tensor([3.0, 998.0]))
    assert {name: id(weight) for name, weight in model.denoiser.named_parameters()} == owners
    assert [type(module) for module in model.denoiser.modules()] == kinds
    after = model.denoiser.state_dict()
    assert all(torch.equal(weight, after[name]) for name, weight in before.items())


@torch.no_grad()
def test_computes_in_bfloat16(model):
    x, t = start(model, 3, torch.float32), torch.tensor([3.0, 500.5, 998.0])
    plain = model.denoiser(x, t)
    rounded = twin(model.denoiser, torch.bfloat16)(x.bfloat16(), t)
    assert rounded.dtype == torch.bfloat16
    # 8 bits, through a dozen layers
    assert (rounded.float() - plain).abs().max() <= 0.2 * plain.abs().max()


@torch.no_grad()
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("height", "width"), [(16, 16), (15, 9), (1, 40), (33, 2)])
@pytest.mark.parametrize("passes", [2**30, 1])
def test_a_plane_by_fewer_products(monkeypatch, bias, height, width, passes):
    monkeypatch.setattr(winograd, "PASS_BYTES", passes)
    conv = nn.Conv2d(128, 160, 3, padding=1, bias=bias)
    fast = twin(nn.Sequential(conv), torch.float32)
    assert isinstance(fast[0], WinogradConv2d)
    x = torch.randn(5, 128, height, width)
    monkeypatch.setattr(winograd, "LEAST", 0)
    # float32, 1152 products a sum
    torch.testing.assert_close(fast(x), conv(x), rtol=0, atol=1e-5)
    assert fast[0].scratch._kept


@torch.no_grad()
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("dilation", [1, 2, 4, 8])
@pytest.mark.parametrize("frames", [1, 31, 64, 100])
def test_a_line_by_fewer_products(bias, dilation, frames):
    conv = nn.Conv1d(24, 40, 3, padding=dilation, dilation=dilation, bias=bias)
    fast = twin(nn.Sequential(conv), torch.float32)
    assert isinstance(fast[0], WinogradConv1d)
    x = torch.randn(2, 24, frames)
    torch.testing.assert_close(fast(x), conv(x), rtol=0, atol=1e-5)
    torch.testing.assert_close(fast(x.mT.contiguous().mT), conv(x), rtol=0, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("kernel", [1, 3, 5])
def test_a_line_as_one_product(kernel):
    conv = nn.Conv1d(24, 40, kernel, padding=2 * (kernel // 2), dilation=2).bfloat16()
    fast = twin(nn.Sequential(conv), torch.bfloat16)
    assert isinstance(fast[0], FrameLinear if kernel == 1 else FrameConv)
    x = torch.randn(2, 24, 33).bfloat16()
    torch.testing.assert_close(fast(x), conv(x), rtol=0.02, atol=0.02)


@torch.no_grad()
def test_only_what_is_plain_is_exchanged():
    layers = [
        nn.Conv2d(128, 128, 3, padding=1, groups=2),
        nn.Conv2d(128, 128, 3, padding=1, padding_mode="circular"),
        nn.Conv2d(128, 128, 3, stride=2, padding=1),
        nn.Conv2d(128, 128, 3, padding="same"),
        nn.Conv2d(8, 8, 3, padding=1),
        nn.ConvTranspose2d(128, 128, 3),
    ]
    net = nn.Sequential(*layers, nn.Conv2d(128, 8, 1))
    fast = twin(net, torch.float32)
    assert not any(isinstance(layer, WinogradConv2d) for layer in fast)
    assert isinstance(fast[-1], PixelLinear)
    assert fast[0] is layers[0]


def test_gradients_go_through_a_twin():
    """A guidance may ask for them in the middle of a walk."""
    net = nn.Sequential(nn.Conv1d(4, 8, 3, padding=1), nn.Conv1d(8, 4, 1))
    x = torch.randn(2, 4, 20, requires_grad=True)
    (plain,) = torch.autograd.grad(net(x).square().sum(), x)
    (fast,) = torch.autograd.grad(twin(net, torch.float32)(x).square().sum(), x)
    torch.testing.assert_close(fast, plain, rtol=0, atol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_parametrized_layers_have_twins(dtype):
    net = nn.Sequential(parametrizations.weight_norm(nn.Conv1d(8, 8, 3, padding=1)), nn.Conv1d(8, 4, 1))
    x = torch.randn(2, 8, 20)
    bar = {torch.float32: 1e-5, torch.bfloat16: 0.05}[dtype]
    torch.testing.assert_close(twin(net, dtype)(x.to(dtype)).float(), net(x), rtol=0, atol=bar)


class Odd(nn.Module):
    """Holds its layers in a list of its own too, and keeps what it has worked out."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv1d(4, 4, 3, padding=1)
        self.order = [self.first, nn.Tanh()]
        self.kept = {}

    def forward(self, x, t):
        for layer in self.order:
            x = layer(x)
        if "scale" not in self.kept:
            self.kept["scale"] = torch.linspace(0.1, 1.7, x.shape[-1], dtype=x.dtype, device=x.device)
        return x * self.kept["scale"]


@torch.no_grad()
def test_a_network_that_keeps_things_is_not_disturbed():
    net, x, t = Odd(), torch.randn(2, 4, 20), torch.zeros(2)
    rounded = twin(net, torch.bfloat16)(x.bfloat16(), t)
    assert rounded.dtype == torch.bfloat16
    assert net.kept == {}
    plain = net(x, t)
    torch.testing.assert_close(rounded.float(), plain, rtol=0, atol=0.05)
    assert net.kept["scale"].dtype == torch.float32


@torch.no_grad()
def test_weights_in_another_precision_keep_it():
    class Mixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.head = nn.Conv1d(4, 4, 3, padding=1), nn.Linear(20, 20).double()

        def forward(self, x, t):
            return self.head(self.body(x).double()).float()

    net, x, t = Mixed(), torch.randn(2, 4, 20), torch.zeros(2)
    torch.testing.assert_close(ready(net, torch.float32, CPU, "float32", "off")(x, t), net(x, t), rtol=0, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize(
    "layer", [nn.Conv1d(4, 4, 3, padding=1), nn.Conv2d(128, 128, 3, padding=1), nn.Conv2d(4, 4, 1)]
)
def test_a_single_item_without_its_batch(layer):
    x = torch.randn(layer.in_channels, *[16] * (layer.weight.ndim - 2))
    torch.testing.assert_close(twin(nn.Sequential(layer), torch.float32)(x), layer(x), rtol=0, atol=1e-4)


@torch.no_grad()
def test_a_layer_in_two_places_is_exchanged_in_both():
    layer = nn.Linear(4, 4)
    fast = twin(nn.ModuleDict({"a": layer, "b": nn.Sequential(layer)}), torch.bfloat16)
    assert fast["a"] is fast["b"][0]
    assert fast["a"].weight.dtype == torch.bfloat16


@torch.no_grad()
def test_frequencies_are_never_rounded():
    net = nn.Sequential(FourierEmbedding(16), nn.Linear(16, 16))
    fast = twin(net, torch.bfloat16)
    assert fast[0].frequencies.dtype == torch.float32
    assert fast[1].weight.dtype == torch.bfloat16


def asked(factor, dtype=torch.float32):
    net = nn.Linear(4, 4, bias=False)
    nn.init.eye_(net.weight)
    with torch.no_grad():
        net.weight *= factor

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = net

        def forward(self, x, t):
            return self.net(x)

    return ready(Net(), dtype, CPU, "float32", "off")


@torch.no_grad()
@pytest.mark.parametrize(
    ("factor", "given_up"), [(1 + AUTO_BAR / 2, False), (1 + 2 * AUTO_BAR, True), (float("nan"), True)]
)
def test_what_is_too_far_off_is_given_up(factor, given_up):
    watched = Watched(asked(factor), asked(1.0))
    x, t = torch.randn(2, 4), torch.zeros(2)
    # compared answers are the exact ones, and so is everything after giving up
    torch.testing.assert_close(watched(x, t), x, rtol=0, atol=0)
    assert watched.given_up == given_up
    for _ in range(5):
        torch.testing.assert_close(watched(x, t), x, rtol=AUTO_BAR, atol=0)


def test_unknown_words_are_refused():
    model = tiny_model("unet")
    with pytest.raises(KernelError, match=r"precision: expected float32, bf16, auto, got 'fp8'"):
        zoo.sample(model, steps=1, precision="fp8")
    with pytest.raises(KernelError, match="compile: expected off, step, graph, got 'jit'"):
        zoo.sample(model, steps=1, compile="jit")
    with pytest.raises(KernelError, match="a graph needs a CUDA device"):
        zoo.sample(model, steps=1, compile="graph")
    with pytest.raises(KernelError, match="without weights"):
        zoo.sample(zoo.Diffusion.wrap(lambda x, t: x, shape=(2,)), steps=1, precision="bf16")


def test_a_config_says_how_its_model_is_asked():
    tree = dict(tiny_model("unet").config)
    model = zoo.build({**tree, "sampling": {**tree["sampling"], "precision": "bf16"}})
    model.load_state_dict(tiny_model("unet").state_dict())
    x_T = start(model, 2, torch.float32)
    own, exact = zoo.sample(model.eval(), x_T=x_T, steps=3), zoo.sample(model, x_T=x_T, steps=3, precision="float32")
    assert not torch.equal(own, exact)
    assert torch.equal(own, zoo.sample(model, x_T=x_T, steps=3, precision="bf16"))


def test_auto_stays_within_its_promise():
    model = tiny_model("diffnet")
    x_T = start(model, 2, torch.float32)
    exact, auto = (zoo.sample(model, x_T=x_T, steps=5, precision=precision) for precision in ("float32", "auto"))
    assert (exact - auto).abs().max() <= 1e-3 * exact.abs().max()


cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


@cuda
@torch.no_grad()
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_a_gpu_computes_the_same(model, dtype):
    x, t = start(model, 3, torch.float32), torch.tensor([3.0, 500.5, 998.0])
    plain = model.denoiser(x, t)
    there = copy.deepcopy(model.denoiser).cuda()
    out = twin(there, dtype)(x.cuda().to(dtype), t.cuda()).float().cpu()
    # 23, 7 and 10 bits, through a dozen layers
    bar = {torch.float32: 1e-4, torch.bfloat16: 0.2, torch.float16: 0.02}[dtype]
    assert (out - plain).abs().max() <= bar * plain.abs().max()


@cuda
@pytest.mark.parametrize(
    ("precision", "compile", "bar"),
    [("float32", "graph", 1e-4), ("auto", "off", 1e-3), ("auto", "graph", 1e-3), ("bf16", "graph", 0.2)],
)
def test_a_walk_on_a_gpu_is_the_same(model, precision, compile, bar):
    x_T = start(model, 2, torch.float32)
    exact = zoo.sample(model, x_T=x_T, steps=5)
    there = copy.deepcopy(model).cuda()
    for _ in range(2):
        out = zoo.sample(there, x_T=x_T.cuda(), steps=5, precision=precision, compile=compile).cpu()
        assert (out - exact).abs().max() <= bar * exact.abs().max()
