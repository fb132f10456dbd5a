"""A timeline in characters: a row a step, a column a CPU, time goes down.

::

     step  A                B                K
       37  :                ●│  waits fpage  │
       38  ░ <────────────────│───────────── ●└ -kernel_map

A cell has who is at it (``●`` steps, ``░`` asleep, ``▒`` spins or is stuck, ``·`` could go
again and was not chosen), a bar for each
lock held longer than a step, and what was done. An arrow goes from what let somebody go to who
that is. Where a run ends and somebody cannot go on, a last row says what keeps each.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import attrs

from kmodel.log.record import Record
from kmodel.log.show import Line, printable
from kmodel.log.span import DOES, Span
from kmodel.log.timeline import Timeline

GUTTER: Final = 7
NARROWEST: Final = 9
WIDEST: Final = 30
SLOTS: Final = 4
"""Bars in a cell; who holds more at once has ``+``."""

LEGEND: Final = (
    "● steps  ░ asleep  ▒ spins, stuck  · can go again  ┌│└ holds  + takes  - lets go  ± both",
    "✗ refused, failed  ↻ begins anew  ! a check failed  ──▶ lets somebody go",
)

PLAIN: Final = str.maketrans("●░▒·┌│└✗↻─▶◀±", "*:%.,|'x@-><=")
"""For a terminal without such characters."""

_WORDS: Final = {
    "inv.violation": "! {property}",
    "fault.restart": "↻ fault {va}",
    "pmap.fail": "✗ {obj} {error}",
    "pool.fail": "✗ {obj} {why}",
    "page.fail": "✗ pages {why}",
    "kva.fail": "✗ kva {why}",
    "fault.begin": "fault {va}",
    "fault.end": "fault done",
    "chan.sleep": "sleeps {obj}",
    "chan.wakeup": "wakes {obj}",
    "chan.wakeup_one": "wakes {obj}",
    "chan.woken": "woken {obj}",
    "lock.release": "-{obj}",
    "pmap.enter": "maps {va}",
    "pmap.table": "table L{level}",
    "pool.get": "gets {obj}",
    "pool.put": "gives {obj}",
    "page.alloc": "pages {pages}",
    "mark": "{text}",
    "mutex.leave": "-{obj}",
    "task.start": "begins",
    "task.end": "ends",
}
"""Event -> how it is told in a few characters; of several in a step, the first here."""

_TAKES: Final = (
    *("lock.acquire", "lock.contended", "lock.try", "lock.upgrade", "mutex.enter", "mutex.try"),
)
_RANK: Final = {event: rank for rank, event in enumerate(_WORDS)}


def lines(found: Timeline, width: int) -> Iterator[Line]:
    """The view, a line a step."""
    if not found.tasks or found.last() < found.first:
        return
    pitch = min(WIDEST, (width - GUTTER) // len(found.tasks))
    if pitch < NARROWEST:
        yield Line(f"{len(found.tasks)} CPUs do not fit {width} columns: --html shows them.")
        return
    columns = [_Column(found, cpu, pitch) for cpu in range(len(found.tasks))]
    head = "".join(_fit(name, pitch - 1) + " " for name in found.tasks)
    yield Line(f"{'step':>{GUTTER - 2}}  {head}".rstrip(), "bold")
    told, arrows = _told(found), _arrows(found)
    marks = found.loop.marks() if found.loop else {}
    for step in range(found.first, found.last() + 1):
        if step in marks:
            yield Line(marks[step][:width], "bold")
        cells = [column.cell(step, told.get(step, "")) for column in columns]
        for giver, taker in arrows.get(step, ()):
            _draw(cells, giver, taker)
        text = f"{step:>{GUTTER - 2}}  " + "".join(cell.bars + cell.text for cell in cells)
        yield Line(text.rstrip(), "yellow" if {"✗", "↻", "!"} & set(text) else "")
    if found.last() + 1 in marks:
        yield Line(marks[found.last() + 1][:width], "bold")
    if kept := found.kept():
        says = {cpu: f"{DOES[span.kind]} {span.obj}" for cpu, span in kept.items()}
        cells = [column.cell(found.last() + 1, says.get(column.cpu, "")) for column in columns]
        text = "".join(cell.bars + cell.text for cell in cells)
        yield Line(f"{'end':>{GUTTER - 2}}  {text}".rstrip(), "yellow")
    yield Line("")
    for legend in LEGEND:
        yield Line(legend[:width], "dim")


@attrs.define
class _Cell:
    bars: str
    text: str


class _Column:
    """The cells of one CPU. Each lock held has a slot of its own while it is held."""

    def __init__(self, found: Timeline, cpu: int, pitch: int) -> None:
        self._found, self.cpu = found, cpu
        self._slots, self._rests = _slotted(found.bars(cpu)), _rests(found, cpu)
        used = max([slot for slot, _ in self._slots], default=-1) + 1
        self._room = min(used, SLOTS, max(pitch - NARROWEST + 2, 0))
        self._pitch = pitch

    def cell(self, step: int, told: str) -> _Cell:
        mine = self._found.turns.get(step) == self.cpu
        bars = [" "] * self._room
        for slot, span in self._slots:
            if span.since <= step and (span.until is None or step <= span.until):
                shape = "┌" if step == span.since else "└" if step == span.until else "│"
                if slot < self._room:
                    bars[slot] = shape
                elif bars:
                    bars[-1] = "+"
        head = ("●" if mine else self._rests.get(step, " ")) + "".join(bars) + " "
        shown = told if mine or step > self._found.last() else ""
        return _Cell(head, _fit(shown, self._pitch - len(head) - 1) + " ")


def _rests(found: Timeline, cpu: int) -> dict[int, str]:
    """By step, what a CPU that is not stepping is like; the step after the last is the end."""
    signs: dict[int, str] = {}
    for span in found.rests(cpu):
        sign = "▒" if span.kind in ("spin", "stuck") else "░"
        for kept, since, until in found.parts(span):
            signs |= dict.fromkeys(range(since, until), sign if kept else "·")
        if found.kept().get(cpu) is span:
            signs[found.last() + 1] = sign
    return signs


def _slotted(spans: list[Span]) -> list[tuple[int, Span]]:
    """Each with the lowest slot that is free while it lasts."""
    ends: list[int | None] = []
    found = []
    for span in spans:
        free = [n for n, end in enumerate(ends) if end is not None and end < span.since]
        slot = free[0] if free else len(ends)
        ends[slot : slot + 1] = [span.until]
        found.append((slot, span))
    return found


def _draw(cells: list[_Cell], giver: int, taker: int) -> None:
    """An arrow through the empty texts between two cells."""
    low, high = sorted((giver, taker))
    for cpu in range(low, high + (taker < giver)):
        text = cells[cpu].text
        said = text.rstrip()
        if cpu == giver:
            rest = len(text) - len(said) - (1 if said else 0)
            cells[cpu].text = text[: len(text) - rest] + "─" * rest
        elif cpu != taker:
            cells[cpu].bars = cells[cpu].bars.replace(" ", "─")
            cells[cpu].text = "─" * len(text)
    if taker < giver:
        cells[taker].text = "◀" + "─" * (len(cells[taker].text) - 1)
        if cells[giver].text.endswith("─"):
            cells[giver].text = cells[giver].text.rstrip("─").ljust(len(cells[giver].text))
    else:
        cells[taker].bars = "▶" + cells[taker].bars[1:]


def _arrows(found: Timeline) -> dict[int, list[tuple[int, int]]]:
    arrows: dict[int, list[tuple[int, int]]] = {}
    for arrow in found.arrows:
        arrows.setdefault(arrow.since, []).append((arrow.giver, arrow.taker))
    return arrows


def _told(found: Timeline) -> dict[int, str]:
    """By step, what was done, the most telling thing first."""
    steps: dict[int, list[Record]] = {}
    for record in found.records:
        if record.cpu is not None:
            steps.setdefault(record.step, []).append(record)
    return {step: _step(records) for step, records in steps.items()}


def _step(records: list[Record]) -> str:
    told = []
    for record in sorted(records, key=lambda one: _RANK.get(one.event, 0 if _no(one) else 15)):
        said = short(record)
        if said:
            told.append(said)
    # a mutex entered and left in one step kept nobody out
    passed = [one[1:] for one in told if one[0] == "+" and f"-{one[1:]}" in told]
    told = [one for one in told if one[1:] not in passed] + [f"±{one}" for one in passed]
    told.sort(key=lambda one: one == _WORDS["task.end"])
    return printable(", ".join(dict.fromkeys(told)))


def _no(record: Record) -> bool:
    return record.event in _TAKES and record.result is False


def short(record: Record) -> str:
    """``+kernel_map``: an event in a few characters; nothing for one that is of no account."""
    if record.event in _TAKES:
        if not _no(record):
            return f"+{record.obj}"
        return f"✗ {record.obj}" if record.event.endswith(".try") else f"waits {record.obj}"
    if record.event == "witness.order":
        return ""
    known = _WORDS.get(record.event)
    if known is None:
        return f"{record.event} {record.obj or ''}".strip()
    values = dict.fromkeys(("property", "va", "error", "why", "level", "pages", "text"), "")
    return known.format_map(values | record.fields | {"obj": record.obj}).strip()


def _fit(text: str, room: int) -> str:
    text = printable(text)
    return (text if len(text) <= room else text[: max(room - 1, 0)] + "~").ljust(room)[:room]
