"""Failures of one thread, each the reason of the next: a try that is refused, so that a pool
gives nothing, so that ``pmap_enter`` fails."""

from __future__ import annotations

from typing import Any, Final

from kmodel.explain.sentence import Sentences
from kmodel.log.record import Record
from kmodel.log.spans import Spans

OVERCOME: Final = ("chan.sleep", "kva.alloc", "page.alloc", "pool.get")
"""After one of these what fails is not for what failed before."""

CHAIN: Final = 6
"""Failures told in one sentence."""

FAILS: Final = {
    "kva.fail": "km_alloc gives no address",
    "page.fail": "no page is given",
    "pool.fail": "{obj} gives nothing",
    "pmap.fail": "{obj} fails with {error}",
}


class Failing:
    """Each CPU's failures that belong together, until ``flush`` tells them."""

    def __init__(self, told: Sentences) -> None:
        self._told = told
        self._chains: dict[int, list[str]] = {}
        self._last: dict[int, Record] = {}

    def refused(self, record: Record, spans: Spans) -> None:
        """A try of a lock, which was not had."""
        self.flush(record)
        who = holders(spans, str(record.obj), record.cpu or 0)
        why = f" (held by {who})" if who else ""
        self._add(record, f"the try of {record.obj} is refused at step {record.step}{why}")

    def failed(self, record: Record) -> None:
        values: dict[str, Any] = {"error": "an error"} | record.fields | {"obj": record.obj}
        text = FAILS[record.event].format_map(values)
        why = record.fields.get("why")
        text += f" at step {record.step}" + (f" ({why})" if why else "")
        self._add(record, text)
        if record.event == "pmap.fail":
            self.flush(record)

    def flush(self, record: Record) -> None:
        """The failures of this record's CPU have come to their end: one sentence."""
        cpu = record.cpu or 0
        chain, last = self._chains.pop(cpu, []), self._last.pop(cpu, record)
        if chain:
            so = f", so {chain[-1]}" if len(chain) > 1 else ""
            first = ", then ".join(chain[:-1] or chain)
            self._told.say(last.step, 5, f"For {last.task} {first}{so}.")

    def flush_all(self) -> None:
        for record in list(self._last.values()):
            self.flush(record)

    def _add(self, record: Record, text: str) -> None:
        cpu = record.cpu or 0
        chain = self._chains.setdefault(cpu, [])
        self._last[cpu] = record
        if len(chain) < CHAIN:
            chain.append(text)


def holders(spans: Spans, obj: str, but: int) -> str:
    """``K (since step 37)``: who holds a lock just now, apart from CPU ``but``."""
    held = [span for span in spans.holders(obj) if span.cpu != but]
    return " and ".join(f"{span.task} (since step {span.since})" for span in held)
