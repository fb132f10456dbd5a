"""The facts of the kernel that tests establish, as a table: ``python tests/facts.py``.

A test of a fact is marked ``@fact("what the kernel does", "where that is written")``. The
table in ``docs/facts.md`` is made of these marks, so no fact stands there without a test.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

TESTS = Path(__file__).parent
PAGE = TESTS.parent / "docs" / "facts.md"

HEAD = """\
# What the model takes for a fact

Each line is something that the kernel does as far as its sources say (`file revision function`),
and the test that would fail if the model did otherwise. Made by `python tests/facts.py`;
`pytest -m fact` runs all of them. `python tests/power/opposites.py` makes the model do the opposite
of many of them, one edit at a time, and says whether their tests notice.
"""


class Fact(NamedTuple):
    """One fact, its source, and the test, as pytest names it."""

    text: str
    source: str
    test: str


def fact(text: str, source: str) -> Callable[[Any], Any]:
    """Mark a test as the one that establishes ``text``, which ``source`` says."""
    return pytest.mark.fact(text, source)


def marked(name: str) -> Iterator[tuple[list[Any], str]]:
    """Each test that carries ``@name(...)``: what stands in the brackets (plain constants, for
    they are only read), and the test, as pytest names it. In the order of the files."""
    for path in sorted(TESTS.rglob("test_*.py")):
        place = path.relative_to(TESTS.parent).as_posix()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                for mark in node.decorator_list:
                    if isinstance(mark, ast.Call) and getattr(mark.func, "id", None) == name:
                        yield [ast.literal_eval(one) for one in mark.args], f"{place}::{node.name}"


def facts() -> Iterator[Fact]:
    """Every fact that a test is marked with."""
    for (text, source), test in marked("fact"):
        yield Fact(text, source, test)


def _chapter(found: Fact) -> str:
    """Facts lie under the folder, or the file, of their tests."""
    parts = Path(found.test.partition("::")[0]).parts
    return parts[1] if len(parts) > 2 else parts[1].removeprefix("test_").removesuffix(".py")


def page(found: list[Fact]) -> str:
    """The page: a table for each chapter."""
    chapters: dict[str, list[Fact]] = {}
    for one in found:
        chapters.setdefault(_chapter(one), []).append(one)
    text = HEAD
    for name, those in sorted(chapters.items()):
        text += f"\n## {name}\n\n| fact | source | test |\n|---|---|---|\n"
        for one in those:
            text += f"| {_cell(one.text)} | {_cell(one.source)} | `{one.test}` |\n"
    return text


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(page(list(facts())))
