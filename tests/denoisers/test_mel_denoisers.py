"""What all networks of mel frames promise."""

import pytest
import torch

from registry import denoisers
from zoo.core.errors import ArgumentValueError, ShapeError

NAMES = [name for name in denoisers.names() if denoisers.entry(name).facts.get("data") == "mel"]


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


@pytest.fixture(params=NAMES)
def net(request):
    return tiny(request.param)


def tiny(name, **arguments):
    """The smallest network, with no parameter left at zero."""
    family = denoisers.get(name)
    net = family(**{**family.TINY, **arguments}).double().eval()
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    return net


def batch(net, frames=12, rows=3):
    bins, width = net.frames.mel_bins, net.frames.cond_channels
    x = torch.randn(rows, bins, frames, dtype=torch.float64)
    return x, torch.tensor([2.0, 500.5, 999.0])[:rows], torch.randn(rows, width, frames, dtype=torch.float64)


def test_the_families_are_found():
    assert {"diffnet", "fft-denoiser", "lynxnet", "lynxnet2"} <= set(NAMES)


@torch.no_grad()
@pytest.mark.parametrize("filling", [0.0, 3.0, float("nan")])
def test_each_item_of_a_ragged_batch_has_the_value_it_has_alone(net, filling):
    x, t, cond = batch(net)
    lengths = torch.tensor([12, 1, 7])
    past = torch.arange(12) >= lengths[:, None, None]
    together = net(x.masked_fill(past, filling), t, cond=cond.masked_fill(past, filling), lengths=lengths)
    for i, length in enumerate(lengths.tolist()):
        row = slice(i, i + 1)
        alone = net(x[row, :, :length], t[row], cond=cond[row, :, :length])
        # float64 sums in another order
        torch.testing.assert_close(together[row, :, :length], alone, rtol=1e-11, atol=1e-11)
        assert not together[i, :, length:].any()


@torch.no_grad()
def test_padding_counts_as_mel_unless_told(net):
    x, t, cond = batch(net)
    lengths = torch.tensor([12, 12, 7])
    plain, told = net(x, t, cond=cond), net(x, t, cond=cond, lengths=lengths)
    torch.testing.assert_close(plain[:2], told[:2], rtol=1e-11, atol=1e-11)
    assert (plain[2, :, :7] - told[2, :, :7]).abs().max() > 1e-6


def test_gradients_pass_ragged_batches(net):
    x, t, cond = batch(net)
    past = torch.arange(12) >= torch.tensor([12, 1, 7])[:, None, None]
    net(x.masked_fill(past, float("nan")), t, cond=cond, lengths=torch.tensor([12, 1, 7])).square().sum().backward()
    assert all(parameter.grad.isfinite().all() and parameter.grad.any() for parameter in net.parameters())


@torch.no_grad()
def test_no_condition_is_a_condition_of_zeros(net):
    x, t, cond = batch(net)
    assert torch.equal(net(x, t), net(x, t, cond=torch.zeros_like(cond)))
    assert (net(x, t) - net(x, t, cond=cond)).abs().max() > 1e-6


@torch.no_grad()
def test_one_time_serves_the_batch_and_times_may_be_fractional(net):
    x, _, cond = batch(net)
    assert torch.equal(net(x, torch.tensor(7), cond=cond), net(x, torch.tensor([7.0] * 3), cond=cond))
    whole, between, next = (net(x, torch.tensor(t), cond=cond) for t in (7, 7.5, 8))
    assert (between - whole).abs().max() > 1e-6
    assert (between - next).abs().max() > 1e-6


@torch.no_grad()
def test_empty_batch(net):
    bins, width = net.frames.mel_bins, net.frames.cond_channels
    x, cond = (torch.zeros(0, channels, 5, dtype=torch.float64) for channels in (bins, width))
    assert net(x, torch.zeros(0), cond=cond, lengths=torch.zeros(0, dtype=torch.long)).shape == (0, bins, 5)


@torch.no_grad()
def test_half_precision(net):
    x, t, cond = batch(net)
    exact = net(x, t, cond=cond)
    half = net.to(torch.bfloat16)
    # the condition may come in another dtype; x is the caller's to cast
    out = half(x.to(torch.bfloat16), t, cond=cond.float())
    assert out.dtype == torch.bfloat16
    # bfloat16 has three digits, and each of a dozen layers costs some of the last
    assert (out - exact).abs().max() < 0.1 * exact.abs().max()


@torch.no_grad()
@pytest.mark.parametrize("name", [name for name in NAMES if name != "fft-denoiser"])
def test_features_are_rows_of_bins(name):
    several, flat = tiny(name, mel_bins=4, n_feats=2), tiny(name, mel_bins=8)
    flat.load_state_dict(several.state_dict())
    x, t, cond = batch(flat)
    out = several(x.view(3, 2, 4, 12), t, cond=cond, lengths=torch.tensor([12, 3, 7]))
    assert out.shape == (3, 2, 4, 12)
    assert torch.equal(out.view_as(x), flat(x, t, cond=cond, lengths=torch.tensor([12, 3, 7])))
    with pytest.raises(ShapeError, match=r"expects x of shape \(B, 2, 4, T\) with T >= 1, got \(3, 8, 12\)"):
        several(x, t)


@pytest.mark.parametrize(
    ("x", "t", "cond", "lengths", "message"),
    [
        ((2, 7, 9), 2, None, None, "expects x of shape (B, 8, T) with T >= 1, got (2, 7, 9)"),
        ((2, 1, 8, 9), 2, None, None, "expects x of shape (B, 8, T) with T >= 1, got (2, 1, 8, 9)"),
        ((2, 8, 0), 2, None, None, "expects x of shape (B, 8, T) with T >= 1, got (2, 8, 0)"),
        ((2, 8, 9), 3, None, None, "expects t of shape (2,), one time per item, or (), got (3,)"),
        (
            (2, 8, 9),
            2,
            (2, 9, 6),
            None,
            "expects cond of shape (2, 6, 9), (B, H, T) with the T of x, got (2, 9, 6)",
        ),
        ((2, 8, 9), 2, (2, 6, 9), [9], "expects lengths of shape (2,), one per item, got (1,)"),
        ((2, 8, 9), 2, None, [9, 10], "lengths must be 1..9, the frames of x, got 9..10"),
        ((2, 8, 9), 2, None, [0, 9], "lengths must be 1..9, the frames of x, got 0..9"),
    ],
)
def test_what_cannot_be_denoised(x, t, cond, lengths, message):
    with pytest.raises((ShapeError, ArgumentValueError)) as caught:
        tiny("diffnet")(
            torch.zeros(x),
            torch.zeros(t),
            cond=None if cond is None else torch.zeros(cond),
            lengths=None if lengths is None else torch.tensor(lengths),
        )
    assert str(caught.value).removeprefix("DiffNet ") == message
