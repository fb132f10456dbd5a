"""Bugs planted in the model must be found by a fuzzer that is told nothing (see fuzzed.py)."""

from __future__ import annotations

import ast

import pytest
from fuzzed import ESCAPES, PLANTED, SEEDS, judge, line
from mutants import ROOT, applied


@pytest.mark.parametrize("name", PLANTED, ids=lambda name: name.replace(" ", "-"))
def test_each_planted_bug_still_applies_and_is_python(name: str) -> None:
    """Else the list would grow stale unnoticed."""
    ast.parse(applied(PLANTED[name][1], ROOT / "kmodel"))


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", PLANTED, ids=lambda name: name.replace(" ", "-"))
def test_each_planted_bug_is_found(name: str, seed: int) -> None:
    """From a cold start, within so many examples of its target."""
    fate = judge(name, seed)
    if fate.found is None and name in ESCAPES:
        pytest.skip(f"known to escape: {line(fate)}")
    assert fate.found, line(fate)
