"""Power-function averages: their profiles, and any other width out of snapshots."""

import math
import shutil

import pytest
import torch
from torch.testing import assert_close

import zoo
from zoo.core.errors import ArgumentValueError
from zoo.training import synthesize
from zoo.training.ema import PowerEMA
from zoo.training.posthoc import SnapshotError, drop_snapshots
from zoo.training.profiles import WIDEST, exponent, mix
from zoo.training.progress import Stepped


@pytest.mark.parametrize(("sigma_rel", "gamma"), [(0.05, 16.97), (0.10, 6.94)])
def test_exponents_of_the_paper(sigma_rel, gamma):
    # two decimals are what the paper prints
    assert exponent(sigma_rel) == pytest.approx(gamma, abs=0.005)


@pytest.mark.parametrize("sigma_rel", [0.01, 0.05, 0.1, 0.25])
def test_the_width_is_the_standard_deviation_of_the_profile(sigma_rel):
    gamma = exponent(sigma_rel)
    # moments of (gamma + 1) t^gamma on [0, 1]
    mean, square = (gamma + 1) / (gamma + 2), (gamma + 1) / (gamma + 3)
    assert math.sqrt(square - mean**2) == pytest.approx(sigma_rel, rel=1e-6)


@pytest.mark.parametrize("sigma_rel", [0.0, -1.0, WIDEST, 1.0])
def test_widths_that_no_profile_has(sigma_rel):
    with pytest.raises(ArgumentValueError, match=r"sigma_rel must be above 0 and below 0.289, got"):
        exponent(sigma_rel)


class Number(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.value = torch.nn.Parameter(torch.tensor(-99.0, dtype=torch.float64))


def averages(steps, sigma_rel):
    """The average after each update of a number that is sin of the step."""
    model = Number()
    average = PowerEMA(model, sigma_rel)
    for step in range(steps):
        with torch.no_grad():
            model.value.fill_(math.sin(step + 1.0))
        average.update(model, step)
        yield average.model.value.item()


@pytest.mark.parametrize("sigma_rel", [0.05, 0.2])
def test_each_update_has_the_share_of_the_continuous_profile(sigma_rel):
    steps, power = 50, exponent(sigma_rel) + 1
    shares = [((i + 1) / steps) ** power - (i / steps) ** power for i in range(steps)]
    expected = sum(share * math.sin(i + 1.0) for i, share in enumerate(shares))
    # float64, fifty updates; the first value, -99, has left no trace
    assert list(averages(steps, sigma_rel))[-1] == pytest.approx(expected, abs=1e-12)


def test_a_profile_that_was_kept_is_its_own_snapshot():
    kept = [(float(time), exponent(width)) for time in (10, 20, 30) for width in (0.05, 0.1)]
    assert_close(mix(kept, kept[2]), torch.eye(6, dtype=torch.float64)[2], rtol=0, atol=1e-8)


@pytest.mark.parametrize("steps", [(2,), (2, 4), (10, 20, 30, 40)])
@pytest.mark.parametrize("wanted", [0.03, 0.08, 0.25])
def test_few_snapshots_leave_weights_of_their_size(steps, wanted):
    snapshots = [(float(time), exponent(width)) for time in steps for width in (0.05, 0.1)]
    factors = mix(snapshots, (float(steps[-1]), exponent(wanted)))
    # a least squares solution of up to 9 unknowns in float64
    assert float(factors.sum()) == pytest.approx(1, abs=1e-9)
    assert factors.abs().max() < 20


@pytest.mark.parametrize("wanted", [0.06, 0.08, 0.15])
def test_another_width_is_close_to_the_average_it_stands_for(wanted):
    times = range(20, 401, 20)
    tracked = {width: list(averages(400, width)) for width in (0.05, 0.1)}
    snapshots = [(time, width) for time in times for width in tracked]
    factors = mix([(float(time), exponent(width)) for time, width in snapshots], (400.0, exponent(wanted)))
    assert float(factors.sum()) == pytest.approx(1, abs=1e-3)
    made = sum(
        factor * tracked[width][time - 1] for factor, (time, width) in zip(factors.tolist(), snapshots, strict=True)
    )
    # values of the size of 1 that are averaged over hundreds
    assert made == pytest.approx(list(averages(400, wanted))[-1], abs=2e-3)


def test_a_run_keeps_snapshots_and_goes_on_alike(run):
    def stop(event):
        if isinstance(event, Stepped) and event.step == 5:
            raise RuntimeError

    settings = {"steps": 8, "save_every": 2, "ema_profiles": (0.05, 0.1)}
    whole = run("at once", **settings).parent / "averages"
    with pytest.raises(RuntimeError):
        run(**settings, on_event=stop)
    again = run(**settings).parent / "averages"
    names = sorted(file.name for file in whole.iterdir())
    assert names == [f"step-{step:06d}-{number}.safetensors" for step in (2, 4, 6, 8) for number in (0, 1)]
    for name in names:
        assert (again / name).read_bytes() == (whole / name).read_bytes()
    kept = zoo.load(whole / "step-000008-1.safetensors")
    # the factors of one snapshot out of eight that are alike, in float64
    assert_close(dict(synthesize(whole.parent, 0.1).state_dict()), dict(kept.state_dict()), rtol=1e-5, atol=1e-6)
    middle = zoo.load(whole / "step-000004-0.safetensors")
    assert_close(
        dict(synthesize(whole.parent, 0.05, step=4).state_dict()), dict(middle.state_dict()), rtol=1e-5, atol=1e-6
    )
    with pytest.raises(SnapshotError, match="holds no snapshot at step 9; there are some at 2, 4, 6, 8"):
        synthesize(whole.parent, 0.1, step=9)


def test_snapshots_after_the_step_that_a_run_goes_on_from_are_gone(run):
    model = run(steps=4, save_every=2, ema_profiles=(0.05,))
    drop_snapshots(model.parent, after=2)
    assert [file.name for file in (model.parent / "averages").iterdir()] == ["step-000002-0.safetensors"]
    # a run of which nothing was saved may be followed by another
    shutil.rmtree(model.parent / "resume")
    model.unlink()
    run(steps=1, save_every=2, ema_profiles=())
    assert not list((model.parent / "averages").iterdir())


def test_a_run_without_profiles_has_nothing_to_make_them_of(whole):
    with pytest.raises(SnapshotError, match=r"no snapshots of averages: train with training.ema_profiles"):
        synthesize(whole[0].parent, 0.1)
