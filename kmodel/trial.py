"""What one run shows, judged from that run alone.

With care, therefore: a panic, a failed check and a race are there to be seen, and a loop
closes exactly or not. That nobody who is stuck in a loop could get out of it some other
way is for a search to say.
"""

from __future__ import annotations

from typing import Any, Final

import attrs

from kmodel.case import Case
from kmodel.explore.absent import LEFT_OUT, unwoken
from kmodel.explore.access import conflict
from kmodel.explore.cycle import cycle
from kmodel.explore.execution import Execution, deadlock_message, run
from kmodel.explore.judgement import ENDS
from kmodel.explore.moment import Moment, Watch
from kmodel.explore.retrace import retrace
from kmodel.explore.schedule import Token
from kmodel.explore.strategy import Replay, ReplayDiverged
from kmodel.judge import RESTART
from kmodel.properties import NO_LIVELOCK
from kmodel.verdict import UNEVENTFUL, Finding
from kmodel.world import tested

NEAR: Final = 6
"""Steps from the end of each of the last two blocks in which a race is looked for."""


class Trial:
    """Judges one run that is over, which was found for what ``token`` says."""

    def __init__(self, case: Case, token: Token, execution: Execution) -> None:
        self.case, self.token, self.execution = case, token, execution

    def judged(self, stem: bytes, loop: bytes) -> tuple[Finding, bytes, bytes]:
        """What the run shows, and as much of it as shows that."""
        execution, outcome, prop = self.execution, self.execution.outcome, self.token.property
        if outcome is not None and outcome.kind != UNEVENTFUL[0]:
            found = Finding(
                kind=outcome.kind,
                property=outcome.property or ENDS,
                message=outcome.message,
                culprits=outcome.culprits,
            )
            return found, stem + loop, b""
        if prop in execution.findings:
            found = self._same(execution.findings[prop])
            return found, (stem + loop)[: execution.found_at[prop]], b""
        if self.token.kind == "data-race" and (racing := self._race(stem)):
            return racing
        found = self._lasso(stem, loop) if loop else self._stuck(Moment.of(execution))
        if found.kind in UNEVENTFUL:
            stem, loop = stem + loop, b""
        elif found.property == ENDS and self._stays(stem, loop):
            found = attrs.evolve(found, property=prop)
        return found, stem, loop

    def _stays(self, stem: bytes, loop: bytes) -> bool:
        """Was it found for a check of where it hangs, and does that fail wherever it stays?"""
        execution = Execution(self.case.build())
        checks = execution.world.checks
        asked = [c for c in checks if c.when == "hang" and c.name == self.token.property]
        for task in stem:
            execution.step(task)
        wrong = bool(asked)
        for check in asked:
            wrong = tested(check, check.test) is not None
            for task in loop:
                execution.step(task)
                wrong = wrong and tested(check, check.test) is not None
        execution.close()
        return wrong

    def _race(self, stem: bytes) -> tuple[Finding, bytes, bytes] | None:
        """A race of the last steps. It is seen while the first task stands still after its
        access and the last step is the other one, so a few steps may have to go."""
        rest = stem.rstrip(stem[-1:])
        before = rest.rstrip(rest[-1:])
        for kept in range(len(rest), max(len(before), len(rest) - NEAR), -1):
            for end in range(len(stem), max(len(rest), len(stem) - NEAR), -1):
                steps = rest[:kept] + stem[len(rest) : end]
                if self._possible(steps) and (found := conflict(self.case.build(), steps)):
                    where = found[1].location
                    return self._same(f"nothing orders two accesses to {where}"), steps, b""
        return None

    def _possible(self, steps: bytes) -> bool:
        try:
            run(Execution(self.case.build()), Replay(steps), len(steps))
        except ReplayDiverged:
            return False
        return True

    def _same(self, message: str) -> Finding:
        return Finding(kind=self.token.kind, property=self.token.property, message=message)

    def _nothing(self, message: str) -> Finding:
        kind = UNEVENTFUL[self.execution.outcome is None]
        return Finding(kind=kind, property="", message=message)

    def _stuck(self, end: Moment) -> Finding:
        """Of a run without a loop: is anybody stuck in the end?"""
        if self.token.kind in ("deadlock", "lock-order") and (who := _circle(end)):
            names = [self.execution.world.tasks[task].name for task in who]
            return self._same(f"{' and '.join(names)} wait for each other")
        if not end.able and self._left():
            kinds = (LEFT_OUT,) if any(map(unwoken, end.pending)) else _never(end, self._left())
            kind = self.token.kind if self.token.kind in kinds else kinds[0]
            return Finding(kind=kind, property=ENDS, message=deadlock_message(self.execution))
        return self._nothing(f"nothing is broken in the end ({self._places()})")

    def _lasso(self, stem: bytes, loop: bytes) -> Finding:
        """Of a run that ends with a loop: does it close, may it, and for whom is it bad?"""
        states = retrace(self.case.build(), stem + loop)
        if states[len(stem)] != states[-1]:
            return self._nothing(
                f"the loop of {len(loop)} steps does not close any more: the state after it is not "
                "the one before it"
            )
        turn, end, restarted = self._turn(stem, loop)
        for task, op in enumerate(end.pending):
            if op is not None and all(task in moment.able for moment in turn) and task not in loop:
                name = self.execution.world.tasks[task].name
                return self._nothing(
                    f"no fair run goes round the loop: {name} could step all along"
                )
        return self._of_loop(turn, loop, restarted)

    def _turn(self, stem: bytes, loop: bytes) -> tuple[list[Moment], Moment, set[int]]:
        """The moments of the loop, the one after it, and who restarts a fault in it."""
        restarted: set[int] = set()

        def hear(
            step: int, task: int, cause: int | None, event: str, fields: dict[str, Any]
        ) -> int:
            if step >= len(stem) and event == RESTART:
                restarted.add(task)
            return 0

        execution = Execution(self.case.build(), hear)
        watch = Watch(execution, Replay(stem + loop))
        run(execution, watch, len(stem + loop))
        end = watch.end()
        return watch.moments[len(stem) : -1], end, restarted

    def _of_loop(self, turn: list[Moment], loop: bytes, restarted: set[int]) -> Finding:
        """The old kind if the loop can be called that; else what it is."""
        left = self._left()
        never = [task for task in left if not any(task in moment.able for moment in turn)]
        moving = {task for moment, task in zip(turn, loop) if not _asleep(moment, task)}
        kinds = [("livelock", ENDS)] if moving & set(left) else []
        if restarted & set(left):
            kinds.append(("livelock", NO_LIVELOCK))
        if never:
            kinds += [(kind, ENDS) for kind in _never(turn[0], never)]
        if set(left) - moving:
            kinds.append(("starvation", ENDS))
        if not kinds:
            return self._nothing("all who must end have ended before the loop")
        if kinds and any(unwoken(op) for op in turn[0].pending):
            kinds = [(LEFT_OUT, prop) for _, prop in kinds]
        wanted = (self.token.kind, self.token.property)
        kind, prop = wanted if wanted in kinds else kinds[0]
        message = f"a fair loop of {len(loop)} steps closes exactly ({self._places()})"
        return Finding(kind=kind, property=prop, message=message)

    def _places(self) -> str:
        """Where those stand that must end."""
        waiting = self.execution.waiting()
        names = [self.execution.world.tasks[task].name for task in self._left()]
        return ", ".join(f"{name} at {waiting[name]}" for name in names) or "all have ended"

    def _left(self) -> list[int]:
        """The tasks that must end and have not."""
        pending = self.execution.pending
        tasks = self.execution.world.tasks
        return [task.index for task in tasks if task.obliged and pending[task.index] is not None]


def _asleep(moment: Moment, task: int) -> bool:
    """Does its step there only wake it on a lock, to see whether it can have it?"""
    op = moment.pending[task]
    return op is not None and op[0].grant is not None


def _never(moment: Moment, tasks: list[int]) -> tuple[str, ...]:
    """What it may be called that these never step again. If one sleeps for what is true a wakeup
    was lost, unless it ends on no schedule; a single run does not tell that."""
    lost = any(_pointless(moment, task) for task in tasks)
    return ("lost-wakeup", "deadlock") if lost else ("deadlock",)


def _pointless(moment: Moment, task: int) -> bool:
    """Is what ``task`` sleeps for true?"""
    op = moment.pending[task]
    return op is not None and op[0].until is not None and bool(op[0].until(op[1], *op[2]))


def _circle(moment: Moment) -> list[int]:
    """Tasks that cannot step, each of which wants what the next one holds."""
    stuck = [task for task in range(len(moment.pending)) if task not in moment.able]
    ahead = {t: [one for _, who in moment.wanted(t) for one in who if one in stuck] for t in stuck}
    return cycle(ahead)
