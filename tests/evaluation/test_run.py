"""Evaluations of models whose faults are known."""

import json
from dataclasses import replace

import pytest
import torch
from PIL import Image

import zoo
from registry import features as extractors
from zoo.core.diffusion import Diffusion
from zoo.data.base import InMemory
from zoo.evaluation import EvaluationError, Progress, evaluate, events, result
from zoo.evaluation.real import Real, gather, wanted_labels
from zoo.metrics.pixels import Pixels

FEW = {"n": 60, "features": "pixels", "steps": 20}


def test_a_perfect_model_comes_to_what_data_comes_to(parts):
    found = evaluate(parts.wrapped(parts.Gaussian()), parts.pictures(600, seed=0), n=300, features="pixels", steps=500)
    assert found.samples.pictures == found.floor.pictures == 300
    # 500 steps leave a hundredth of the spread; sets of 300 differ among themselves by about a tenth
    assert found.samples.frechet == pytest.approx(found.floor.frechet, rel=0.3)
    assert found.samples.precision == pytest.approx(found.floor.precision, abs=0.1)
    assert found.samples.recall == pytest.approx(found.floor.recall, abs=0.1)
    assert found.samples.density == pytest.approx(found.floor.density, abs=0.3)
    assert found.samples.coverage == pytest.approx(found.floor.coverage, abs=0.1)
    assert found.samples.nearer == pytest.approx(found.floor.nearer, abs=0.15)
    assert found.remarks == []


def test_a_model_of_too_little_is_precise_and_forgets(parts):
    found = evaluate(parts.wrapped(parts.Gaussian(variance=parts.variance / 16)), parts.pictures(300, seed=0), **FEW)
    assert found.samples.precision > found.floor.precision
    assert found.samples.recall < 0.2 < found.floor.recall
    assert found.samples.frechet > 2 * found.floor.frechet


def test_a_model_that_is_beside_the_data_is_far(parts):
    found = evaluate(parts.wrapped(parts.Gaussian(mean=0.5)), parts.pictures(300, seed=0), **FEW)
    assert found.samples.precision < 0.2
    assert found.samples.coverage < 0.2
    # 16 pixels, each moved by half
    assert found.samples.frechet > 16 * 0.5**2 * 0.8
    assert found.samples.kernel.mean > 3 * abs(found.floor.kernel.mean)


def test_copies_are_found_out(parts):
    data = parts.pictures(120, seed=0)
    found = evaluate(parts.wrapped(parts.Memory(data.x_0)), data, **FEW)
    assert found.samples.nearer > 0.95
    assert found.samples.nearer_pixels > 0.95
    assert found.floor.nearer < 0.6
    assert any("they may be copies" in remark for remark in found.remarks)


def test_tells_its_stages(parts):
    told = list(events(parts.wrapped(parts.Gaussian()), parts.pictures(40, seed=0), n=10, features="pixels", steps=2))
    stages = list(dict.fromkeys(step.stage for step in told))
    assert stages == ["reading", "features: pixels", "sampling", "distances", "loss by noise level"]
    assert all(isinstance(step, Progress) and 0 <= step.done <= step.total for step in told)


def test_the_same_seed_gives_the_same_report(parts):
    model, data = parts.wrapped(parts.Gaussian()), parts.pictures(100, seed=0)
    first, second, other = (evaluate(model, data, seed=seed, **FEW).to_dict() for seed in (1, 1, 2))
    for tree in (first, second, other):
        del tree["seconds"]
    assert first == second
    assert first["samples"] != other["samples"]


def test_classes_are_spread_as_in_the_data():
    model = zoo.Diffusion.wrap(lambda x, t, labels=None: x, shape=(1, 4, 4))
    model.config = {"denoiser": {"classes": 3}}
    labels = torch.tensor([0] * 60 + [1] * 30 + [2] * 10)
    data = InMemory(torch.zeros(100, 1, 4, 4), labels, classes=3, title="pictures")
    real = result(gather(data, 100, seed=0))
    wanted, remark = wanted_labels(model, real, 50)
    assert remark == ""
    # every beginning, and each half, has the shares of the whole
    for part in (real.labels[:10], real.labels[:50], real.labels[50:]):
        assert torch.equal(part.bincount() * (100 // len(part)), torch.tensor([60, 30, 10]))
    # the very classes of the half that is set aside
    assert torch.equal(wanted, real.labels[:50])
    assert torch.equal(wanted_labels(model, real, 70)[0][50:], real.labels[:20])
    plain = InMemory(torch.zeros(30, 1, 4, 4), None, classes=None, title="pictures")
    dealt, remark = wanted_labels(model, result(gather(plain, 30, seed=0)), 5)
    assert dealt.tolist() == [0, 1, 2, 0, 1]
    assert "the model's 3 in turn" in remark
    assert wanted_labels(zoo.Diffusion.wrap(lambda x, t: x), real, 5) == (None, "")


def test_pictures_and_classes_and_smaller_ones_stay_together():
    labels = torch.arange(57) % 4

    class Marked(InMemory):
        def __getitem__(self, index):
            return super().__getitem__(index) | {"low_res": torch.full((1, 2, 2), float(labels[index]))}

    images = labels[:, None, None, None] + torch.arange(57)[:, None, None, None] / 100 * torch.ones(1, 1, 4, 4)
    real = result(gather(Marked(images, labels, classes=4, title="pictures"), 40, seed=0))
    assert torch.equal(real.images.long()[:, 0, 0, 0], real.labels)
    assert torch.equal(real.low_res.long()[:, 0, 0, 0], real.labels)
    assert len(real.images.unique(dim=0)) == 40


@pytest.mark.parametrize("limit", [10_000, 25])
def test_a_picture_and_its_mirror_image_are_in_one_half(parts, limit):
    data = parts.pictures(31, 0, torch.arange(31) % 3)
    data.x_0 = torch.cat([data.x_0, data.x_0.flip(-1)])
    data.labels, data.copies = data.labels * 2, 2
    found = result(gather(data, limit, 0))
    assert len(found.images) == 2 * min(31, limit)
    assert found.half == (30 if limit > 31 else 24)
    assert torch.equal(found.images[1::2], found.images[::2].flip(-1))
    assert torch.equal(found.labels[1::2], found.labels[::2])
    assert len(found.images[::2].flatten(1).unique(dim=0)) == len(found.images) // 2


def test_the_classifier_tells_whether_samples_are_what_was_asked_for(parts):
    labels = torch.arange(400) % 2
    data = parts.pictures(400, seed=0, labels=labels)
    # one class is dark, the other is light
    data.x_0 += 2 * labels[:, None, None, None] - 1
    best = parts.Gaussian()

    def network(x, t, labels):
        best.mean = (2 * labels - 1).to(x).reshape(-1, 1, 1, 1)
        return best(x, t)

    def mistaken(x, t, labels):
        return network(x, t, 1 - labels)

    for function, share in ((network, 1), (mistaken, 0)):
        model = parts.wrapped(function)
        model.config = {"denoiser": {"classes": 2}}
        found = evaluate(model, data, n=40, steps=10)
        assert found.samples.as_asked == share
        assert found.rows()[-1][:2] == ("the class asked for", f"{share:.3f}")
        assert found.rows()[-1][2] == f"{found.feature_facts['held_out_accuracy']:.3f}"


@pytest.mark.parametrize(
    ("labels", "message"),
    [([0, 1, 5], "has a class 5, and the model has the classes 0-2"), ([0, -1, 2], "1 of 3 pictures have no class")],
)
def test_classes_that_do_not_fit(labels, message):
    model = Diffusion.wrap(lambda x, t, labels=None: x)
    model.config = {"denoiser": {"classes": 3}}
    with pytest.raises(EvaluationError, match=message):
        wanted_labels(model, Real(torch.zeros(3, 1, 4, 4), torch.tensor(labels), "pictures", 3), 9)


def test_takes_the_classifier_where_there_are_classes(parts):
    labels = torch.arange(60) % 2
    data = parts.pictures(60, seed=0, labels=labels)
    found = evaluate(parts.wrapped(parts.Gaussian()), data, n=20, steps=2)
    assert found.frechet_name == "FD-classifier"
    assert found.kernel_name == "KD-classifier"
    assert "held_out_accuracy" in found.feature_facts
    # 32 features of 20 pictures
    assert any("more about how few they are" in remark for remark in found.remarks)
    assert (
        evaluate(parts.wrapped(parts.Gaussian()), parts.pictures(60, seed=0), n=20, steps=2).frechet_name == "FD-pixels"
    )


def test_looks_at_no_more_than_it_may(parts):
    found = evaluate(parts.wrapped(parts.Gaussian()), parts.pictures(200, seed=0), real=50, **FEW)
    assert (found.looked_at, found.data_size, found.floor.pictures) == (50, 200, 25)
    # the columns are of as many, whatever n is
    assert (found.samples.pictures, found.drawn, len(found.pictures)) == (25, 60, 60)
    assert any("of the first 25 of 60 samples" in remark for remark in found.remarks)


def test_more_samples_than_data_make_no_distance_smaller(parts):
    model, data = parts.wrapped(parts.Gaussian()), parts.pictures(80, seed=0)
    few, many = (evaluate(model, data, n=n, features="pixels", steps=20) for n in (40, 400))
    assert (few.samples, few.floor) == (
        replace(many.samples, frechet_all=few.samples.frechet_all),
        many.floor,
    )
    # 400 samples beside all 80 pictures: nothing but their number has changed, and it tells
    assert many.samples.frechet_all < 0.8 * few.samples.frechet_all
    assert many.rows()[1] == ("FD-pixels, all beside all", f"{many.samples.frechet_all:.4g}", "-", "low")


def test_what_is_beyond_a_dark_set_stays_there(parts):
    data = parts.pictures(100, seed=0)
    data.x_0 = data.x_0.clamp(-0.9, -0.7)
    found = evaluate(parts.wrapped(parts.Gaussian(mean=2.0)), data, **FEW)
    assert float(found.pictures.max()) == 1
    assert found.samples.frechet > 16 * 1.5**2


def test_features_that_are_not_finite_are_no_measure(parts, monkeypatch):
    monkeypatch.setattr(Pixels, "__call__", lambda self, images: images.flatten(1) / 0)
    with pytest.raises(EvaluationError, match="features: some are not finite"):
        evaluate(parts.wrapped(parts.Gaussian()), parts.pictures(60, seed=0), **FEW)


@pytest.mark.parametrize(("name", "scales"), [("pixels", True), ("inception", False)])
def test_large_features_do_not_drown_the_kernel_distance(parts, monkeypatch, name, scales):
    """The cube of features 1,000 times as large: brought to a mean square of 1, but for those of FID and KID."""
    data, model = parts.pictures(80, 0), parts.wrapped(parts.Gaussian(mean=0.3))
    plain = evaluate(model, data, n=30, features="pixels")

    def large(spec, **given):
        made = Pixels(images=given["images"])
        monkeypatch.setattr(Pixels, "__call__", lambda self, images, own=Pixels.__call__: 1000 * own(self, images))
        return made

    monkeypatch.setattr(extractors, "check", lambda spec, **_: ({}, []))
    monkeypatch.setattr(extractors, "build", large)
    found = evaluate(model, data, n=30, features=name).samples.kernel.mean
    if scales:
        # float32 features, a thousand times as large
        assert found == pytest.approx(plain.samples.kernel.mean, rel=1e-4)
    else:
        assert abs(found) > 1e6 * abs(plain.samples.kernel.mean)


def test_says_of_which_weights_and_pictures_it_is(parts):
    model, data = parts.wrapped(torch.nn.Conv2d(1, 1, 1)), parts.pictures(60, seed=0)
    model.denoiser.forward = lambda x, t: x
    first, again, moved = (evaluate(model, data, seed=seed, **FEW).origin for seed in (0, 0, 1))
    assert set(first) == {"pictures_sha256", "model_sha256"}
    assert first == again == moved
    with torch.no_grad():
        next(iter(model.denoiser.parameters())).add_(1)
    data.x_0[3] += 0.01
    other = evaluate(model, data, **FEW).origin
    assert other["pictures_sha256"] != first["pictures_sha256"]
    assert other["model_sha256"] != first["model_sha256"]


class Enlarging(torch.nn.Module):
    """E[eps | x_t, low_res] where the picture is the small one, enlarged."""

    def __init__(self):
        super().__init__()
        self.schedule = zoo.Diffusion.wrap(lambda x, t: x).schedule

    def forward(self, x, t, low_res):
        m = self.schedule(t.double()).like(x)
        return (x - m.alpha * low_res.repeat_interleave(2, 2).repeat_interleave(2, 3)) / m.sigma


class Squares(InMemory):
    """Pictures of squares, beside those of one pixel a square."""

    def __init__(self, small):
        large = small.repeat_interleave(2, 2).repeat_interleave(2, 3)
        super().__init__(large, None, classes=None, title="squares")
        self.small = small

    def __getitem__(self, index):
        return super().__getitem__(index) | {"low_res": self.small[index]}


def test_a_model_that_enlarges_is_given_what_to_enlarge(parts):
    small = 0.3 * torch.randn(60, 1, 2, 2, generator=torch.Generator().manual_seed(0))
    model = parts.wrapped(Enlarging())
    model.config = {"denoiser": {"low_res_channels": 1}}
    found = evaluate(model, Squares(small), n=40, features="pixels", steps=5)
    # each sample is the picture it was enlarged from, of the half that is set aside
    assert found.samples.frechet == pytest.approx(found.floor.frechet, abs=1e-3)
    assert max(level.loss for level in found.levels) < 1e-6
    # and no copy for that: of the other half it has seen nothing
    assert found.samples.nearer == found.floor.nearer < 0.9
    assert found.copies_of == 30
    with pytest.raises(EvaluationError, match="the data has no smaller ones; set its low_res_factor"):
        evaluate(model, parts.pictures(60, seed=0), **FEW)


def test_writes_a_report(parts, tmp_path):
    found = evaluate(parts.wrapped(parts.Gaussian()), parts.pictures(100, seed=0), title="gauss", **FEW)
    written = found.save(tmp_path / "a" / "report")
    assert sorted(path.name for path in written) == sorted(path.name for path in (tmp_path / "a" / "report").iterdir())
    tree = json.loads((tmp_path / "a" / "report" / "report.json").read_text())
    assert tree["samples"]["kernel"]["size"] == 25
    assert tree["samples"]["frechet"] == found.samples.frechet
    assert [level["loss"] for level in tree["levels"]] == [level.loss for level in found.levels]
    assert tree["features"] == {"name": "pixels", "side": 16}
    assert tree["sampling"]["steps"] == 20
    page = (tmp_path / "a" / "report" / "report.md").read_text()
    assert f"| FD-pixels | {found.samples.frechet:.4g} | {found.floor.frechet:.4g} | low |" in page
    assert "seeds 0 to 59" in page
    assert f"100 subsets of {found.samples.kernel.size} pictures" in page
    assert tree["origin"] == found.origin
    assert all(value in page for value in found.origin.values())
    for path in written:
        if path.suffix == ".png":
            assert path.name in page
            with Image.open(path) as picture:
                assert picture.convert("L").getextrema()[0] < picture.convert("L").getextrema()[1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n": 5}, "5 samples are too few"),
        ({"real": 10}, "10 pictures are too few"),
        ({"network": lambda x, t: x * torch.nan}, "60 of 60 samples are not finite"),
        ({"shape": (3, 4, 4)}, r"pictures of \(1, 4, 4\), and the model makes \(3, 4, 4\)"),
    ],
)
def test_says_what_cannot_be_judged(parts, options, message):
    network, shape = options.pop("network", parts.Gaussian()), options.pop("shape", (1, 4, 4))
    model = zoo.Diffusion.wrap(network, shape=shape)
    with pytest.raises(EvaluationError, match=message):
        evaluate(model, parts.pictures(60, seed=0), **{**FEW, **options})


def test_only_pictures_of_one_size_can_be_compared(parts):
    class Sounds(InMemory):
        def __getitem__(self, index):
            return {"x_0": torch.zeros(80, 5)}

    class Mixed(InMemory):
        def __getitem__(self, index):
            return {"x_0": torch.zeros(1, 4, 4 + index % 2)}

    for kind, message in ((Sounds, r"shape \(80, 5\); only pictures"), (Mixed, r"where others are \(1, 4, ")):
        data = kind(torch.zeros(40, 1, 4, 4), None, classes=None, title="things")
        with pytest.raises(EvaluationError, match=message):
            evaluate(parts.wrapped(parts.Gaussian()), data, **FEW)
