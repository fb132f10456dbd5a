"""Who dropped what a leak misses: what was taken and not given back, by the records; and
whether anything refers to it still, by the shared objects at the end of the run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

import attrs

from kmodel.explain.ran import Ran
from kmodel.log.record import Record
from kmodel.shared import fields
from kmodel.table import Table
from kmodel.world import World

TABLES: Final = "vp pool"
"""The pool whose items become page tables."""

PAGES: Final = "physical memory"
"""Where pages come from, which no record names."""

MOST: Final = 5
"""Sentences about what was dropped."""


@attrs.frozen
class Taking:
    """``item`` is an address, or the number of a page."""

    task: str
    cpu: int
    item: str
    pool: str
    step: int

    def __str__(self) -> str:
        return f"{self.task} took {self.item} from {self.pool} at step {self.step}"


class Taken:
    """What is out: fed with the records in order."""

    def __init__(self) -> None:
        self._out: dict[tuple[str, str], Taking] = {}

    def feed(self, record: Record) -> None:
        pool, item = str(record.obj), str(record.fields.get("item"))
        if record.event == "pool.get":
            self._take(record, pool, item)
        elif record.event == "pool.put":
            self._out.pop((pool, item), None)
        elif record.event == "pmap.table":
            self._out.pop((TABLES, item), None)
        elif record.event in ("page.alloc", "page.free"):
            for page in str(record.fields.get("pages")).split():
                self._out.pop((PAGES, page), None)
                if record.event == "page.alloc":
                    self._take(record, PAGES, f"page {page}")

    def of(self, pool: str) -> list[Taking]:
        return [taking for taking in self._out.values() if taking.pool == pool]

    def _take(self, record: Record, pool: str, item: str) -> None:
        key = pool, item.removeprefix("page ")
        self._out[key] = Taking(record.task or "", record.cpu or 0, item, pool, record.step)


def unreturned(taken: Taken, pool: str) -> list[str]:
    """By the records alone. That one is in use they say of table pages only."""
    known = pool == TABLES
    rest = "gives it back or links it" if known else "gives it back; it may be in use"
    return [f"{taking}; no record {rest}." for taking in taken.of(pool)]


def dropped(ran: Ran, wrong: str) -> list[str]:
    """What is out and nothing shared refers to. ``wrong`` is what the check said, which
    begins with the name of the pool, or is about pages."""
    taken = Taken()
    for record in ran.records:
        taken.feed(record)
    numbers = referred(ran.execution.world)
    pool = PAGES if wrong.startswith("pages taken:") else wrong.partition(":")[0]
    found = taken.of(pool)
    lost = [taking for taking in found if _number(taking.item) not in numbers]
    told = [_told(ran, taking) for taking in lost[:MOST]]
    more = len(lost) - MOST
    return told if more <= 0 else [*told, f"... and {more} more that nothing refers to."]


def _told(ran: Ran, taking: Taking) -> str:
    if taking.cpu in ran.tasks:
        return f"{taking}; nothing shared refers to it, so only {taking.task} can hold it."
    return f"{taking} and has ended; it was not given back, and nothing refers to it."


def _number(item: str) -> int:
    return int(item.removeprefix("page "), 0)


def referred(world: World) -> set[int]:
    """Numbers in fields that can change, and the addresses of the objects there: what is linked,
    queued, kept. That a table of all items, made at boot, names one says nothing."""
    found: set[int] = set()
    for thing in world.objects:
        for value in _values(thing):
            if isinstance(value, int):
                found.add(value)
            elif isinstance(address := getattr(value, "address", None), int):
                found.add(address)
    return found


def _values(thing: Any) -> Iterator[Any]:
    if isinstance(thing, Table):
        yield from _flat(thing)
        return
    for name, kind in fields(type(thing)).items():
        # its own address is no reference to it
        if kind in ("state", "atomic", "hidden") and name != "address":
            yield from _flat((getattr(thing, name),))


def _flat(values: Iterable[Any]) -> Iterator[Any]:
    for value in values:
        if isinstance(value, tuple):
            yield from _flat(value)
        else:
            yield value
