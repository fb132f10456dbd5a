"""A logged run once more, step by step beside its log, on real objects that can be looked at.

What the model says is compared with each record of the log: a run that does not fit its
log is not shown as if it did.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kmodel.case import Case
from kmodel.explore.execution import Execution
from kmodel.explore.schedule import TokenError
from kmodel.log.reader import Reader
from kmodel.log.record import END, Record, ordered, own_names


class Rerun:
    """Iterate it once: each step's first record, after the step was taken. A log without
    an end is followed as far as it goes. Raises ``TokenError`` where log and model part."""

    def __init__(self, log: Reader) -> None:
        self._log, self._records = log, iter(log)
        self._next = next(self._records, None)
        self._seq = 0
        scenario, params = log.header.get("scenario"), log.header.get("params")
        # a story without a kernel has no fix
        fix = log.header.get("fix")
        if not (isinstance(scenario, str) and isinstance(params, dict) and _name(fix)):
            raise TokenError(
                f"{log.path} cannot be run again: its header does not say with which scenario, "
                "parameters and fix"
            )
        self.case = Case.of(scenario, params, fix)
        self.world = self.case.build()
        self.execution = Execution(self.world, self._heard, checks=True)

    def __iter__(self) -> Iterator[Record]:
        execution = self.execution
        try:
            while (record := self._next) is not None and record.event != END:
                if execution.over() or (record := self._next) is None or record.event == END:
                    break
                if record.cpu is None or record.step != len(execution.choices):
                    raise self._misfit(record, "the run has no such step")
                if record.cpu not in execution.enabled():
                    raise self._misfit(record, f"{record.task} cannot step there")
                execution.step(record.cpu)
                yield record
            if self._next is not None and self._next.event != END:
                raise self._misfit(self._next, "the run is over there")
        finally:
            execution.close()

    def _heard(
        self, step: int, task: int, cause: int | None, event: str, fields: dict[str, Any]
    ) -> int:
        """The model says something: the log must have said the same."""
        seq, self._seq = self._seq, self._seq + 1
        record = self._next
        if record is None:
            # a log without an end may stop in the middle of a step
            return seq
        row = own_names(fields) | {"step": step, "seq": seq, "cpu": task, "cause": cause}
        row |= {"task": self.world.tasks[task].name, "event": event}
        if (here := ordered(row)) != (there := record.row()):
            keys = [key for key in here | there if here.get(key) != there.get(key)]
            said = ", ".join(f"{key} {here.get(key)}" for key in keys)
            raise self._misfit(record, f"the run has {said}")
        self._next = next(self._records, None)
        return seq

    def _misfit(self, record: Record, what: str) -> TokenError:
        scenario, then = self.case.scenario, self._log.header.get("scenario_digest")
        why = (
            f"the file of {scenario.name} has changed"
            if scenario.digest != then
            else ("the model has changed, or is not deterministic")
        )
        return TokenError(
            f"{self._log.path} does not fit: record {record.seq} is {record.event} of "
            f"{record.task} at step {record.step}, and {what}. Since it was written {why}."
        )


def _name(fix: Any) -> bool:
    return fix is None or isinstance(fix, str)
