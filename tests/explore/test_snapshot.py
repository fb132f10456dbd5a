"""A moment of a run as values: whatever is state tells two moments apart."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from toys import Counter

from kmodel.explore.execution import Execution
from kmodel.explore.snapshot import snapshot
from kmodel.point import pause
from kmodel.table import Sparse, Table
from kmodel.world import World


def in_a_field() -> Callable[[], None]:
    counter = Counter()
    return lambda: setattr(counter, "count", 1)


def in_a_table() -> Callable[[], None]:
    table = Table([0, 0])
    return lambda: table.__setitem__(1, 1)


def in_a_sparse_table() -> Callable[[], None]:
    table: Sparse[int] = Sparse()
    return lambda: table.__setitem__(1, 1)


@pytest.mark.parametrize("make", [in_a_field, in_a_table, in_a_sparse_table])
def test_a_step_that_changes_one_value_is_seen(make: Callable[[], Callable[[], None]]) -> None:
    """And one that changes nothing is not."""
    with World() as world:
        change = make()

    async def body() -> None:
        while True:
            await pause()
            await pause()
            change()

    world.task("A", body)
    execution = Execution(world)
    execution.step(0)
    before = snapshot(execution)
    execution.step(0)
    assert snapshot(execution) == before
    execution.step(0)
    assert snapshot(execution) != before
    execution.close()
