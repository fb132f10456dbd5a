"""A loop that goes round for ever: why each task moves in it, or why a fair scheduler need
not move it (fairness is defined in ``kmodel.explore.cycle``)."""

from __future__ import annotations

from typing import Final

from kmodel.explain.ran import Ran, joined, name_of
from kmodel.explain.stuck import circle
from kmodel.explore.cycle import Fairness
from kmodel.explore.moment import Moment
from kmodel.log.record import Record

IN_A_TURN: Final = 4
"""So many things are told of one task's turn."""


class Lap:
    """One turn of the loop of a run. ``resting`` are the tasks that take no step in it."""

    def __init__(self, ran: Ran) -> None:
        self.ran = ran
        stem, self.steps = ran.token.schedule()
        self.first = len(stem)
        self.moments: list[Moment] = ran.watch.moments[self.first : self.first + len(self.steps)]
        self.resting = [task for task in ran.tasks if task not in self.steps]

    def tell(self) -> list[str]:
        """A sentence for each task, the fairness, and who is stuck all the while."""
        ran = self.ran
        told = [f"From step {self.first} on a loop of {len(self.steps)} steps goes round for ever."]
        told += [self._of(task) for task in ran.tasks]
        ended = [task for task in range(len(ran.names)) if task not in ran.tasks]
        if ended:
            told.append(f"{ran.called(ended)} ended before.")
        return [*told, self._fair(), *self._never()]

    def _of(self, task: int) -> str:
        name = self.ran.names[task]
        if task in self.steps:
            return f"{name} {self._turn(task)}"
        blocked = [n for n, moment in enumerate(self.moments) if task not in moment.able]
        if len(blocked) == len(self.moments):
            return f"{name} is blocked all along: it {self.ran.waits(task)}"
        told = f"{name} need not move from {self.ran.place(task)}"
        if blocked:
            return f"{told}: it could step at times, but not at step {self.first + blocked[0]}."
        return f"{told} only if nothing is fair: it could step all along."

    def _turn(self, task: int) -> str:
        """What was refused or failed in one turn of ``task``; else what it does to others."""
        mine = {self.first + n for n, one in enumerate(self.steps) if one == task}
        failed = [record for record in self.ran.records if record.step in mine and _failed(record)]
        found = [self._failure(task, record) for record in _without_echoes(failed)]
        found = found or [told for step in sorted(mine) if (told := self._does(task, step))]
        if len(found) > IN_A_TURN:
            kept = IN_A_TURN - 2
            found = [*found[:kept], f"{len(found) - kept - 1} things more", found[-1]]
        told = f"takes {len(mine)} of the steps"
        return f"{told}: {', '.join(found)}." if found else f"{told}."

    def _failure(self, task: int, record: Record) -> str:
        """``lock.try kernel_map is refused at step 43 (held by K since step 37)``."""
        ran = self.ran
        if record.result is not False:
            why = record.fields.get("why")
            return f"{record.event} at step {record.step}" + (f" ({why})" if why else "")
        told = f"{record.event} {record.obj or ''} is refused at step {record.step}"
        wanted = ran.watch.moments[record.step].wanted(task)
        who = [
            f"{ran.names[one]} {ran.since(record.step, one, lock)}"
            for lock, holders in wanted
            for one in holders
        ]
        return f"{told} (held by {joined(who)})" if who else told

    def _does(self, task: int, step: int) -> str:
        """What others can tell of a step: sleeping and waking, else locks taken or let go."""
        for record in self.ran.records:
            if record.step == step and record.event.startswith("chan."):
                return f"{record.event} {record.obj or ''} at step {step}"
        before, after = (self.ran.watch.moments[at].held[task] for at in (step, step + 1))
        told = [f"takes {name_of(lock)}" for lock in after if lock not in before]
        told += [f"lets {name_of(lock)} go" for lock in before if lock not in after]
        return f"{joined(told)} at step {step}" if told else ""

    def _fair(self) -> str:
        """The strongest fairness that the loop survives, read off the run."""
        able = [sum(task in moment.able for moment in self.moments) for task in self.resting]
        level = "strong" if not any(able) else "none" if len(self.moments) in able else "weak"
        denied = [task for task in self.ran.tasks if self._denied(task)]
        told = f"The loop survives {Fairness(level, not denied)}"
        if not denied:
            return f"{told}."
        return (
            f"{told}, not lock-grant: the lock that {self.ran.called(denied)} sleeps on comes free."
        )

    def _denied(self, task: int) -> bool:
        """Is it asleep on a lock all along, which comes free?"""
        ops = [moment.pending[task] for moment in self.moments]
        asleep = all(op is not None and op[0].grant is not None for op in ops)
        return asleep and any(task in moment.grantable for moment in self.moments)

    def _never(self) -> list[str]:
        """Of a deadlock or lost wakeup of some while others go round."""
        if self.ran.token.kind not in ("deadlock", "lost-wakeup", "lock-order"):
            return []
        told = circle(self.ran, self.resting)
        stuck = [task for task in self.resting if self.ran.obliged(task)]
        if stuck:
            who = self.ran.called(stuck)
            told.append(f"Whatever the others do from here on, {who} can never step again.")
        return told


def _without_echoes(records: list[Record]) -> list[Record]:
    """Without failures that only hand on the cause of an earlier one."""
    found: list[Record] = []
    causes = set()
    for record in records:
        why = record.fields.get("why")
        if why is None or why not in causes:
            found.append(record)
        causes.add(why)
    return found


def _failed(record: Record) -> bool:
    """Something was refused, failed or begun anew."""
    noun, _, verb = record.event.partition(".")
    refused = record.result is False and noun in ("lock", "mutex")
    return refused or verb in ("fail", "restart")
