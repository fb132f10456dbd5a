"""A campaign: turns of Hypothesis on one target after the other, until the budget is spent.

A turn ends at the first bug that this campaign has not seen; the bug is made smaller and
kept, and the next turn goes on, so that a bug that is known hides no other. Deterministic
for a seed and a number of examples: nothing stored is read unless it is asked for, and the
clock ends turns only where minutes are the budget.
"""

from __future__ import annotations

import gc
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from hashlib import blake2b
from typing import Final

import attrs
from hypothesis.errors import Flaky

from kmodel.explore.interrupt import interruptible
from kmodel.explore.tree import Divergence
from kmodel.fuzz.budget import LONGER, Budget, Tally
from kmodel.fuzz.drawn import Bug, Over, bug, draw
from kmodel.fuzz.failure import CRASH, Failure, Root, Trouble, roots
from kmodel.fuzz.judged import Judged, Known, judge
from kmodel.fuzz.reduce import reducing
from kmodel.fuzz.stored import Stored
from kmodel.fuzz.target import Target
from kmodel.fuzz.workload import Workload
from kmodel.recorder import SharedStateError
from kmodel.settings import UsageError
from kmodel.world import ScenarioError

REPEATS: Final = 100
"""Workloads drawn again in a row that end a turn. A turn of nothing else was the target's last."""


@attrs.define
class Campaign:
    """``examples`` in all, or ``minutes`` (whichever is given; both: what ends first; neither:
    until a Ctrl-C).

    What is found is kept in ``stored`` at once; ``again`` runs what is there first. ``tick``
    is called after each example and each try to make one smaller, ``found`` when a failure is
    as small as it gets.
    """

    targets: list[Target]
    seed: int = 0
    examples: int | None = None
    minutes: float | None = None
    stored: Stored | None = None
    again: bool = False
    tick: Callable[[Campaign], None] = lambda campaign: None
    found: Callable[[Failure], None] = lambda failure: None
    tallies: dict[str, Tally] = attrs.field(factory=dict)
    failures: list[Failure] = attrs.field(factory=list)
    troubles: list[Trouble] = attrs.field(factory=list)
    gone: list[Workload] = attrs.field(factory=list)
    interrupted: bool = False
    seconds: float = 0.0
    doing: str = ""
    _budget: Budget = attrs.field(init=False)
    _until: float | None = None
    _asked_to_stop: Callable[[], bool] = lambda: False
    _seen: set[int] = attrs.field(factory=set)
    _new: dict[Workload, type[Bug]] = attrs.field(factory=dict)
    _in_a_row: int = 0
    _exhausted: set[str] = attrs.field(factory=set)

    def run(self) -> None:
        """Spend the budget; a Ctrl-C ends it and keeps everything."""
        self.tallies = {target.name: Tally() for target in self.targets}
        minutes = self.minutes
        if self.examples is None and minutes is None:
            minutes = float("inf")
        self._budget = Budget(self.examples, minutes, self.tallies)
        try:
            with interruptible() as self._asked_to_stop:
                if self.again and self.stored is not None:
                    self._again(self.stored)
                self._go_on()
        except KeyboardInterrupt:
            self.interrupted = True
        self.seconds = self._budget.passed()

    def _go_on(self) -> None:
        targets = {target.name: target for target in self.targets}
        while turns := self._budget.next_round([name for name in targets if self._able(name)]):
            for name, examples, seconds in turns:
                self._turn(targets[name], examples, seconds)

    def _listen(self) -> None:
        """Raises ``KeyboardInterrupt`` if there was a Ctrl-C, where nothing is half done."""
        self.tick(self)
        if self._asked_to_stop():
            raise KeyboardInterrupt

    def _able(self, name: str) -> bool:
        return name not in self._exhausted and all(one.target != name for one in self.troubles)

    def _again(self, stored: Stored) -> None:
        """What was stored, first. What breaks nothing any more is forgotten."""
        for target in self.targets:
            for workload in filter(target.has_pinned, stored.of(target)):
                if self._budget.over():
                    return
                before = len(self.failures)
                with self._timed(target, "what is stored"):
                    judged = self._judged_again(target, workload)
                if judged is None:
                    break
                self._note(target, workload, judged)
                if not judged.shown and judged.whole:
                    self.gone.append(workload)
                    stored.forget(workload)
                self._listen()
                self._reduce_from(before)

    def _judged_again(self, target: Target, workload: Workload) -> Judged | None:
        """Past what is known already, which may hide what it was stored for; if there is
        nothing else, with that."""
        known = self._known(target)
        judged = self._judged(target, workload, known)
        if known and judged is not None and not judged.shown:
            return self._judged(target, workload, frozenset())
        return judged

    def _turn(self, target: Target, examples: int, seconds: float | None) -> None:
        """Some examples; fewer if one shows a new bug. What is new is then made smaller."""
        before, tally = len(self.failures), self.tallies[target.name]
        done = tally.examples
        tally.turns += 1
        self._until = None if seconds is None else self._budget.passed() + seconds
        self._new.clear()
        self._in_a_row = 0
        with self._timed(target, "searching"):
            number = self.seed * 1_000_003 + tally.turns
            try:
                draw(target, number, examples, partial(self._example, target))
            except Flaky:
                self._trouble(target, "nondeterminism", "an example failed, and not when run again")
        if tally.examples == done:
            self._exhausted.add(target.name)
        self._reduce_from(before)
        # worlds are cycles, and searches run without the collector: a night would fill memory
        gc.collect()

    @contextmanager
    def _timed(self, target: Target, doing: str) -> Iterator[Tally]:
        self.doing = f"{target.name}, {doing}"
        tally, began = self.tallies[target.name], time.monotonic()
        try:
            yield tally
        finally:
            tally.seconds += time.monotonic() - began

    def _example(self, target: Target, workload: Workload) -> None:
        """Raises ``Bug`` if it shows one that no turn before has shown."""
        if self._budget.over() or (self._until and self._budget.passed() > self._until):
            raise Over
        if workload in self._new:
            raise self._new[workload]  # the same answer as before, or Hypothesis calls it flaky
        if _number(workload) in self._seen:
            self.tallies[target.name].repeated += 1
            self._in_a_row += 1
            if self._in_a_row == REPEATS:
                raise Over
            return
        self._in_a_row = 0
        judged = self._judged(target, workload, self._known(target))
        if judged is None:
            raise Over
        new = self._note(target, workload, judged)
        self._listen()
        if new is not None:
            self._new[workload] = new
            raise new

    def _judged(self, target: Target, workload: Workload, known: Known) -> Judged | None:
        """``None`` if the target cannot be judged, which is noted."""
        tally, began = self.tallies[target.name], time.monotonic()
        if not self._able(target.name):
            return None
        with self._troubles(target, workload):
            judged = judge(target, workload, known)
            tally.judging += time.monotonic() - began
            tally.examples += 1
            tally.states += judged.states
            tally.steps += judged.steps
            tally.cut += not judged.whole
            return judged
        return None

    def _known(self, target: Target) -> Known:
        """The causes of the hangs that were found: searches go on past them."""
        mine = (one.shown.cause for one in self.failures if one.target is target)
        return frozenset(cause for cause in mine if cause)

    def _note(self, target: Target, workload: Workload, judged: Judged) -> type[Bug] | None:
        """Keep what is new; the class of the first that is."""
        self._seen.add(_number(workload))
        new: type[Bug] | None = None
        known = {(one.target.name, one.signature): one for one in self.failures}
        for shown in judged.shown:
            failure = known.get((target.name, shown.signature))
            if failure is not None:
                failure.seen += 1
                continue
            examples, seconds = self.tallies[target.name].examples, self._budget.passed()
            past = self._known(target) - {shown.cause}
            self.failures.append(
                Failure(target, shown.signature, workload, shown, examples, seconds, past)
            )
            if self.stored is not None:
                self.stored.keep(workload)
            new = new or bug(shown.signature)
        return new

    def _reduce_from(self, first: int) -> None:
        for failure in self.failures[first:]:
            self._reduce(failure)
            if self._still(failure):
                self.found(failure)
            self._listen()

    def _still(self, failure: Failure) -> bool:
        """Does what is handed over break once more? If not it is no bug found."""
        workload, _ = failure.best
        with self._troubles(failure.target, workload):
            if judge(failure.target, workload, failure.known).of(failure.signature) is None:
                self.failures.remove(failure)
                if self.stored is not None:
                    self.stored.forget(workload)
                raise Divergence(f"it broke ({failure.signature.kind}), and not when run again")
        return failure in self.failures

    def _reduce(self, failure: Failure) -> None:
        """Make it smaller, for as long as there is time. The smallest is stored in place of the
        first."""
        target, began = failure.target, time.monotonic()
        try:
            with (
                self._timed(target, "making smaller") as tally,
                self._troubles(target, failure.workload),
            ):
                for less in reducing(target, failure.workload, failure.shown, failure.known):
                    failure.so_far = less
                    self._listen()
                    if self._budget.over(LONGER):
                        break
                failure.reduced = failure.so_far
        finally:
            tally.reducing += time.monotonic() - began
            smaller = failure.best[0] != failure.workload
            if self.stored is not None and smaller and self.stored.keep(failure.best[0]):
                self.stored.forget(failure.workload)

    @contextmanager
    def _troubles(self, target: Target, workload: Workload) -> Iterator[None]:
        """What says that the target is wrong is noted, and ends what is done here."""
        try:
            yield
        except (ScenarioError, SharedStateError, UsageError) as error:
            self._trouble(target, "scenario-error", str(error), workload)
        except Divergence as error:
            self._trouble(target, "nondeterminism", str(error), workload)
        except Exception:  # of one target: the others have the rest of the night
            self._trouble(target, CRASH, traceback.format_exc(), workload)

    def _trouble(
        self, target: Target, kind: str, message: str, workload: Workload | None = None
    ) -> None:
        self.troubles.append(Trouble(target.name, kind, message, workload))

    @property
    def roots(self) -> list[Root]:
        """The failures, those of one cause together."""
        return roots(self.failures)


def _number(workload: Workload) -> int:
    """Stands for it where millions are remembered."""
    return int.from_bytes(blake2b(repr(workload).encode(), digest_size=8).digest())
