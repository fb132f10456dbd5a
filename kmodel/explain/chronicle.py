"""A log told in sentences: who waited for whom, which try failed and why, what woke whom.

Made from the records and their causes alone, so that a log of another version, or one that
stops in the middle, can be told too. What happens again and again is told once.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from kmodel.explain.asleep import Asleep
from kmodel.explain.deeds import deed, holding
from kmodel.explain.dropped import Taken, unreturned
from kmodel.explain.failing import FAILS, OVERCOME, Failing, holders
from kmodel.explain.sentence import Sentence, Sentences
from kmodel.log.record import END, Record
from kmodel.log.span import DOES, Span
from kmodel.log.spans import Spans
from kmodel.log.waker import WAKEUPS, Waker

SPELLS: Final = 3
"""Times that a thread spins for one mutex, before it has it, that are told."""

FEW: Final = 6
"""Sentences that are no story yet: of a run with fewer it is told who held which lock when,
and which wakeup found nobody."""

CHECKS: Final = 100
"""Failed checks that are told: a scenario has fewer, each of which fails once."""


class Chronicle:
    """Feed it the records in order; ``sentences`` are then what happened."""

    def __init__(self) -> None:
        self.steps = 0
        self.end: Record | None = None
        self._told = Sentences()
        self._spans = Spans()
        self._asleep = Asleep(self._spans, self._spans.wakers)
        self._failing = Failing(self._told)
        self._quiet = Sentences()
        self._futile: dict[tuple[str, int | None], tuple[int, str]] = {}
        self._taken = Taken()
        self._marks: list[Record] = []
        self._wrong: list[Record] = []
        self._spoke: tuple[int, int | None] = (-1, None)

    @property
    def lost(self) -> int:
        """Sentences that were too many to keep."""
        return self._told.lost

    def feed(self, record: Record) -> None:
        if record.event == END:
            self.end = record
            self._spans.feed(record)
            return
        if record.cpu is None:
            return
        self.steps = record.step + 1
        self._taken.feed(record)
        if record.event in OVERCOME:
            self._failing.flush(record)
        self._tell(record)
        ended = self._spans.feed(record)
        self._vain(record, self._spans.waker)
        for span in ended:
            self._ended(span, record, self._spans.waker)
        self._asleep.feed(record)

    def _tell(self, record: Record) -> None:
        here = record.step, record.cpu
        if self._marks and (self._marks[0].step, self._marks[0].cpu) != here:
            self._flush_marks()
        if record.event == "mark":
            self._marks.append(record)
        elif told := _TELLS.get(record.event):
            told(self, record)
        elif found := deed(record):
            self._say(record, *found)

    def _flush_marks(self) -> None:
        """A mark says what an event means. Where an event of its step is told, that says it."""
        for mark in self._marks:
            if (mark.step, mark.cpu) != self._spoke:
                text = mark.fields.get("text")
                self._told.say(mark.step, 0, f"{mark.task} at step {mark.step}: {text}.")
        self._marks = []

    def sentences(self) -> list[Sentence]:
        self._flush_marks()
        self._failing.flush_all()
        for record in self._wrong:
            # what the run ends with is told there
            if self.end is None or record.fields.get("property") != self.end.fields.get("property"):
                text = f"At step {record.step} a check fails: {record.fields.get('text')}."
                self._told.say(record.step, 6, text)
        self._wrong = []
        self._missed()
        return self._told.in_order()

    def happened(self) -> list[Sentence]:
        """The same; of a run that has few also which locks were held, and what found nobody."""
        told = self.sentences()
        if len(told) >= FEW:
            return told
        texts = {one.text for one in told}
        told += [one for one in self._quiet.in_order() if one.text not in texts]
        held = [span for span in self._spans.open() if span.kind == "hold"]
        told += [Sentence(span.since, 2, holding(span)) for span in held]
        return sorted(told, key=lambda sentence: sentence.step)

    def _aside(self, step: int, text: str) -> None:
        if len(self._told) < FEW:
            self._quiet.say(step, 2, text)

    def _missed(self) -> None:
        """The last wakeup that found nobody, where another sleeps for ever since."""
        for span in self._spans.open() if self.end else ():
            others = [
                found
                for (obj, cpu), found in self._futile.items()
                if span.kind == "sleep" and obj == span.obj and cpu != span.cpu
            ]
            if others:
                step, text = max(others)
                self._told.say(step, 4, text)
        self._futile.clear()

    def ends(self) -> list[str]:
        """Who waits for what where the run ends: the cycle, the wakeup that was missed."""
        return self._asleep.sentences()

    def so_far(self) -> list[str]:
        """What is known where the records stop and the run may not have."""
        return self._asleep.so_far()

    def dropped(self, pool: str) -> list[str]:
        """Who took the items of ``pool`` that are out."""
        return unreturned(self._taken, pool)

    def _say(self, record: Record, weight: int, text: str) -> None:
        """What the event itself tells."""
        self._spoke = record.step, record.cpu
        self._told.say(record.step, weight, text)

    def _ended(self, span: Span, record: Record, waker: Waker | None) -> None:
        """A wait is over: on what, and who ended it."""
        # a reader's release wakes who wants to write, though others may read still
        does = "lets it go" if span.kind == "spin" else "wakes it"
        if waker is not None and span.kind == "spin" and not span.keeps(waker.step):
            # that was its wakeup, and it had to wait for the interlock still
            waker = None
        by = f"; {waker.task} {does} at step {waker.step}" if waker else ""
        on = f"{by}, and it goes on at {span.until}."
        if span.kind == "hold":
            if span.steps(record.step):
                self._aside(span.since, holding(span))
        elif span.kind == "sleep":
            # one that is in no fault is a daemon between two laps
            weight = 3 if self._spans.fault(span.cpu) else 1
            self._told.say(
                record.step, weight, f"{span.task} sleeps on {span.obj} at step {span.since}{on}"
            )
        elif span.kind == "wait":
            self._told.say(
                record.step, 2, f"{span.task} waits for {span.obj} from step {span.since}{on}"
            )
        elif span.kind == "spin":
            self._told.say(record.step, 1, f"{span.task} spins for {span.obj} {_while(span)}{on}")
        elif span.kind in DOES:
            does = DOES[span.kind].replace("stuck", "is stuck")
            self._told.say(
                record.step, 1, f"{span.task} {does} {span.obj} from step {span.since}{on}"
            )

    def _tried(self, record: Record) -> None:
        if record.result is False:
            self._spoke = record.step, record.cpu
            self._failing.refused(record, self._spans)

    def _fails(self, record: Record) -> None:
        self._spoke = record.step, record.cpu
        self._failing.failed(record)

    def _wakes(self, record: Record) -> None:
        """A wakeup that finds nobody; that of a channel on which somebody sleeps in the end
        is the one that he missed."""
        if not self._spans.wakers.sleepers(str(record.obj)):
            text = f"{record.task} wakes {record.obj} at step {record.step}: nobody sleeps there."
            self._aside(record.step, text)
            self._futile[str(record.obj), record.cpu] = record.step, text

    def _vain(self, record: Record, waker: Waker | None) -> None:
        """Woken for a lock that is taken again."""
        if record.event == "lock.contended" and record.result is False:
            who = holders(self._spans, str(record.obj), record.cpu or 0)
            held = f"it is held by {who}" if who else "it is not free"
            by = f"{waker.task}'s release at step {waker.step} wakes" if waker else "Woken is"
            text = f"{by} {record.task} in vain: at step {record.step} {record.obj} is not free"
            self._told.say(record.step, 3, f"{text} ({held})." if who else f"{text}.")

    def _restarts(self, record: Record) -> None:
        self._failing.flush(record)
        va = record.fields.get("va")
        self._say(record, 4, f"{record.task} begins its fault at {va} anew, at step {record.step}.")

    def _ends(self, record: Record) -> None:
        self._failing.flush(record)
        fields = record.fields
        how = "well" if not fields.get("error") else f"with error {fields['error']}"
        if fields.get("signal"):
            how += f": {fields['signal']}"
        text = f"{record.task}'s fault at {fields.get('va')} ends {how}, at step {record.step}."
        self._say(record, 2 if how == "well" else 5, text)

    def _breaks(self, record: Record) -> None:
        if len(self._wrong) < CHECKS:
            self._wrong.append(record)


_TELLS: Final = {
    "lock.try": Chronicle._tried,
    "mutex.try": Chronicle._tried,
    **dict.fromkeys(FAILS, Chronicle._fails),
    "fault.restart": Chronicle._restarts,
    "fault.end": Chronicle._ends,
    **dict.fromkeys(WAKEUPS, Chronicle._wakes),
    "inv.violation": Chronicle._breaks,
}


def _while(span: Span) -> str:
    """``in step 32, and in 52-53``: when another had the mutex; of many times, the last."""
    told = [
        f"{since}-{until - 1}" if until and until - 1 > since else str(since)
        for since, until in span.kept
    ]
    one = len(told) == 1 and "-" not in told[0]
    many = f" ({len(told) - SPELLS:,} times before that)" if len(told) > SPELLS else ""
    return f"in step{'' if one else 's'} {', '.join(told[-SPELLS:])}{many}"


def chronicle(records: Iterable[Record]) -> Chronicle:
    """All of a log, told."""
    found = Chronicle()
    for record in records:
        found.feed(record)
    return found
