"""What a campaign finds: bugs, and targets that cannot be fuzzed."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b
from typing import Final

import attrs

from kmodel.explore.signature import Signature
from kmodel.fuzz.judged import Known, Shown
from kmodel.fuzz.reduce import Reduced, cost
from kmodel.fuzz.target import Target
from kmodel.fuzz.workload import Workload

CRASH: Final = "crash"
TROUBLE: Final = {
    CRASH: "the target or kmodel itself fails, which is no bug found; please report it",
    "scenario-error": "the target is wrong, which is no bug found",
    "nondeterminism": "the target does not do the same each time, which is no bug found",
}


@attrs.define
class Failure:
    """One bug: what first showed it, after how many examples and seconds (of its target),
    and the smallest workload that does: ``so_far``, and ``reduced`` once no more is tried.
    Hangs by the causes of ``known``, found before it, are looked past."""

    target: Target
    signature: Signature
    workload: Workload
    shown: Shown
    examples: int
    seconds: float
    known: Known = frozenset()
    seen: int = 1
    so_far: Reduced | None = None
    reduced: Reduced | None = None

    @property
    def best(self) -> tuple[Workload, Shown]:
        less = self.reduced or self.so_far
        return (less.workload, less.shown) if less else (self.workload, self.shown)

    @property
    def name(self) -> str:
        """The same for the same bug, on any day: ``pool_deadlock_3f2a``."""
        digest = blake2b(repr(attrs.astuple(self.signature)).encode(), digest_size=2).hexdigest()
        return f"{self.target.name}_{self.signature.kind.replace('-', '_')}_{digest}"

    def shows(self, other: Failure) -> bool:
        """Does its smallest run's workload break in the other's way too?"""
        if other.target is not self.target:
            return False
        less = self.reduced or self.so_far
        return self.best[0] == other.best[0] or bool(less and other.signature in less.symptoms)


@attrs.frozen
class Trouble:
    """No bug of the model, but a target that cannot be fuzzed: one of ``TROUBLE``."""

    target: str
    kind: str
    message: str
    workload: Workload | None


@attrs.frozen
class Root:
    """A failure, and those that its smallest workload shows beside it: one cause, so far as can
    be told. Also ``beside`` it breaks what a smaller workload shows alone: that may be the cause,
    or two things that are wrong."""

    failure: Failure
    others: tuple[Failure, ...]
    beside: tuple[Failure, ...] = ()


def roots(failures: Iterable[Failure]) -> list[Root]:
    """Grouped, the smallest first."""
    found: list[tuple[Failure, list[Failure]]] = []
    for one in sorted(failures, key=lambda one: (one.target.name, cost(one.target, *one.best))):
        for leader, others in found:
            if leader.shows(one):
                others.append(one)
                break
        else:
            found.append((one, []))
    leaders = [leader for leader, _ in found]
    return [
        Root(one, tuple(others), tuple(o for o in leaders if o is not one and one.shows(o)))
        for one, others in found
    ]
