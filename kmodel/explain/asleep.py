"""Who is asleep where a log ends, told from its records: on what, who holds it, the cycle;
of a channel, whom the last wakeup woke."""

from __future__ import annotations

from kmodel.explain.failing import holders
from kmodel.explain.stuck import cycle
from kmodel.log.record import Record
from kmodel.log.spans import Span, Spans
from kmodel.log.waker import WAKEUPS, Wakers

LETS_GO = ("lock.release", *WAKEUPS)


class Asleep:
    """Feed it the records in order, after ``spans`` and ``wakers`` have had them."""

    def __init__(self, spans: Spans, wakers: Wakers) -> None:
        self._spans, self._wakers = spans, wakers
        self._last: dict[str, Record] = {}

    def feed(self, record: Record) -> None:
        if record.event in LETS_GO:
            self._last[str(record.obj)] = record

    def sentences(self) -> list[str]:
        waits = [span for span in self._spans.open() if span.kind in ("wait", "sleep")]
        told = [
            f"{span.task} is asleep on {span.obj} since step {span.since}; {self._kept_by(span)}."
            for span in waits
        ]
        return told + self._cycle(waits)

    def _kept_by(self, span: Span) -> str:
        last = self._last.get(span.obj)
        since = last if last is not None and last.seq > span.began else None
        if span.kind == "wait":
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
            if span.kind == "wait"
        }
        way = cycle(ahead)
        pairs = [f"{names[a]} waits for {names[b]}" for a, b in zip(way, [*way[1:], *way[:1]])]
        return [f"{', '.join(pairs)}: a cycle."] if way else []
