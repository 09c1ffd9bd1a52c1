"""The documents keep their word: quoted lines exist, examples run, translations have the same code."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "benchmarks").glob("*.md")])
FENCE = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
QUOTED = re.compile(r"^\| .+ \| `([^`]+)` \| `([\w/.]+\.py)` \|$", re.MULTILINE)
LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)[^)]*\)")


def named(paths: list[Path]) -> list[object]:
    return [pytest.param(path, id=str(path.relative_to(ROOT))) for path in paths]


def quoted(path: Path) -> list[tuple[str, str]]:
    return QUOTED.findall(path.read_text())


@pytest.mark.parametrize("path", named([p for p in DOCUMENTS if QUOTED.search(p.read_text())]))
def test_quoted_lines_are_in_the_code(path: Path) -> None:
    for line, file in QUOTED.findall(path.read_text()):
        assert line in (ROOT / file).read_text(), f"{path.name} quotes a line that {file} no longer has: {line}"


# a translation has the code of its original, which is tested below
ORIGINALS = [path for path in DOCUMENTS if not path.name.endswith(".ko.md")]


@pytest.mark.parametrize("path", named([p for p in ORIGINALS if "```python" in p.read_text()]))
def test_python_examples_run(path: Path, tmp_path: Path) -> None:
    """Blocks of one document share their names, as a reader would type them. A loop body alone is not an example."""
    blocks = [block for language, block in FENCE.findall(path.read_text()) if language == "python"]
    program = "\n".join(block for block in blocks if "import zoo" in block)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    # in a process of its own, since examples register parts
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("path", named(DOCUMENTS))
def test_links_lead_somewhere(path: Path) -> None:
    for target in LINK.findall(path.read_text()):
        assert (path.parent / target).exists(), f"{path.name} links to {target}"


@pytest.mark.parametrize("path", named([p for p in DOCUMENTS if p.name.endswith(".ko.md")]))
def test_translations_have_the_same_code(path: Path) -> None:
    original = path.with_name(path.name.replace(".ko.md", ".md"))
    assert FENCE.findall(path.read_text()) == FENCE.findall(original.read_text())
    assert quoted(path) == quoted(original)
