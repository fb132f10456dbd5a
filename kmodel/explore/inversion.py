"""A cycle in the lock order: who held and who wanted, and whether it can happen."""

from __future__ import annotations

import attrs

Pair = tuple[str, str]
"""A lock held, and the one wanted."""


@attrs.frozen
class Taking:
    """``task`` held ``held``, all these, when it was about to wait for ``wanted``, ``at`` a
    place in the model's code."""

    task: int
    held: tuple[str, ...]
    wanted: str
    at: str = ""


@attrs.frozen
class Deadlock:
    """``tasks[i]`` holds the i-th lock of a cycle, and waits in ``state`` for the next."""

    state: int
    tasks: tuple[int, ...]


@attrs.frozen
class Inversion:
    """A cycle of ``locks``, each held while the next is wanted, the last before the first.

    ``takings`` has one example for each of these pairs, ``gates`` the other locks that
    were held each time. ``read_only``: every lock of it was only shared, and only wanted
    so. Without ``deadlock`` it is unreachable if the graph is ``complete``.
    """

    locks: tuple[str, ...]
    takings: tuple[Taking, ...]
    gates: tuple[str, ...]
    read_only: bool
    deadlock: Deadlock | None
    complete: bool
    states: int

    @property
    def status(self) -> str:
        if self.deadlock:
            return "confirmed"
        return "unreachable within bounds" if self.complete else "not confirmed"

    def message(self, names: list[str]) -> str:
        """Who held and who wanted, and what is known of it."""
        pairs = list(zip(self.locks, self.takings))
        told = "; ".join(
            f"{names[t.task]} holds {held} and wants {t.wanted}{t.at and f' in {t.at}'}"
            for held, t in pairs
        )
        if self.read_only:
            told += " (readers only: harmless until writers wait in between)"
        return f"{told}: {self.status}, {self._why(names)}"

    def _why(self, names: list[str]) -> str:
        if self.deadlock:
            stuck = " and ".join(names[task] for task in self.deadlock.tasks)
            return f"{stuck} can wait so for one another for ever"
        if not self.complete:
            return f"no such deadlock in {self.states:,} states, and the search ended early"
        why = ""
        if self.gates:
            why = f" ({' and '.join(self.gates)} is held each time)"
        elif len({taking.task for taking in self.takings}) == 1:
            why = " (no other task takes them so)"
        return f"a potential inversion only: no such deadlock in {self.states:,} states{why}"
