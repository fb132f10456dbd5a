"""The exact states that a schedule leads through: to know whether a loop closes.

A state is what the search takes it for: every shared location, and each task's history.
"""

from __future__ import annotations

from kmodel.explore.history import Histories
from kmodel.explore.tree import BLOCKED, Divergence
from kmodel.world import World


def retrace(world: World, schedule: bytes) -> list[bytes]:
    """The key of the state before each step of ``schedule`` and, unless it panics, of that
    after the last. ``world`` is a fresh one, and is used up.

    Raises ``Divergence`` where a step is not possible.
    """
    histories = Histories(world)
    state = histories.initial
    keys = [state.tobytes()]
    try:
        for step, task in enumerate(schedule):
            node = histories.node(state, task)
            leaf = histories.leaf(node, state) if node.op is not None else BLOCKED
            if leaf is BLOCKED:
                raise Divergence(f"step {step}: {world.tasks[task].name} cannot step")
            if leaf.next is None:
                break
            state = state[:]
            for where, code in leaf.stores:
                state[where] = code
            state[histories.locations + task] = leaf.next.index
            keys.append(state.tobytes())
    finally:
        histories.close()
    return keys
