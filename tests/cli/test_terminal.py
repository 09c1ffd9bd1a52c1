"""What a human sees: tables that fit the window and lose nothing, colour only where it is wanted."""

from __future__ import annotations

import os
import re
from collections.abc import Callable

import pytest

from zoo.cli import output

Zoo = Callable[..., object]
Process = Callable[..., object]


@pytest.fixture(params=[80, 120, 200])
def window(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """A terminal of that many columns."""
    monkeypatch.setattr(output.sys.stdout, "isatty", lambda: True, raising=False)
    for module in ("list_verb", "show_verb", "output"):
        monkeypatch.setattr(f"zoo.cli.{module}.terminal", lambda: True)
    monkeypatch.setenv("COLUMNS", str(request.param))
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "dumb")
    return request.param


def fits(text: str, window: int) -> bool:
    return max(map(len, text.splitlines())) <= window and "…" not in text


def test_the_layers_of_a_model_fit(zoo: Zoo, window: int) -> None:
    text = zoo("show", "ddpm-cifar10", "--layers").out
    assert fits(text, window)
    row = next(line for line in text.splitlines() if line.startswith("level 1"))
    for cell in ("16x16", "256 = 128 x 2", "5, 1 head", "10.64M", "3.058G", "19.0 MiB", "4.1 MiB"):
        assert cell in row


def test_two_models_fit(zoo: Zoo, window: int) -> None:
    text = zoo("show", "ddpm-cifar10", "ddpm-celeba-64", "--layers").out
    assert fits(text, window)
    lines = [line.split() for line in text.splitlines()]
    place = next(place for place, line in enumerate(lines) if line[:1] == ["total"])
    assert lines[place][-6:] == ["35.75M", "6.222G", "45.8", "MiB", "6.5", "MiB"]
    assert lines[place + 1][-6:] == ["78.7M", "24.05G", "157.7", "MiB", "26.0", "MiB"]


def test_lists_fit(zoo: Zoo, window: int) -> None:
    text = zoo("list").out
    assert fits(text, window)
    for name in ("ddpm-church-256", "parameterizations", "gaussian-mixture"):
        assert name in text


def test_squares_in_cells_are_text_and_not_markup(window: int, capsys: pytest.CaptureFixture[str]) -> None:
    output.table("a [b]", ("key [k]", "value"), [("[bold]", "[/red] [1, 2]")])
    text = capsys.readouterr().out
    for word in ("a [b]", "key [k]", "[bold]", "[/red] [1, 2]"):
        assert word in text


def test_a_pipe_gets_aligned_text(capsys: pytest.CaptureFixture[str]) -> None:
    output.table("things", ("name", "size"), [("a", "1\n22"), ("", ""), ("long", "3")], right=(1,))
    assert capsys.readouterr().out == "things\nname    size\na     1 | 22\n\nlong       3\n"


@pytest.mark.parametrize("wanted", [True, False])
def test_colour_can_be_refused(wanted: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    if not wanted:
        monkeypatch.setenv("NO_COLOR", "1")
    assert output.colour() is (None if wanted else False)


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="no pseudo-terminals here")
@pytest.mark.parametrize("wanted", [True, False])
def test_errors_in_a_terminal(wanted: bool, process: Process) -> None:
    """In a terminal of its own: colour unless NO_COLOR asks for none."""
    setting = "" if wanted else "os.environ['NO_COLOR'] = '1'\n"
    code = (
        "import os, pty\nos.environ.pop('NO_COLOR', None)\n"
        f"{setting}import sys\npty.spawn([sys.executable, '-m', 'zoo', 'show', 'nothing'])"
    )
    out, _ = process(code=code).communicate(timeout=60)
    assert "unknown config 'nothing'" in out
    assert bool(re.search(r"\x1b\[", out)) is wanted


def test_a_reader_that_goes_away_is_no_error(process: Process) -> None:
    running = process("list", "--json")
    running.stdout.close()
    err = running.stderr.read()
    running.wait(timeout=60)
    assert err == ""
