"""Mistakes planted in the model must be found by a fuzzer that is told nothing (fuzzed.py)."""

from __future__ import annotations

import ast

import pytest
from fuzzed import SEEDS, judge, line
from least import Least, _machines, least, workloads
from mistakes import MISTAKES
from mutants import ROOT, applied

from kmodel.fuzz.target import load

EACH = pytest.mark.parametrize("name", MISTAKES, ids=lambda name: name.replace(" ", "-"))


@EACH
def test_each_mistake_still_applies_and_is_python(name: str) -> None:
    """Else the list would grow stale unnoticed."""
    ast.parse(applied(MISTAKES[name], ROOT / "kmodel"))


def test_every_small_workload_is_tried_once() -> None:
    """CPUs are alike: two operations of three are 9 on one CPU, and 6 on two."""
    target = load("pool")
    machines = len([*_machines(target)])
    every = [*workloads(target, 2, False)]
    assert len(set(every)) == len(every) == (9 + 6) * machines


def test_the_least_that_shows_a_mistake_is_what_is_written_beside_it() -> None:
    mistake = MISTAKES["put does not count down"]
    found: Least = least(mistake, 3, 60)
    assert (found.operations, found.preemptions) == (mistake.operations, mistake.preemptions)
    assert found.kind in mistake.kinds.split()


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
@EACH
def test_each_mistake_is_found(name: str, seed: int) -> None:
    """From a cold start, within so many examples of its target."""
    fate = judge(MISTAKES[name], seed)
    assert fate.well, line(fate)
