"""The parts of training, one by one: settings, average, order of the data, state on the disk, weights of the loss."""

import math
import signal
from itertools import islice

import pytest
import torch
from torch.testing import assert_close

import zoo
from registry import ArgumentError, objectives, parameterizations, schedules
from zoo.core.errors import ArgumentValueError
from zoo.core.schedule import Marginal
from zoo.training.chance import Chance
from zoo.training.ema import EMA
from zoo.training.feed import Order, batches, derived_seed
from zoo.training.noise_levels import ByNoise
from zoo.training.resume import ResumeError, ResumeFolder
from zoo.training.settings import Settings


def test_the_learning_rate_rises_and_falls():
    settings = Settings(steps=100, learning_rate=1.0, warmup_steps=10)
    rates = [settings.learning_rate_at(step) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == rates[9] == pytest.approx((1 + math.cos(math.pi * 0.09)) / 2)
    assert rates[50] == pytest.approx(0.5)
    assert rates[99] < 1e-3
    assert settings.learning_rate_at(100) == pytest.approx(0)


def test_a_constant_learning_rate_stays():
    settings = Settings(steps=100, learning_rate=1.0, warmup_steps=2, schedule="constant")
    assert [settings.learning_rate_at(step) for step in (0, 1, 50, 99)] == [0.5, 1, 1, 1]
    assert Settings(warmup_steps=0, schedule="constant", learning_rate=3.0).learning_rate_at(0) == 3


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("steps", 0, "training.steps must be from 1, got 0"),
        ("accumulate", 0, "training.accumulate must be from 1, got 0"),
        ("ema_decay", 1.0, "training.ema_decay must be 0 to 1, below 1, got 1"),
        ("label_dropout", 1.5, "training.label_dropout must be 0 to 1, got 1.5"),
        ("condition_dropout", -0.1, "training.condition_dropout must be 0 to 1, got -0.1"),
        ("low_res_dropout", 2.0, "training.low_res_dropout must be 0 to 1, got 2"),
        ("learning_rate", 0.0, "training.learning_rate must be above 0 and finite, got 0"),
        ("clip_norm", -1.0, "training.clip_norm must be above 0 and finite, got -1"),
        ("ema_profiles", (0.1, 0.3), "training.ema_profiles must be above 0 and below 0.289, got 0.3"),
        ("num_workers", -1, "training.num_workers must be from 0, got -1"),
    ],
)
def test_numbers_out_of_range(name, value, message):
    with pytest.raises(ArgumentValueError) as caught:
        Settings(**{name: value})
    assert str(caught.value) == message


def test_the_average_is_the_sum_it_stands_for():
    model = zoo.build("tiny-unet")
    ema = EMA(model, decay=0.5)
    expected = [parameter.detach().clone() for parameter in model.parameters()]
    for update in range(6):
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter))
        ema.update(model, update)
        decay = min(0.5, (1 + update) / (10 + update))
        expected = [decay * old + (1 - decay) * new for old, new in zip(expected, model.parameters(), strict=True)]
    # float32, six updates of numbers near 1
    assert_close(list(ema.model.parameters()), expected, rtol=1e-5, atol=1e-6)
    assert not any(parameter.requires_grad for parameter in ema.model.parameters())


def test_no_decay_is_no_memory():
    model = zoo.build("tiny-unet")
    ema = EMA(model, decay=0.0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(3.0)
    ema.update(model, 1000)
    assert all((parameter == 3).all() for parameter in ema.model.parameters())


def flat(order, batches):
    return [index for batch in islice(order, batches) for index in batch]


class Handlers(torch.utils.data.Dataset):
    """Whether whoever reads it hears Ctrl-C."""

    def __len__(self):
        return 4

    def __getitem__(self, index):
        return {"deaf": signal.getsignal(signal.SIGINT) is signal.SIG_IGN}


def test_readers_leave_ctrl_c_to_the_process_that_they_read_for():
    # what a shell starts in the background is deaf from the beginning
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        for workers in (0, 1):
            feed = batches(Handlers(), Order([range(4)], 2, seed=0), workers)
            assert next(feed)["deaf"].tolist() == [workers > 0] * 2
            feed.close()
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)


def test_every_epoch_is_a_permutation_of_its_own():
    indices = flat(Order([range(10)], 4, seed=1), 5)
    assert sorted(indices[:10]) == sorted(indices[10:]) == list(range(10))
    assert indices[:10] != indices[10:]
    assert indices != flat(Order([range(10)], 4, seed=2), 5)


def test_the_order_goes_on_where_it_was():
    assert flat(Order([range(10)], 4, seed=1), 9)[5 * 4 :] == flat(Order([range(10)], 4, seed=1, taken=[20]), 4)


def test_a_batch_may_be_larger_than_the_data():
    assert sorted(flat(Order([range(3)], 7, seed=0), 1)[:3]) == [0, 1, 2]


def test_the_order_leaves_the_global_generator_alone():
    before = torch.get_rng_state()
    flat(Order([range(10)], 4, seed=1), 5)
    assert torch.equal(before, torch.get_rng_state())


def test_seeds_belong_to_all_of_their_parts():
    seeds = {
        derived_seed(*parts) for parts in [(0,), (0, "step", 1), (0, "step", 11), (0, "dropout", 1), (1, "step", 1)]
    }
    assert len(seeds) == 5
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_a_state_comes_back_and_older_ones_go(tmp_path):
    folder = ResumeFolder(tmp_path / "resume")
    assert folder.read() is None
    for step in (5, 10):
        folder.write(step, {"weights": torch.full((3,), float(step))})
    assert folder.read() == {"step": 10, "weights": pytest.approx(torch.full((3,), 10.0))}
    assert sorted(file.name for file in folder.path.iterdir()) == ["latest", "step-000010"]


def test_a_state_that_is_kept_is_not_written_again(tmp_path):
    folder = ResumeFolder(tmp_path / "resume")
    folder.write(5, {"weights": torch.zeros(3)})
    before = (folder.path / "step-000005" / "state.pt").stat().st_ino
    folder.write(5, {"weights": torch.zeros(3)})
    assert (folder.path / "step-000005" / "state.pt").stat().st_ino == before


def test_a_state_that_does_not_fit_on_the_disk(tmp_path, small_files):
    folder = ResumeFolder(tmp_path / "resume")
    folder.write(5, {})
    with small_files(20_000), pytest.raises(OSError, match="File too large"):
        folder.write(10, {"weights": torch.zeros(10_000)})
    assert folder.read() == {"step": 5}
    # what is half written would fill the disk the next time as well
    assert sorted(file.name for file in folder.path.iterdir()) == ["latest", "step-000005"]


def test_half_written_states_are_ignored_and_swept(tmp_path):
    folder = ResumeFolder(tmp_path / "resume")
    folder.write(5, {})
    for name in (".step-000010.77.part", "step-000010"):
        (folder.path / name).mkdir()
        (folder.path / name / "state.pt").write_bytes(b"PK half of a")
    assert folder.read() == {"step": 5}
    folder.write(10, {})
    assert folder.read() == {"step": 10}
    assert sorted(file.name for file in folder.path.iterdir()) == ["latest", "step-000010"]


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04", b"cos\nsystem\n(S'true'\ntR."])
def test_a_damaged_state_says_what_to_do(tmp_path, damage):
    folder = ResumeFolder(tmp_path / "resume")
    folder.write(5, {})
    (folder.path / "step-000005" / "state.pt").write_bytes(damage)
    with pytest.raises(ResumeError, match=r"state\.pt cannot be read .*; train into another folder"):
        folder.read()


def test_something_else_is_no_state(tmp_path):
    folder = ResumeFolder(tmp_path / "resume")
    folder.write(5, {})
    torch.save([1, 2], folder.path / "step-000005" / "state.pt")
    with pytest.raises(ResumeError, match=r"state\.pt is not the state of a run"):
        folder.read()
    (folder.path / "latest").write_bytes(b"\xff\xfe")
    with pytest.raises(ResumeError, match="cannot be read"):
        folder.read()


SNR = torch.tensor([1e-4, 0.1, 1.0, 5.0, 20.0, 1e4], dtype=torch.float64)
WEIGHTS = {
    "eps": SNR.clamp(max=5) / SNR,
    "x0": SNR.clamp(max=5),
    "v": SNR.clamp(max=5) / (SNR + 1),
}


@pytest.mark.parametrize("name", WEIGHTS)
def test_min_snr_weighs_the_error_of_the_data(name):
    objective = objectives.build("min-snr", parameterization=parameterizations.build(name))
    m = Marginal((SNR / (1 + SNR)).sqrt(), (1 / (1 + SNR)).sqrt())
    assert_close(objective.weight(m), WEIGHTS[name])


NOISE = {
    "eps": torch.ones_like(SNR),
    "x0": SNR,
    "v": SNR / (SNR + 1),
}


@pytest.mark.parametrize("name", NOISE)
@pytest.mark.parametrize(("k", "gamma"), [(1.0, 0.5), (1.0, 1.0), (0.1, 2.0), (1.0, 0.0)])
def test_p2_weighs_the_error_of_the_noise(name, k, gamma):
    spec = {"name": "p2", "k": k, "gamma": gamma}
    objective = objectives.build(spec, parameterization=parameterizations.build(name))
    m = Marginal((SNR / (1 + SNR)).sqrt(), (1 / (1 + SNR)).sqrt())
    assert_close(objective.weight(m), NOISE[name] / (k + SNR) ** gamma)


@pytest.mark.parametrize("wrong", [{"k": 0.0}, {"gamma": -1.0}])
def test_p2_refuses_weights_without_end(wrong):
    with pytest.raises(ArgumentError, match="k must be above 0 and gamma must not be below 0, got k="):
        objectives.build({"name": "p2", **wrong}, parameterization=parameterizations.build("eps"))


@pytest.mark.parametrize("kind", ["min-snr", "p2"])
@pytest.mark.parametrize("name", ["eps", "x0", "v", "flow", "edm", "score"])
@pytest.mark.parametrize("schedule", ["cosine", "flow", "edm"])
def test_weights_are_weights_everywhere(kind, name, schedule):
    objective = objectives.build(kind, parameterization=parameterizations.build(name))
    path = schedules.build(schedule)
    ends = torch.tensor([path.t_clean, path.t_min, path.t_max], dtype=torch.float64)
    weight = objective.weight(path(ends))
    assert weight.isfinite().all()
    assert (weight >= 0).all()


@pytest.mark.parametrize(("mean", "std"), [(0.0, 1.0), (0.5, 0.6)])
def test_log_normal_noise_is_logit_normal_times_of_a_flow(mean, std):
    spec = {"name": "log-normal", "mean": mean, "std": std}
    objective = objectives.build(spec, parameterization=parameterizations.build("flow"))
    n = 40_000
    logits = objective.times(n, schedules.build("flow"), torch.Generator().manual_seed(0)).logit()
    # four standard deviations of the mean and of the standard deviation of so many draws
    assert float(logits.mean()) == pytest.approx(mean, abs=4 * std / n**0.5)
    assert float(logits.std()) == pytest.approx(std, abs=4 * std / (2 * n) ** 0.5)
    m = schedules.build("flow")(torch.tensor([0.2, 0.9]))
    assert_close(objective.weight(m), torch.ones(2, dtype=torch.float64))


def test_losses_are_told_apart_by_the_level_of_noise():
    log_snr = torch.tensor([-math.inf, -30.0, -0.9, 0.9, 1.1, math.inf], dtype=torch.float64)
    losses = torch.tensor([1.0, 3.0, 0.5, 0.25, 4.0, 8.0])
    parts = ByNoise()
    parts.add(log_snr[:3], losses[:3])
    parts = ByNoise(parts.state())
    parts.add(log_snr[3:], losses[3:])
    assert parts.means() == {"-12": 2.0, "0": 0.375, "2": 4.0, "12": 8.0}


GROUPS = [range(0, 60), range(60, 80), range(80, 100)]


def test_a_batch_is_of_one_group_and_groups_take_turns_by_their_size():
    order = Order(GROUPS, 4, seed=1)
    batches = list(islice(order, 25))
    groups = [{index >= 60 and 1 + (index >= 80) for index in batch} for batch in batches]
    assert all(len(group) == 1 for group in groups)
    assert sorted(index for batch in batches for index in batch) == list(range(100)), "an epoch"
    first_ten = [group.pop() for group in groups[:10]]
    assert first_ten.count(0) == 6, "in proportion, at any time"


def test_the_order_of_groups_does_not_depend_on_who_takes_it():
    alone = flat(Order(GROUPS, 12, seed=1), 6)
    three = [list(islice(Order(GROUPS, 4, seed=1, process=i, processes=3), 6)) for i in range(3)]
    assert [index for together in zip(*three, strict=True) for batch in together for index in batch] == alone


def test_an_order_of_groups_goes_on_where_it_was():
    order = Order(GROUPS, 4, seed=1)
    taken = [0, 0, 0]
    for _ in range(7):
        order.move(taken)
    assert sum(taken) == 28
    assert flat(Order(GROUPS, 4, seed=1), 12)[28:] == flat(Order(GROUPS, 4, seed=1, taken=taken), 5)


def test_noise_belongs_to_a_place():
    chance = Chance(0, 5, 8)
    whole = chance.noise(range(8), (1, 4, 4))
    assert_close(torch.cat([chance.noise(range(3), (1, 4, 4)), chance.noise(range(3, 8), (1, 4, 4))]), whole)
    assert not torch.equal(whole, Chance(0, 6, 8).noise(range(8), (1, 4, 4)))
    assert not torch.equal(whole[0], whole[1])
    assert len({chance.uniform(what)[0].item() for what in ("labels", "conditions")}) == 2


def test_losses_by_noise_pass_through_a_table():
    one, other = ByNoise(), ByNoise()
    one.add(torch.tensor([-30.0, -1.2, 0.3]), torch.tensor([1.0, 2.0, 4.0]))
    other.merge(one.table())
    assert other.means() == one.means() == {"-12": 1.0, "-2": 2.0, "0": 4.0}
