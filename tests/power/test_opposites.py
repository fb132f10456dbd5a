"""A test that establishes a fact fails where the model does the opposite (see opposites.py)."""

from __future__ import annotations

import ast

import pytest
from mutants import ROOT, applied, judge
from opposites import OPPOSITES, Opposite

EACH = pytest.mark.parametrize(
    "opposite", OPPOSITES, ids=lambda one: one.test.partition("::")[2].removeprefix("test_")
)


@EACH
def test_each_still_applies_is_python_and_has_its_test(opposite: Opposite) -> None:
    """Else the list would grow stale unnoticed."""
    ast.parse(applied(opposite.mutant, ROOT / "kmodel"))
    file, _, name = opposite.test.partition("::")
    assert f"def {name}(" in (ROOT / file).read_text()


@pytest.mark.slow
@EACH
def test_each_is_noticed(opposite: Opposite) -> None:
    fate = judge(opposite.mutant, (opposite.test,))
    assert fate.caught, fate.by
