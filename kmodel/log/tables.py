"""Pools and page tables as a log tells of them: how many items are out, what is mapped."""

from __future__ import annotations

from collections.abc import Mapping

from kmodel.log.record import Record


class Tables:
    """``known`` says of each pool and each page table, in words, what it is like now."""

    def __init__(self, pools: Mapping[str, int]) -> None:
        self._out = dict(pools)
        self._mapped: dict[str, dict[str, str]] = {}
        self._levels: dict[str, list[int]] = {}
        self._space: dict[int, str] = {}
        self.known = {f"pool {name}": self._pool(name) for name in pools}

    def feed(self, record: Record) -> list[tuple[str, str]]:
        """Take the next record; what it changes, and to what."""
        name = self._changed(record)
        if name is None:
            return []
        kind = "pool" if record.event.startswith("pool.") else "table"
        key = f"{kind} {name}"
        self.known[key] = self._pool(name) if kind == "pool" else self._table(name)
        return [(key, self.known[key])]

    def _changed(self, record: Record) -> str | None:
        """The pool or page table that the record changes."""
        event, obj, fields = record.event, str(record.obj), record.fields
        if event in ("pool.get", "pool.put"):
            self._out[obj] = self._out.get(obj, 0) + (1 if event == "pool.get" else -1)
            return obj
        if event in ("pmap.enter", "pmap.remove"):
            mapped = self._mapped.setdefault(obj, {})
            mapped.pop(str(fields.get("va")), None)
            if event == "pmap.enter":
                mapped[str(fields.get("va"))] = str(fields.get("page"))
            return obj
        if event == "fault.begin":
            self._space[record.cpu or 0] = f"{obj} pmap"
        elif event == "pmap.table":
            # the event does not say whose; the thread is in a fault of that space
            name = self._space.get(record.cpu or 0, "page tables")
            level = fields.get("level")
            self._levels.setdefault(name, []).append(level if isinstance(level, int) else 0)
            return name
        return None

    def _pool(self, name: str) -> str:
        return f"{self._out[name]} out"

    def _table(self, name: str) -> str:
        mapped = self._mapped.get(name, {})
        pages = ", ".join(f"{va} to page {page}" for va, page in sorted(mapped.items()))
        levels = sorted(self._levels.get(name, []))
        linked = ", ".join(f"L{one} x {levels.count(one)}" for one in dict.fromkeys(levels))
        return f"{pages or 'nothing'} mapped; tables linked: {linked or 'none'}"
