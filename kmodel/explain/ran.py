"""A run that is over, as its story is told: tasks by name, who waits, who holds since when."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from kmodel.explain.asleep import stands
from kmodel.explore.execution import Execution
from kmodel.explore.moment import Moment, Watch
from kmodel.explore.schedule import Token
from kmodel.log.record import END, Record
from kmodel.log.recorder import standing
from kmodel.log.span import DOES, Span
from kmodel.log.spans import Spans
from kmodel.log.waker import WAKEUPS

SLEEPS: Final = ("chan.sleep", "chan.woken")


class Ran:
    """One run. ``tasks`` are those that have not ended, ``end`` the moment after the last
    step; a loop has then come back to its first."""

    def __init__(
        self, token: Token, execution: Execution, watch: Watch, records: Sequence[Record]
    ) -> None:
        self.token, self.execution, self.watch = token, execution, watch
        self.records = [record for record in records if record.event != END]
        self.names = [task.name for task in execution.world.tasks]
        self.end: Moment = watch.end()
        self.tasks = [task for task, op in enumerate(self.end.pending) if op is not None]
        self._open = _open(self.records, standing(execution))

    def obliged(self, task: int) -> bool:
        return self.execution.world.tasks[task].obliged

    def called(self, tasks: Sequence[int]) -> str:
        """``A and B``."""
        return joined([self.names[task] for task in tasks])

    def ahead(self, task: int) -> list[int]:
        """The holders of what ``task`` wants."""
        return [one for _, holders in self.end.wanted(task) for one in holders]

    def waits(self, task: int) -> str:
        """What a task that cannot step waits for, and who could help it."""
        op = self.end.pending[task]
        assert op is not None
        told = self._stands(task)
        wanted = self.end.wanted(task)
        for lock, holders in wanted:
            who = [self.holds(len(self.watch.choices), one, lock) for one in holders]
            told += f"; {name_of(lock)} is held by {joined(who)}"
        if not wanted:
            told += f"; {self._missing(task, op[1])}"
        if op[0].until is not None and op[0].until(op[1], *op[2]):
            told += "; what it sleeps for is true, and nobody tells it"
        return f"{told}."

    def _stands(self, task: int) -> str:
        """As all views of the log say it: from its records."""
        found = [span for span in self._open if span.kind in DOES and span.cpu == task]
        if found:
            return stands(found[-1]).removeprefix(f"{self.names[task]} ")
        return f"stands at {self.place(task)} since step {self.watch.last_step(task)}"

    def place(self, task: int) -> str:
        """What ``task`` is about to do in the end, and on what."""
        op = self.end.pending[task]
        return "" if op is None else f"{op[0].event} {name_of(op[1])}".rstrip()

    def _missing(self, task: int, thing: Any) -> str:
        """What would let ``task`` go, if no holder of a lock is in its way."""
        if hasattr(thing, "owner") or hasattr(thing, "writer"):
            return "nobody holds it, and nobody has woken it"
        about = [r for r in self.records if r.obj == name_of(thing) and r.cpu != task]
        wakeups = [record for record in about if record.event in WAKEUPS]
        if wakeups:
            last = wakeups[-1]
            for_whom = (
                "before it slept" if last.step < self.watch.last_step(task) else "for another"
            )
            return f"the last wakeup was {last.task}'s at step {last.step}, {for_whom}"
        others = [record for record in about if record.event not in SLEEPS]
        if others:
            last = others[-1]
            return f"last there was {last.event} by {last.task} at step {last.step}"
        return "nobody ever woke it"

    def holds(self, at: int, task: int, lock: Any) -> str:
        """``K (since step 37)``: who has held ``lock`` since when, before step ``at``."""
        ended = "" if task in self.tasks else ", and has ended"
        return f"{self.names[task]} ({self.since(at, task, lock)}{ended})"

    def since(self, at: int, task: int, lock: Any) -> str:
        step = self.watch.since(at, task, lock)
        return f"since step {step}" if step >= 0 else "from the start"


def _open(records: Sequence[Record], waiting: str) -> list[Span]:
    """What goes on at the end. Who spins there no record of a step says."""
    spans = Spans()
    step = records[-1].step + 1 if records else 0
    end = Record.of({"step": step, "seq": len(records), "event": END, "waiting": waiting})
    for record in (*records, end):
        spans.feed(record)
    return spans.open()


def name_of(thing: Any) -> str:
    return str(getattr(thing, "name", None) or "")


def joined(words: Sequence[str]) -> str:
    return " and ".join(words)
