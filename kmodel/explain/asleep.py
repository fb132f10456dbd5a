"""Who cannot go on where a log ends, told from its records: asleep or spinning, on what, who
holds it, the cycle; of a channel, whom the last wakeup woke."""

from __future__ import annotations

from kmodel.explain.failing import holders
from kmodel.explore.cycle import cycle
from kmodel.log.record import Record
from kmodel.log.span import DOES, Span
from kmodel.log.spans import Spans
from kmodel.log.waker import WAKEUPS, Wakers

LETS_GO = ("lock.release", *WAKEUPS)


class Asleep:
    """Feed it the records in order, after ``spans`` and ``wakers`` have had them."""

    def __init__(self, spans: Spans, wakers: Wakers) -> None:
        self._spans, self._wakers = spans, wakers
        self._last: dict[str, Record] = {}
        self._latest: dict[int, Record] = {}

    def feed(self, record: Record) -> None:
        if record.cpu is not None:
            self._latest[record.cpu] = record
        if record.event in LETS_GO:
            self._last[str(record.obj)] = record

    def sentences(self) -> list[str]:
        """Of a run that has ended."""
        waits = [span for span in self._spans.open() if span.kind in DOES]
        told = [
            f"{stands(span)}." if span.kind == "stuck" else f"{stands(span)}; {why}."
            for span, why in ((span, self._kept_by(span)) for span in waits)
        ]
        return told + self._cycle(waits)

    def so_far(self) -> list[str]:
        """Of a run whose records stop: where each thread was, what it held, and of who waits
        for a lock who holds that. That nobody wakes it, nobody knows."""
        return [self._was(cpu, record) for cpu, record in sorted(self._latest.items())]

    def _was(self, cpu: int, last: Record) -> str:
        if last.event == "task.end":
            return f"{last.task} has ended, at step {last.step}."
        spans = self._spans.open()
        held = [span.obj for span in spans if span.kind == "hold" and span.cpu == cpu]
        holds = f", holding {', '.join(held)}" if held else ""
        span = self._spans.waiting(cpu)
        if span is None:
            return f"{last.task} stepped last at step {last.step}{holds}."
        who = holders(self._spans, span.obj, cpu) if span.kind == "wait" else ""
        return f"{stands(span)}{holds}{f'; it is held by {who}' if who else ''}."

    def _kept_by(self, span: Span) -> str:
        last = self._last.get(span.obj)
        since = last if last is not None and last.seq > span.began else None
        if span.kind in ("wait", "spin"):
            who = holders(self._spans, span.obj, span.cpu)
            if who:
                return f"it is held by {who}"
            if since is None:
                return "nobody holds it, and nobody let it go since"
            return (
                f"nobody holds it; {since.task} let it go at step {since.step}, "
                f"and {span.task} has not had it since"
            )
        woken = self._wakers.woken(span.cpu)
        if woken is not None:
            return f"{woken.task} woke it at step {woken.step}; it has not come back since"
        if last is None:
            return "nobody ever woke it"
        if since is not None:
            return f"{since.task}'s wakeup at step {since.step}, after that, woke another"
        return f"the last wakeup was {last.task}'s at step {last.step}, before it slept"

    def _cycle(self, waits: list[Span]) -> list[str]:
        names = {span.cpu: span.task for span in waits}
        ahead = {
            span.cpu: [h.cpu for h in self._spans.holders(span.obj) if h.cpu in names]
            for span in waits
            if span.kind in ("wait", "spin")
        }
        way = cycle(ahead)
        pairs = [f"{names[a]} waits for {names[b]}" for a, b in zip(way, [*way[1:], *way[:1]])]
        return [f"{', '.join(pairs)}: a cycle."] if way else []


def stands(span: Span) -> str:
    """``A spins for one since step 3``."""
    if span.ready_since is not None:
        return f"{span.task} slept on {span.obj} from step {span.since}"
    does = f"{'' if span.kind == 'spin' else 'is '}{DOES[span.kind]}"
    return f"{span.task} {does} {span.obj} since step {span.since}"
