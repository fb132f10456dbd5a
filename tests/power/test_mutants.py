"""Mutants of the searcher and of the primitives must die (see mutants.py)."""

from __future__ import annotations

import ast

import pytest
from mutants import MUTANTS, NOTHING, ROOT, Mutant, applied, judge


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name.replace(" ", "-"))
def test_each_mutant_still_applies_and_is_python(mutant: Mutant) -> None:
    """Else the list would grow stale unnoticed."""
    ast.parse(applied(mutant, ROOT / "kmodel"))


def test_names_are_told_apart() -> None:
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)


@pytest.mark.slow
def test_nothing_is_caught_where_nothing_is_wrong() -> None:
    """Else every mutant would be, for nothing."""
    fate = judge(NOTHING)
    assert not fate.caught, fate.by


@pytest.mark.slow
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name.replace(" ", "-"))
def test_each_mutant_is_caught(mutant: Mutant) -> None:
    """By a test of the explorer or of the locks that was not written for it."""
    fate = judge(mutant)
    assert fate.caught, f"{mutant.name} survived: {fate.by}"
