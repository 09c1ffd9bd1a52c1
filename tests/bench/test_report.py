"""Cards: what is written, read back and shown."""

import json
import math

import pytest

from zoo import bench
from zoo.bench.cold import StartupRow
from zoo.bench.quality import Yardstick
from zoo.bench.report import Card, CardError, _number
from zoo.bench.rows import Row

RESULTS = sorted((bench.suites_dir() / "results").glob("*/card.json"))


def card_with(rows, **parts):
    suite = {
        "batch": 4,
        "precision": "float32",
        "repeats": 2,
        "seed": 0,
        "startup": {"budgets": {"import zoo": 0.1, "zoo list": 0.3, "zoo": 1.0}},
    }
    hardware = {"device": "cpu", "cpu": "abacus", "cores": 2, "threads": 1, "memory_gib": 4.0, "gpu": None}
    return Card(
        name="suite",
        title="A suite",
        date="2026-01-01 00:00 UTC",
        command="zoo bench suite",
        hardware=hardware,
        versions={"python": "3", "torch": "2", "zoo": "1", "commit": None},
        suite=suite,
        rows=rows,
        **parts,
    )


def test_what_a_card_holds(card_of, tmp_path):
    card_of(reference={"steps": 20})
    tree = json.loads((tmp_path / "out" / "card.json").read_text())
    assert tree.keys() == {
        "format",
        "name",
        "title",
        "date",
        "command",
        "hardware",
        "versions",
        "suite",
        "rows",
        "references",
        "yardsticks",
        "learning",
        "startup",
        "memory",
        "bars",
        "fewer",
        "pairs",
    }
    assert tree["hardware"].keys() == {"device", "cpu", "cores", "threads", "memory_gib", "gpu", "system"}
    assert tree["hardware"]["threads"] == 1
    assert tree["versions"].keys() == {"python", "torch", "zoo", "commit"}
    assert tree["suite"]["samplers"] == [{"sampler": {"name": "ddim", "eta": 0.0}, "spacing": None}]
    (row,) = tree["rows"]
    kinds = {"model": str, "sampler": str, "spacing": str, "steps": int, "status": str, "reason": str}
    kinds |= {"stochastic": bool, "nfe": int, "quality": type(None)}
    assert {key: type(value) for key, value in row.items()} == {
        **dict.fromkeys(("wall", "wall_min", "cpu", "wall_per_nfe", "error_rms", "error_max"), float),
        **dict.fromkeys(("loop_per_step", "loop_median"), float),
        **dict.fromkeys(("written_per_step", "written_median"), type(None)),
        **kinds,
    }
    assert 0 < row["wall_min"] <= row["wall"]
    assert row["wall_per_nfe"] == row["wall"] / row["nfe"]


def test_a_card_is_read_as_it_was_written(card_of, tmp_path):
    written = card_of(samplers=["ddim", "ddpm"], reference={"steps": 20})
    read = Card.load(tmp_path / "out" / "card.json")
    assert read.rows == written.rows
    assert read.references == written.references
    assert read.table() == written.table()
    assert (tmp_path / "out" / "table.txt").read_text() == written.table() + "\n"


def test_a_suite_can_be_run_again_from_its_card(card_of, tmp_path):
    first = card_of(samplers=["unipc"], reference={"steps": 20}, guidance=[], labels=None)
    suite = json.loads((tmp_path / "out" / "card.json").read_text())["suite"]
    again = bench.run(suite, out=tmp_path / "again", device="cpu")
    assert again.rows[0].error_rms == first.rows[0].error_rms
    assert again.suite == Card.load(tmp_path / "out" / "card.json").suite


def test_settings_without_bound_are_written(tmp_path):
    card = card_with([Row("m", "s", "", 1)])
    card = Card(**{**vars(card), "suite": {**card.suite, "guidance": {"max_value": math.inf}}})
    card.save(tmp_path)
    assert json.loads((tmp_path / "card.json").read_text())["suite"]["guidance"] == {"max_value": "inf"}


def test_plots_are_drawn_of_what_there_is(tmp_path):
    rows = [Row("m", "ddim", "", n, nfe=n, wall=n / 10, error_rms=1 / n, quality=2 / n) for n in (5, 10)]
    names = {path.name for path in card_with(rows).save(tmp_path / "one")}
    assert names == {"card.json", "table.txt", "error-nfe.png", "quality-nfe.png", "quality-time.png"}
    rows.append(Row("other", "ddim", "", 5, nfe=5, wall=0.1, error_rms=0.5))
    names = {path.name for path in card_with(rows).save(tmp_path / "two")}
    assert "m-quality-time.png" in names
    assert "other-error-nfe.png" in names
    assert "other-quality-nfe.png" not in names
    for path in (tmp_path / "two").glob("*.png"):
        assert path.read_bytes().startswith(b"\x89PNG")


def test_the_table_shows_cells_bounds_and_refusals():
    rows = [
        Row("m", "ddim", "trailing", 5, nfe=5, wall=0.012345, error_rms=1.5e-5, quality=8.0),
        Row("m", "plms", "trailing", 5, status="refused", reason="cannot"),
    ]
    bound = Yardstick("m", "FD-classifier", 100, "digits", 0.5, (0.4, 0.6), 400.0, {"held_out_accuracy": 0.975})
    lines = card_with(rows, yardsticks=[bound]).table().splitlines()
    assert lines[0].split("  ")[0].strip() == "model"
    assert lines[2].split() == ["m", "ddim", "trailing", "5", "5", "12.3", "1.50e-05", "8.00"]
    assert lines[3].split() == ["m", "plms", "trailing", "5", "refused:", "cannot"]
    assert "CPU ms" not in lines[0]
    assert any("floor (other half) 0.500, 0.400 to 0.600" in line for line in lines)
    assert lines[-1].endswith("least NFE within a tenth of the best FD-classifier (8.00): ddim trailing 5")


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, ""), (7, "7"), (0.0, "0"), (1234.5, "1234"), (0.012345, "0.0123"), (1e-5, "1.00e-05"), (3e7, "3.00e+07")],
)
def test_numbers_have_three_digits(value, shown):
    assert _number(value) == shown


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 99}', '{"format": 1, "rows": []}'])
def test_what_is_no_card_is_refused(tmp_path, text):
    path = tmp_path / "card.json"
    path.write_text(text)
    with pytest.raises(CardError, match=str(path)):
        Card.load(path)


def test_startup_is_compared_with_its_budget():
    rows = [
        StartupRow("python", 0.02, 0.01, 0.02, False),
        StartupRow("import zoo", 0.05, 0.04, 0.03, False, step=0.02, peak=10 * 2**20),
        StartupRow("zoo list", 0.5, 0.4, 0.2, True),
        StartupRow("zoo", None, None, None, None, "failed: no such command"),
    ]
    lines = [line.split() for line in card_with([], startup=rows).table().splitlines()]
    assert lines[2] == ["python", "20.0", "10.0", "20.0", "0", "not", "loaded"]
    assert lines[3] == ["import", "zoo", "50.0", "40.0", "30.0", "30.0", "20.0", "10.0", "not", "loaded", "100", "yes"]
    assert lines[4] == ["zoo", "list", "500", "400", "200", "480", "loaded", "300", "no"]
    assert lines[5] == ["zoo", "failed:", "no", "such", "command"]


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.parent.name)
def test_kept_cards_are_whole_and_in_the_readme(path):
    card = Card.load(path)
    readme = (bench.suites_dir() / "README.md").read_text()
    assert card.table() == (path.parent / "table.txt").read_text().rstrip("\n")
    # the guide's cells are in docs/samplers.md, in a table of its own
    assert card.name.startswith("guide-") or card.table() in readme
