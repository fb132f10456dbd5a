"""The README's table of verdicts is made from what ``kmodel compare --all --json`` found."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

from kmodel import fixes, situations
from kmodel.cell import cells
from kmodel.cli.compare import document
from kmodel.compare import judge, left_out, units
from kmodel.explore.graph import Limits

ROOT = Path(__file__).parent.parent


def script() -> Any:
    spec = importlib.util.spec_from_file_location("matrix", ROOT / "docs" / "matrix.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def found(fix: str, situation: str, states: int = 100_000) -> Any:
    todo = units([fix], [situation], {"lap": "wakes"})
    judged = [judge(unit, Limits(states=states)) for unit in todo]
    return document(cells(judged, todo), left_out([fix], ["intrsafe-full"]), False)


def test_each_cell_says_its_worst_and_what_is_only_so_far() -> None:
    """Several files are one table; a cell that cannot be has a dash."""
    some = [found("direct", "fragmented"), found("wait", "fragmented"), found("wait", "kva", 1500)]
    assert script().table(some).splitlines() == [
        "| | kva | intrsafe-full | fragmented |",
        "|---|---|---|---|",
        "| `wait` | >= deadlock | - | holds |",
        "| `direct` |  | - | deadlock |",
    ]


def test_the_table_takes_the_place_of_the_one_in_the_readme(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And of nothing else; without a file it says how it is used."""
    matrix = script()
    monkeypatch.setattr(matrix, "README", tmp_path / "README.md")
    before = (ROOT / "README.md").read_text()
    matrix.README.write_text(before)
    saved = tmp_path / "found.json"
    saved.write_text(json.dumps(found("direct", "fragmented")))
    assert matrix.main(["--write", str(saved)]) == 0
    after = matrix.README.read_text()
    begin = before.index("| | contention |")
    end = before.index("\n\n", begin) + 1
    assert after == before[:begin] + matrix.table([json.loads(saved.read_text())]) + before[end:]
    assert "--write F" in str(matrix.main([]))


def test_the_readme_has_a_row_for_each_fix_and_a_column_for_each_situation() -> None:
    """Also of those that were made since the table was."""
    (table,) = script().TABLE.findall((ROOT / "README.md").read_text())
    heads, _, *rows = table.splitlines()
    assert heads == "| | " + " | ".join(situations.names()) + " |"
    assert [row.split("`")[1] for row in rows] == fixes.names()
