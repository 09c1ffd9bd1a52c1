"""The tables of docs/samplers.md and docs/mixing.md are those of the registry and of the committed cards."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

import registry
from zoo.bench import Card

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def guide() -> ModuleType:
    spec = importlib.util.spec_from_file_location("guide", ROOT / "benchmarks" / "guide.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("document", ["docs/samplers.md", "docs/mixing.md"])
def test_the_tables_are_what_the_script_would_write(guide: ModuleType, document: str) -> None:
    text = (ROOT / document).read_text()
    assert text == guide.filled(text, guide.SECTIONS[document]), "run: python benchmarks/guide.py"


def test_every_sampler_is_measured_or_said_not_to_be() -> None:
    card = Card.load(ROOT / "benchmarks" / "results" / "guide-mixture-cpu" / "card.json")
    measured = {row.sampler.partition("(")[0] for row in card.rows}
    # it chooses its evaluations itself; networks must be distilled for the other two
    assert set(registry.samplers.names()) - measured == {"dpm-adaptive", "lcm", "tcd"}


def test_a_document_without_its_marks_is_refused(guide: ModuleType) -> None:
    with pytest.raises(SystemExit, match="reasons"):
        guide.filled("nothing", guide.SECTIONS["docs/mixing.md"])
