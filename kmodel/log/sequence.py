"""Runs as text for two other viewers: a sequence diagram of Mermaid, and ShiViz, which draws
what happened before what from vector clocks."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from kmodel.log.record import Record
from kmodel.log.show import printable, text_of
from kmodel.log.span import DOES
from kmodel.log.timeline import Timeline
from kmodel.log.waker import Wakers

LONG_AGO: Final = 1 << 13
"""Records whose clock is kept for what they let happen."""

SHIVIZ: Final = r"(?<event>.*)\n(?<host>\S*) (?<clock>{.*})"
"""How ShiViz is to read each event; it takes this from the first line."""

_ESCAPES: Final = {";": "#59;", "#": "#35;", "<": "#lt;", ">": "#gt;", '"': "#quot;"}


def mermaid(found: Timeline) -> Iterator[str]:
    """A line at a time. An arrow is what let somebody go, a note what went wrong."""
    yield "sequenceDiagram"
    for cpu, name in enumerate(found.tasks):
        yield f"    participant c{cpu} as {_mermaid(name)}"
    told = [(a.since, 0, a.giver, a.taker, a.text) for a in found.arrows]
    told += [(m.step, 1, m.cpu, m.cpu, m.text) for m in found.marks]
    kept = found.kept()
    for span in found.spans:
        if span.kind in DOES and span.since >= found.first:
            ever = " until the run ends" if kept.get(span.cpu) is span else ""
            said = f"{DOES[span.kind]} {span.obj}{ever}"
            told.append((span.since, 2, span.cpu, span.cpu, said))
    loop, begun = found.loop, False
    for step, kind, one, other, text in sorted(told):
        if loop is not None and not begun and step >= loop.first:
            begun = True
            yield f"    loop steps {loop.first}-{loop.stop - 1}, for ever"
        said = _mermaid(f"{step}: {text}")
        if kind == 0:
            yield f"    c{one}->>c{other}: {said}"
        else:
            yield f"    Note over c{one}: {said}"
    if begun:
        yield "    end"


def _mermaid(text: str) -> str:
    return "".join(_ESCAPES.get(char, char) for char in printable(text))


def shiviz(records: Iterable[Record], tasks: Sequence[str]) -> Iterator[str]:
    """Two lines an event. What touches one object is ordered, and so is who was let go after
    who did that."""
    yield SHIVIZ
    yield ""
    names = [_host(name) for name in tasks]
    clocks = [[0] * len(tasks) for _ in tasks]
    objects: dict[str, list[int]] = {}
    past: dict[int, list[int]] = {}
    wakers = Wakers()
    for record in records:
        cpu = record.cpu
        if cpu is None or not 0 <= cpu < len(clocks):
            continue
        seen = [clocks[cpu]]
        # who sleeps lets its interlock go, and who is woken takes it
        touched = [str(it) for it in (record.obj, record.fields.get("mutex")) if it is not None]
        seen += [objects[it] for it in touched if it in objects]
        waker = wakers.feed(record)
        if waker is not None and waker.seq in past:
            seen.append(past[waker.seq])
        now = [max(times) for times in zip(*seen)]
        now[cpu] += 1
        clocks[cpu] = past[record.seq] = now
        past.pop(record.seq - LONG_AGO, None)
        objects.update(dict.fromkeys(touched, now))
        clock = {name: time for name, time in zip(names, now) if time}
        yield f"{record.step}: {text_of(record)}"
        yield f"{names[cpu]} {json.dumps(clock)}"


def _host(name: str) -> str:
    return "_".join(printable(name).split()) or "_"
