"""Retracing a schedule gives the states that a search has."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from random import Random

import pytest
from programs import build, program
from toys import spinner, tries

from kmodel.explore.graph import Graph, Limits, Search
from kmodel.explore.retrace import retrace
from kmodel.explore.tree import Divergence
from kmodel.world import World

WORLDS: list[Callable[[], World]] = [
    *(partial(build, program(number)) for number in range(40)),
    *(partial(spinner, steps) for steps in range(1, 20)),
    *(partial(tries, crossed) for crossed in (True, False) for _ in range(10)),
]


def walked(graph: Graph, dice: Random) -> tuple[bytes, list[int]]:
    """A random walk through ``graph``: its schedule and its states."""
    choices, states = bytearray(), [0]
    while len(choices) < 100:
        onward = [task for task, to in enumerate(graph.succ[states[-1]]) if to >= 0]
        if not onward:
            break
        choices.append(dice.choice(onward))
        states.append(graph.succ[states[-1]][choices[-1]])
    return bytes(choices), states


def test_equal_keys_are_equal_states_of_the_search() -> None:
    """Two moments of a run have the same key if and only if the graph has one state for them."""
    repeated = 0
    for number, make in enumerate(WORLDS):
        search = Search(make(), Limits(states=20_000))
        while search.advance(1000):
            pass
        choices, states = walked(search.graph, Random(number))
        keys = retrace(make(), choices)
        assert len(keys) == len(states)
        seen = dict(zip(states, keys))
        assert all(seen[state] == key for state, key in zip(states, keys)), number
        assert len(set(seen.values())) == len(seen), number
        repeated += len(states) - len(seen)
    assert repeated > 20


def test_a_loop_that_forgets_closes() -> None:
    """Two polls that find nothing: after the first the state is the same again."""
    states = retrace(spinner(1), bytes([1, 0, 0, 0, 0]))
    assert states[3] == states[4] == states[5] != states[2]


def test_a_step_that_is_not_possible_is_a_divergence() -> None:
    """With the step and the task."""
    with pytest.raises(Divergence, match="step 2: count cannot step"):
        retrace(spinner(0), bytes([0, 1, 1]))
