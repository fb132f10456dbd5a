"""What larger bounds cost: the page says what a search finds today."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any

import pytest

DOCS = Path(__file__).parent.parent / "docs"
LINES = re.findall(
    r"^\| ([a-z-]+) \| (\d) \| (\d) \| (> )?([\d,]+) \| [^|]+ "
    r"\| (?:> )?([\d,]+) \| [^|]+ \| (.+) \|$",
    (DOCS / "cost.md").read_text(),
    re.MULTILINE,
)
SMALL = [line for line in LINES if line[1] == "1" or line[:3] == ("populate", "2", "1")]


def script() -> Any:
    spec = importlib.util.spec_from_file_location("cost", DOCS / "cost.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_each_fix_has_a_line_for_each_size() -> None:
    cost = script()
    told = [(fix, int(cpus), int(faults)) for fix, cpus, faults, *_ in LINES]
    assert told == [(fix, *size) for fix in cost.FIXES for size in cost.SIZES]


@pytest.mark.parametrize("line", SMALL, ids=lambda line: " ".join(line[:3]))
def test_the_small_ones_are_as_the_page_says(line: tuple[str, ...]) -> None:
    """States and steps to the last one. If not: ``python docs/cost.py``."""
    fix, cpus, faults, cut, states, steps, verdict = line
    found = script().one(fix, int(cpus), int(faults))
    assert (f"{found['states']:,}", f"{found['steps']:,}") == (states, steps)
    assert (found["verdict"], found["complete"]) == (verdict, not cut)
