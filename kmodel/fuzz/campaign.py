"""A campaign: turns of Hypothesis on one target after the other, until the budget is spent.

A turn ends at the first bug that this campaign has not seen; the bug is made smaller and
kept, and the next turn goes on, so that a bug that is known hides no other. Deterministic
for a seed and a number of examples: no database is read unless stored failures are asked
for, and the clock ends turns only where minutes are the budget.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Final
from unittest import SkipTest

import attrs
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.database import DirectoryBasedExampleDatabase, ExampleDatabase
from hypothesis.errors import Flaky

from kmodel.explore.signature import Signature
from kmodel.explore.tree import Divergence
from kmodel.fuzz.judged import Judged, Shown, judge
from kmodel.fuzz.reduce import Reduced, cost, reduce
from kmodel.fuzz.target import Target
from kmodel.fuzz.workload import Workload
from kmodel.recorder import SharedStateError
from kmodel.settings import UsageError
from kmodel.world import ScenarioError

TURN: Final = 100
"""Examples of one target before the next has its turn."""


class Bug(Exception):
    """An example shows a bug. Each signature has a subclass of its own, which is how
    Hypothesis tells two failures apart."""


class Over(BaseException):
    """The time is up; no failure of any example."""


@attrs.define
class Failure:
    """One bug: what first showed it, after how many examples and seconds (of its target),
    and the smallest workload that does (``None`` until it has been made smaller)."""

    target: Target
    signature: Signature
    workload: Workload
    shown: Shown
    examples: int
    seconds: float
    seen: int = 1
    reduced: Reduced | None = None

    @property
    def best(self) -> tuple[Workload, Shown]:
        if self.reduced is None:
            return self.workload, self.shown
        return self.reduced.workload, self.reduced.shown


@attrs.frozen
class Trouble:
    """No bug of the model, but a target that cannot be fuzzed: it is wrong
    (``scenario-error``) or does not do the same each time (``nondeterminism``)."""

    target: str
    kind: str
    message: str
    workload: Workload | None


@attrs.define
class Tally:
    """What was done to one target. ``judging`` of its ``seconds`` went into searches,
    ``reducing`` into making bugs smaller; the rest is Hypothesis' own."""

    examples: int = 0
    repeated: int = 0
    states: int = 0
    steps: int = 0
    cut: int = 0
    seconds: float = 0.0
    judging: float = 0.0
    reducing: float = 0.0
    turns: int = 0


class Stored(ExampleDatabase):
    """Writes every failure to ``.kmodel/``, and reads only if stored ones are asked for."""

    def __init__(self, folder: str, reading: bool) -> None:
        super().__init__()
        self._files, self._reading = DirectoryBasedExampleDatabase(folder), reading

    def save(self, key: bytes, value: bytes) -> None:
        self._files.save(key, value)

    def fetch(self, key: bytes) -> Iterable[bytes]:
        return self._files.fetch(key) if self._reading else ()

    def delete(self, key: bytes, value: bytes) -> None:
        if self._reading:
            self._files.delete(key, value)


@attrs.define
class Campaign:
    """``examples`` in all, or ``minutes`` (whichever is given; both: what ends first).
    ``database`` is the folder of stored failures (``None``: nothing is stored), ``stored``
    asks for them first. ``tick`` is called after each example."""

    targets: list[Target]
    seed: int = 0
    examples: int | None = None
    minutes: float | None = None
    database: str | None = None
    stored: bool = False
    tick: Callable[[Campaign], None] = lambda campaign: None
    tallies: dict[str, Tally] = attrs.field(factory=dict)
    failures: list[Failure] = attrs.field(factory=list)
    troubles: list[Trouble] = attrs.field(factory=list)
    interrupted: bool = False
    seconds: float = 0.0
    _began: float = 0.0
    _seen: dict[Workload, type[Bug] | None] = attrs.field(factory=dict)
    _types: dict[Signature, type[Bug]] = attrs.field(factory=dict)

    def run(self) -> None:
        """Spend the budget; a Ctrl-C ends it and keeps everything."""
        self._began = time.monotonic()
        self.tallies = {target.name: Tally() for target in self.targets}
        try:
            if self.stored:
                for target in self.targets:
                    self._turn(target, 1, stored=True)
            while ready := self._ready():
                for target in ready:
                    self._turn(target, min(TURN, self._left(target)))
        except Over:
            pass
        except KeyboardInterrupt:
            self.interrupted = True
        self.seconds = time.monotonic() - self._began

    def _ready(self) -> list[Target]:
        wrong = {one.target for one in self.troubles}
        return [t for t in self.targets if t.name not in wrong and self._left(t) > 0]

    def _left(self, target: Target) -> int:
        """Examples of this target's share."""
        if self.examples is None:
            return TURN
        place = self.targets.index(target)
        share, more = divmod(self.examples, len(self.targets))
        done = self.tallies[target.name]
        return share + (place < more) - done.examples - done.repeated

    def _turn(self, target: Target, examples: int, stored: bool = False) -> None:
        """Some examples; fewer if one shows a new bug. What is new is then made smaller."""
        if examples <= 0:
            return
        tally, began, before = self.tallies[target.name], time.monotonic(), len(self.failures)
        tally.turns += 1
        try:
            self._hypothesis(target, examples, stored)
        except (Bug, BaseExceptionGroup) as error:
            self._raise_what_is_no_bug(error)
        except SkipTest:
            pass  # nothing is stored
        except Flaky:
            self._trouble(target, "nondeterminism", "an example failed, and not when run again")
        finally:
            tally.seconds += time.monotonic() - began
        for failure in self.failures[before:]:
            if failure.reduced is None:
                self._reduce(failure)

    def _raise_what_is_no_bug(self, error: BaseException) -> None:
        for one in error.exceptions if isinstance(error, BaseExceptionGroup) else (error,):
            if not isinstance(one, Bug):
                raise one

    def _hypothesis(self, target: Target, examples: int, stored: bool) -> None:
        tally = self.tallies[target.name]

        def example(workload: Workload) -> None:
            self._example(target, workload)

        number = self.seed * 1_000_003 + tally.turns
        database = Stored(self.database, stored) if self.database else None
        seeded = seed(number)(given(target.workloads())(example))  # first: it drops the database
        test = settings(
            max_examples=examples,
            phases=[Phase.reuse] if stored else [Phase.reuse, Phase.generate],
            database=database,
            deadline=None,
            print_blob=False,
            suppress_health_check=list(HealthCheck),
        )(seeded)
        # failures are stored by target, whatever this function is called
        test._hypothesis_internal_database_key = target.name.encode()  # type: ignore[attr-defined]
        test()

    def _example(self, target: Target, workload: Workload) -> None:
        """Raises ``Bug`` if it shows one that no turn before has shown."""
        tally = self.tallies[target.name]
        if workload in self._seen:
            tally.repeated += 1
            if (known := self._seen[workload]) is not None:
                raise known  # the same answer as before, or Hypothesis calls it flaky
            return
        if self.minutes is not None and time.monotonic() - self._began > self.minutes * 60:
            raise Over
        judged = self._judged(target, workload)
        if judged is None:
            self._seen[workload] = None
            return
        self._seen[workload] = new = self._note(target, workload, judged)
        self.tick(self)
        if new is not None:
            raise new

    def _judged(self, target: Target, workload: Workload) -> Judged | None:
        """``None`` if the target cannot be judged, which is noted."""
        tally, began = self.tallies[target.name], time.monotonic()
        if any(one.target == target.name for one in self.troubles):
            return None
        try:
            judged = judge(target, workload)
        except (ScenarioError, SharedStateError, UsageError) as error:
            self._trouble(target, "scenario-error", str(error), workload)
            return None
        except Divergence as error:
            self._trouble(target, "nondeterminism", str(error), workload)
            return None
        tally.judging += time.monotonic() - began
        tally.examples += 1
        tally.states += judged.states
        tally.steps += judged.steps
        tally.cut += not judged.whole
        return judged

    def _note(self, target: Target, workload: Workload, judged: Judged) -> type[Bug] | None:
        """Keep what is new; the class of the first that is."""
        new: type[Bug] | None = None
        known = {(one.target.name, one.signature): one for one in self.failures}
        for shown in judged.shown:
            failure = known.get((target.name, shown.signature))
            if failure is not None:
                failure.seen += 1
                continue
            tally = self.tallies[target.name]
            seconds = time.monotonic() - self._began
            self.failures.append(
                Failure(target, shown.signature, workload, shown, tally.examples, seconds)
            )
            new = new or self._type(shown.signature)
        return new

    def _type(self, signature: Signature) -> type[Bug]:
        if signature not in self._types:
            self._types[signature] = type(f"Bug{len(self._types)}", (Bug,), {})
        return self._types[signature]

    def _reduce(self, failure: Failure) -> None:
        began = time.monotonic()
        try:
            failure.reduced = reduce(failure.target, failure.workload, failure.shown)
        except Divergence as error:
            self._trouble(failure.target, "nondeterminism", str(error), failure.workload)
        except (ScenarioError, SharedStateError, UsageError) as error:
            self._trouble(failure.target, "scenario-error", str(error), failure.workload)
        finally:
            tally, took = self.tallies[failure.target.name], time.monotonic() - began
            tally.reducing += took
            tally.seconds += took
        self.tick(self)

    def _trouble(
        self, target: Target, kind: str, message: str, workload: Workload | None = None
    ) -> None:
        self.troubles.append(Trouble(target.name, kind, message, workload))

    @property
    def groups(self) -> list[Failure]:
        """The failures, one of each smallest workload: two symptoms of one run are one bug."""
        found: dict[object, Failure] = {}
        for one in self.failures:
            workload, shown = one.best
            found.setdefault((workload, shown.signature), one)
        return sorted(
            found.values(), key=lambda one: (one.target.name, cost(one.target, *one.best))
        )
