"""Checks that remember are refused: they would answer at random."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
from worlds import Cell

from kmodel.explore.result import replay, sample
from kmodel.explore.result import search as searched
from kmodel.point import pause
from kmodel.world import ScenarioError, World

CALLS: list[int] = []
LAST = 0


async def add(cell: Cell) -> None:
    await pause()
    cell.value += 1
    await pause()


def in_a_closure(cell: Cell) -> Any:
    seen = [0]

    def test() -> str | None:
        less = cell.value < seen[0]
        seen[0] = cell.value
        return "went back" if less else None

    return test


def in_a_variable(cell: Cell) -> Any:
    seen = 0

    def test() -> str | None:
        nonlocal seen
        seen = max(seen, cell.value)
        return None

    return test


def in_a_global_list(cell: Cell) -> Any:
    return lambda: CALLS.append(cell.value)


def in_a_global(cell: Cell) -> Any:
    def test() -> None:
        global LAST
        LAST = LAST + 1 + cell.value

    return test


def in_a_class(cell: Cell) -> Any:
    class Judge:
        calls = 0

        def test(self) -> None:
            type(self).calls += 1 + cell.value

    return Judge().test


def in_an_object(cell: Cell) -> Any:
    class Judge:
        calls = 0

        def test(self) -> None:
            self.calls += 1 + cell.value

    return Judge().test


WAYS = [in_a_closure, in_a_variable, in_a_global_list, in_a_global, in_a_class, in_an_object]


def built(remembers: Callable[[Cell], Any]) -> Callable[[World], None]:
    def build(world: World) -> None:
        with world:
            cell = Cell(0)
        world.task("A", add, cell)
        world.check("mine", remembers(cell))

    return build


@pytest.mark.parametrize("remembers", WAYS)
def test_a_check_that_remembers_is_refused(remembers: Callable[[Cell], Any]) -> None:
    """By a search, by a run that is shown again, and by samples."""
    build = built(remembers)
    for ask in (
        lambda: searched(build),
        lambda: replay(build, "0,0,0"),
        lambda: sample(build, runs=2),
    ):
        with pytest.raises(ScenarioError, match=r"check 'mine' changes .* may only look"):
            ask()


def test_a_check_may_hold_tables_of_its_own() -> None:
    """Lists and objects that stay as they are; and what builds a world may count."""
    built_so_far = itertools.count()
    allowed, names = [0, 1], {0: "none", 1: "one"}

    def looks(cell: Cell) -> Any:
        next(built_so_far)
        return lambda: None if cell.value in allowed and names[cell.value] else "what is that?"

    assert searched(built(looks)).verdict == "holds"
