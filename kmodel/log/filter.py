"""Which records of a run somebody wants to see."""

from __future__ import annotations

from fnmatch import fnmatchcase

import attrs

from kmodel.log.record import Record


@attrs.frozen
class Filter:
    """Which records are shown: those that fit every kind of condition given.

    Of several values for one kind, any will do. ``event`` and ``obj`` are globs;
    ``since`` and ``until`` are steps, both included.
    """

    cpu: tuple[int, ...] = ()
    task: tuple[str, ...] = ()
    event: tuple[str, ...] = ()
    obj: tuple[str, ...] = ()
    since: int | None = None
    until: int | None = None

    def passes(self, record: Record) -> bool:
        if self.since is not None and record.step < self.since:
            return False
        if self.until is not None and record.step > self.until:
            return False
        if self.cpu and record.cpu not in self.cpu:
            return False
        if self.task and record.task not in self.task:
            return False
        if self.event and not _any_glob(record.event, self.event):
            return False
        return not self.obj or _any_glob(str(record.obj or ""), self.obj)


def _any_glob(value: str, globs: tuple[str, ...]) -> bool:
    return any(value == glob or fnmatchcase(value, glob) for glob in globs)
