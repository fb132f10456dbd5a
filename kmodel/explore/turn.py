"""One change of places among like tasks, and what it does to a state.

It moves locations (a field of A's CPU comes where that field of B's CPU was), the tasks and
objects that are values in them, and the nodes of tasks. Nodes are paired as they are met.
"""

from __future__ import annotations

import re
from array import array
from operator import itemgetter
from typing import Any

from kmodel.explore.history import DONE
from kmodel.explore.likeness import Places
from kmodel.explore.tree import State
from kmodel.recorder import Recorder
from kmodel.table import Table, Tasks
from kmodel.world import World


class Turn:
    """``places`` applied to states of the recorded ``world``.

    ``tasks[t]`` is the task whose place task ``t`` takes, ``to[l]`` the location whose place
    location ``l`` takes, and ``nodes[t]`` has for nodes of task ``t`` (by index) those of
    task ``tasks[t]``.
    """

    def __init__(self, places: Places, world: World, recorder: Recorder) -> None:
        self._places, self._recorder = places, recorder
        self._things: list[Any] = [*world.tasks, *world.objects]
        self.tasks = places[: len(world.tasks)]
        self.nodes: list[dict[int, int]] = [{DONE: DONE, 1: 1} for _ in world.tasks]
        self.codes: list[int] = []
        self.to = list(range(len(recorder.state)))
        for thing in world.objects:
            other = self._things[places[thing._oid]]
            for location, place in zip(_locations(thing), _locations(other)):
                self.to[location] = place
        self._shared = first = len(self.to)
        comes = [0] * (first + len(self.tasks))
        for source, place in enumerate([*self.to, *(first + task for task in self.tasks)]):
            comes[place] = source
        self._comes, self._shared_comes = itemgetter(*comes), itemgetter(*comes[:first])
        self._task_at = [source - first for source in comes[first:]]
        self._names = {
            thing.name: self._things[place].name
            for thing, place in zip(self._things, places)
            if thing._oid != place and isinstance(getattr(thing, "name", None), str)
        }
        longest = "|".join(map(re.escape, sorted(self._names, key=len, reverse=True)))
        self._named = re.compile(rf"(?<!\w)({longest})(?!\w)") if longest else None

    def learn(self) -> None:
        """Take in the codes that came up since (which may bring up others)."""
        values, codes = self._recorder.values, self.codes
        while len(codes) < len(values):
            codes.append(self._recorder.encode(self._value(values[len(codes)])))

    def _value(self, value: Any) -> Any:
        if isinstance(value, tuple):
            moved = map(self._value, value)
            return Tasks(moved) if isinstance(value, Tasks) else tuple(moved)
        oid = getattr(value, "_oid", -1)
        return self._things[self._places[oid]] if oid >= 0 else value

    def shared(self, state: State[int]) -> State[int]:
        """What becomes of shared state."""
        return self._moved(self._shared_comes(state))

    def state(self, state: State[int]) -> State[int]:
        """What becomes of a whole state."""
        found = self._comes(state)
        after = self._moved(found)
        for place, task in enumerate(self._task_at, self._shared):
            after.append(self.nodes[task][found[place]])
        return after

    def _moved(self, found: tuple[int, ...]) -> State[int]:
        return array("H", map(self.codes.__getitem__, found[: self._shared]))

    def text(self, message: str) -> str:
        """``message``, about what has come in the place of whatever it names."""
        if self._named is None:
            return message
        return self._named.sub(lambda found: self._names[found[1]], message)


def _locations(thing: Any) -> list[int]:
    """Those of a recorded object, in the order of its class."""
    if isinstance(thing, Table):
        return list(range(thing._first, thing._first + len(thing)))
    return list(thing._place.values())
