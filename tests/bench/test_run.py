"""What a benchmark measures: the right things, the same for all, and nothing that stops it."""

from dataclasses import dataclass

import pytest
import torch

import zoo
from registry import data, samplers
from zoo import bench
from zoo.bench.cases import Case, cases, open_model
from zoo.bench.quality import Judge
from zoo.bench.suite import ModelChoice, Quality
from zoo.core.errors import ZooError
from zoo.core.sampler import Sampler
from zoo.data.base import InMemory

REFERENCE = {"sampler": "unipc", "steps": 200, "spacing": "log-snr"}
FINE = {"spacings": ["log-snr"], "reference": REFERENCE, "precision": "float64"}


@pytest.fixture
def registered(monkeypatch):
    """Registers a component for the time of a test."""

    def register(table, name, factory):
        monkeypatch.setattr(table, "_entries", dict(table._entries))
        monkeypatch.setattr(table, "_factories", dict(table._factories))
        table.register(name)(factory)

    return register


def subject_of(**changes):
    suite = bench.load({"models": ["tiny-mixture"], "samplers": ["ddim"], "steps": [8], **changes}).suite
    return open_model(suite.models[0], suite, torch.device("cpu"))


def test_evaluations_are_counted(card_of):
    card = card_of(samplers=["ddpm", "ddim", "unipc", "plms", "pndm", {"name": "pndm", "variant": "s"}], steps=[5, 8])
    extra = {"ddpm": 0, "ddim": 0, "unipc": 0, "plms": 1, "pndm": 9, "pndm(variant=s)": 1}
    assert {(row.sampler, row.steps): row.nfe for row in card.rows} == {
        (name, steps): steps + more for name, more in extra.items() for steps in (5, 8)
    }


def test_cells_are_every_combination_in_order():
    own = {"sampler": "plms", "spacing": "karras"}
    suite = bench.load(
        {
            "models": ["tiny-mixture"],
            "samplers": ["ddim", "ddpm", own],
            "steps": [2, 3],
            "spacings": ["leading", "trailing"],
        }
    ).suite
    listed = [(case.sampler["name"], case.spacing["name"], case.steps) for case in cases(suite)]
    assert listed == [
        *[(sampler, spacing, n) for sampler in ("ddim", "ddpm") for spacing in ("leading", "trailing") for n in (2, 3)],
        ("plms", "karras", 2),
        ("plms", "karras", 3),
    ]


@pytest.mark.parametrize("sampler", [{"name": "ddim"}, {"name": "ddpm"}, {"name": "pndm"}])
def test_a_case_is_what_sample_gives_for_the_seed(sampler):
    subject = subject_of(seed=3, batch=4)
    case = Case(sampler, {"name": "trailing"}, 8)
    walked = torch.cat([subject.walk(case, rows).x_0 for rows in subject.chunks(6)])
    asked = zoo.sample(subject.model, 6, seed=3, sampler=sampler, steps=8, spacing="trailing")
    # a batch of 4 and one of 6 may add up in another order
    torch.testing.assert_close(walked, asked, rtol=1e-5, atol=1e-6)


def test_all_cases_start_alike():
    subject = subject_of()
    starts = [
        subject.walk(Case(sampler, spacing, steps), range(4)).x_T
        for sampler in ({"name": "ddim"}, {"name": "ddpm"}, {"name": "unipc"})
        for spacing in ({"name": "trailing"}, {"name": "leading"})
        for steps in (3, 5)
    ]
    assert all(torch.equal(start, starts[0]) for start in starts)


def test_errors_repeat_and_fall(card_of):
    suite = {"samplers": ["ddim", "unipc"], "steps": [10, 40], **FINE}
    card, again = card_of(**suite), card_of(**suite)
    errors = [(row.error_rms, row.error_max) for row in card.rows]
    assert errors == [(row.error_rms, row.error_max) for row in again.rows]
    for few, many in (card.rows[:2], card.rows[2:]):
        assert 0 < many.error_rms < few.error_rms / 2
        assert few.error_rms < few.error_max
    (reference,) = card.references
    assert 0 < reference.own_rms < card.rows[3].error_rms


def test_each_first_time_has_its_reference(card_of):
    card = card_of(spacings=["leading"], steps=[4, 8], reference=REFERENCE)
    # leading spacings begin at T - T / N
    assert [one.first_t for one in card.references] == [750.0, 875.0]
    assert all(row.error_rms is not None for row in card.rows)


def test_only_deterministic_samplers_have_an_error(card_of):
    card = card_of(samplers=["ddpm", {"name": "ddim", "eta": 0.5}, "ddim"], **FINE)
    assert [row.stochastic for row in card.rows] == [True, True, False]
    assert [row.error_rms is None for row in card.rows] == [True, True, False]


def test_a_sampler_with_a_slipped_index_stands_out(card_of, registered):
    @dataclass(frozen=True)
    class Slipped(Sampler[tuple[()]]):
        """DDIM that brings the state to a row of the table beside the one where the next step begins."""

        order = 1

        def step(self, denoise, x_t, step, state, noise):
            to = step.next if step.is_last else step.at(t=step.next.t + 1)
            prediction = denoise(x_t, step.now)
            return to.alpha * prediction.x_0 + to.sigma * prediction.eps, ()

    registered(samplers, "slipped", Slipped)
    right, wrong = card_of(samplers=["ddim", "slipped"], steps=[80], n=32, batch=32, **FINE).rows
    assert wrong.error_rms > 3 * right.error_rms


def test_refused_cells_say_why_and_stop_nothing(card_of):
    model = {"config": "tiny-mixture", "overrides": {"schedule": "flow", "parameterization": "flow"}}
    card = card_of(models=[model], samplers=["plms", "ddim"], reference={"sampler": "plms", "steps": 100})
    refused, done = card.rows
    assert refused.status == "refused"
    assert "cannot step from pure noise" in refused.reason
    assert (refused.nfe, refused.wall, refused.error_rms) == (None, None, None)
    assert (done.status, done.error_rms) == ("ok", None)
    assert "refused: PLMS cannot step from pure noise" in card.references[0].reason
    assert "cannot step from pure noise" in card.table()


def test_more_steps_than_were_trained_are_refused(card_of):
    few, many = card_of(steps=[4, 1001]).rows
    assert (few.status, many.status) == ("ok", "refused")


def test_a_model_that_cannot_be_opened_refuses_its_cells(card_of):
    card = card_of(models=[{"config": "tiny-mixture", "pretrained": True}, "tiny-gaussian"], steps=[2, 3])
    assert [row.status for row in card.rows] == ["refused", "refused", "ok", "ok"]
    assert card.rows[0].reason


def test_a_model_that_breaks_is_reported(card_of, monkeypatch):
    def build(config, **arguments):
        raise KeyError("weights")

    monkeypatch.setattr("zoo.factory.build", build)
    (row,) = card_of().rows
    assert (row.status, row.reason) == ("failed", "KeyError: 'weights'")


def test_a_sampler_that_breaks_is_reported(card_of, registered):
    @dataclass(frozen=True)
    class Broken(Sampler[tuple[()]]):
        order = 1

        def step(self, denoise, x_t, step, state, noise):
            raise IndexError("off by one")

    registered(samplers, "broken", Broken)
    broken, fine = card_of(samplers=["broken", "ddim"]).rows
    assert (broken.status, broken.reason) == ("failed", "IndexError: off by one")
    assert fine.status == "ok"


def test_not_a_number_is_marked(card_of, registered):
    @dataclass(frozen=True)
    class Nan(Sampler[tuple[()]]):
        order = 1

        def step(self, denoise, x_t, step, state, noise):
            return denoise(x_t, step.now).x_0 * torch.tensor([float("nan"), 1.0]), ()

    registered(samplers, "nan", Nan)
    (row,) = card_of(samplers=["nan"], reference=REFERENCE).rows
    assert (row.status, row.reason, row.error_rms) == ("nan", "6 of 6 samples are not finite", None)
    assert row.nfe == 8


def test_the_loop_alone_asks_no_network():
    subject = subject_of()
    loop = subject.without_network()
    assert not list(loop.model.parameters())
    moments = list(loop.begin(Case({"name": "pndm"}, None, 5), range(2))())
    assert moments[-1].nfe == 14
    assert torch.equal(moments[0].x_t, subject.start(range(2)))


def test_identity_is_a_model():
    choice = ModelChoice(config="identity", shape=[3, 4, 4])
    suite = bench.load({"models": ["tiny-mixture"], "samplers": ["ddim"], "steps": [2], "batch": 2}).suite
    subject = open_model(choice, suite, torch.device("cpu"))
    assert subject.walk(Case("ddim", None, 2), range(2)).x_0.shape == (2, 3, 4, 4)


def test_open_shapes_are_asked_for(card_of):
    (row,) = card_of(models=[{"config": "tiny-diffnet", "overrides": {"shape": [8, None]}}]).rows
    assert row.status == "refused"
    assert "give the model a shape" in row.reason


def test_labels_are_dealt_in_turn():
    seen = []

    class Network(torch.nn.Module):
        def forward(self, x, t, labels):
            seen.append(labels.tolist())
            return x

    subject = subject_of(labels=[4, 7, 9], batch=4)
    subject.model.denoiser = Network()
    for rows in subject.chunks(6):
        subject.walk(Case("ddim", None, 1), rows)
    assert seen == [[4, 7, 9, 4], [7, 9]]


def test_threads_are_put_back(card_of):
    before = torch.get_num_threads()
    card_of(threads=2)
    assert torch.get_num_threads() == before


def blobs(*, shape=None):
    """Two classes of bright and dark pictures."""
    labels = torch.arange(80) % 2
    noise = torch.randn(80, *shape, generator=torch.Generator().manual_seed(0))
    return InMemory((labels * 1.2 - 0.6)[:, None, None, None] + 0.2 * noise, labels, classes=2, title="blobs")


@pytest.fixture
def judged(card_of, registered):
    registered(data, "blobs", blobs)
    small = {"name": "classifier", "epochs": 3, "base_channels": 4, "dimensions": 4}

    def run(**changes):
        quality = {"data": "blobs", "features": small, "samples": 20, **changes}
        return card_of(models=["tiny-unet"], steps=[1], samplers=["ddim", "ddpm"], n=2, batch=10, quality=quality)

    return run


def test_quality_has_its_name_its_floor_and_its_number(judged):
    card = judged()
    (bound,) = card.yardsticks
    assert (bound.measure, bound.samples, bound.reason) == ("FD-classifier", 20, "")
    assert bound.floor_range[0] <= bound.floor <= bound.floor_range[1]
    assert bound.floor < bound.noise
    assert 0 <= bound.facts["held_out_accuracy"] <= 1
    # an untrained network makes no blobs
    assert all(row.quality > bound.floor for row in card.rows)
    table = card.table()
    assert "FD-classifier" in table
    assert "FID" not in table


def test_samples_are_judged_as_pictures():
    small = {"name": "classifier", "epochs": 1, "base_channels": 4, "dimensions": 4}
    judge = Judge(Quality(data="digits", features=small, samples=50, real=200), (1, 8, 8), seed=0)
    samples = torch.randn(50, 1, 8, 8)
    assert judge.distance(5 * samples) == judge.distance((5 * samples).clamp(-1, 1))


def test_the_floor_has_the_classes_of_the_samples():
    small = {"name": "classifier", "epochs": 3, "base_channels": 4, "dimensions": 4}
    quality = Quality(data="digits", features=small, samples=40)
    noise = torch.randn(40, 1, 8, 8)
    even, zeros = (
        Judge(quality, (1, 8, 8), 0, labels).yardstick("m", noise).floor for labels in (list(range(10)), [0])
    )
    assert zeros > 3 * even
    with pytest.raises(ZooError, match="40 samples of class 11 need as many"):
        Judge(quality, (1, 8, 8), 0, [11])


def test_data_that_is_not_there_leaves_the_rest(judged):
    card = judged(data="mnist")
    assert [row.status for row in card.rows] == ["ok", "ok"]
    assert [row.quality for row in card.rows] == [None, None]
    assert "mnist needs the digits" in card.yardsticks[0].reason
    assert "mnist needs the digits" in card.table()


def test_too_little_data_is_said(judged):
    assert "41 samples need twice as many" in judged(samples=41).yardsticks[0].reason


def test_events_come_in_order_and_the_card_last(tmp_path):
    suite = {"models": ["tiny-mixture"], "samplers": ["ddim"], "steps": [2, 3], "batch": 1, "n": 1, "repeats": 1}
    found = bench.events(suite, out=tmp_path / "out", device="cpu")
    started = next(found)
    assert (started.cells, started.device, started.out) == (2, "cpu", tmp_path / "out")
    rest = list(found)
    assert [(one.index, one.cells) for one in rest if isinstance(one, bench.Measured)] == [(1, 2), (2, 2)]
    assert isinstance(rest[-1], bench.Finished)
    assert all(path.is_file() for path in rest[-1].files)


def test_a_stopped_run_leaves_nothing(tmp_path):
    suite = {"models": ["tiny-mixture"], "samplers": ["ddim"], "steps": [2, 3], "batch": 1, "n": 1, "repeats": 1}
    found = bench.events(suite, out=tmp_path / "out", device="cpu")
    next(one for one in found if isinstance(one, bench.Measured))
    found.close()
    assert not (tmp_path / "out").exists()


def test_a_device_that_is_not_there(tmp_path):
    with pytest.raises(ZooError, match="'nowhere' cannot be used"):
        bench.run({"startup": {}}, out=tmp_path, device="nowhere")
