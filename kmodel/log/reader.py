"""Read a run back as a stream, checking the chain, as far as it can be trusted.

::

    with Reader.open(path) as log:
        for record in log:
            ...
        if log.damage: ...

Nothing is kept: a log of a million events takes no more memory than one of ten.
Reading ends at the first damage; what came before is good. Events and keys that
this version does not know are passed on like any other.
"""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Final

from kmodel.log.damage import Broken, Damage, Line, bad_event, bad_header, parse
from kmodel.log.record import (
    CHAIN_START,
    END,
    HEADER,
    SCHEMA,
    SUM_KEY,
    SUM_TAIL,
    Record,
    Row,
    sum_of,
)
from kmodel.log.runs import EVENTS, events_file

LONGEST: Final = 1 << 24
"""Bytes of a line: more is no log, and must not be read into memory to find out."""

GZIP: Final = b"\x1f\x8b"
"""How a packed file begins, whatever it is called."""


class Reader:
    """One log being read; iterate it once. Made by ``open``.

    ``header`` is the first record (empty if there is none to trust), ``path`` the file.
    Once iterated: ``end`` is ``run.end``, or ``None`` for an unfinished run;
    ``records`` how many events were good; ``damage`` what stopped the reading, if
    anything did.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.header: Row = {}
        self.end: Record | None = None
        self.damage: Damage | None = None
        self.records = 0
        self._lines: _Lines | None = None
        self._before, self._sum = b"", CHAIN_START

    @classmethod
    def open(cls, path: Path) -> Reader:
        """Open the run at ``path``, a directory or a file, and read its header.

        Raises nothing for what it finds there: that is ``damage``.
        """
        reader = cls(path)
        try:
            reader._begin()
        except Broken as broken:
            reader.damage = broken.damage(reader.path, 0)
        return reader

    @property
    def tasks(self) -> tuple[str, ...]:
        """The names of the tasks by index; empty if the header has none."""
        names = self.header.get("tasks")
        return tuple(map(str, names)) if isinstance(names, list) else ()

    @property
    def finished(self) -> bool:
        """Did the run close cleanly, and is all of it here? Known once iterated."""
        return self.end is not None and self.damage is None

    def __iter__(self) -> Iterator[Record]:
        if self._lines is None or self.damage is not None:
            return
        try:
            for line in self._lines:
                record = self._check(line)
                self.records += 1
                if record.event == END:
                    self.end = record
                yield record
        except Broken as broken:
            self.damage = broken.damage(self.path, self.records)

    def close(self) -> None:
        if self._lines:
            self._lines.close()

    def __enter__(self) -> Reader:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _begin(self) -> None:
        try:
            found = events_file(self.path)
            if found is None:
                raise Broken("no-events", f"it is a directory without {EVENTS}")
            self.path = found
            self._lines = _Lines(found)
        except OSError as error:
            raise unreadable(error) from error
        line = next(self._lines, None)
        if line is None:
            raise Broken("empty", "it is empty: the run ended before it wrote its header")
        own, row = _own_sum(line.raw, HEADER.encode()), parse(line.raw)
        if not own or not row or row.get("event") != HEADER or row.get("schema") != SCHEMA:
            raise bad_header(line)
        self.header, self._before = row, line.raw

    def _check(self, line: Line) -> Record:
        assert self._lines is not None
        if self.end is not None and line.raw != self._before:
            raise Broken("trailing", "something follows the end of the run", line)
        own = _own_sum(line.raw, self._sum)
        if not own:
            raise bad_event(line, self._lines.following, self.records, self._before)
        self._before, self._sum = line.raw, own
        try:
            return Record.of(parse(line.raw) or {})
        except ValueError as error:
            raise Broken("foreign", f"kmodel did not write this record: {error}", line) from error


class _Lines(Iterator[Line]):
    """The lines of a file, plain or packed. One is always read ahead (``following``):
    what comes after a bad line tells what is wrong with it."""

    def __init__(self, path: Path) -> None:
        """Raises ``OSError`` if there is no reading ``path`` at all."""
        self._raw = path.open("rb")
        try:
            packed = self._raw.peek(2)[:2] == GZIP
        except OSError:
            self._raw.close()
            raise
        self._text: io.BufferedIOBase = gzip.GzipFile(fileobj=self._raw) if packed else self._raw
        self._broken: Broken | None = None
        self._place = Line(b"", 0, 0)
        self.following = self._read()

    def __next__(self) -> Line:
        line = self.following
        if line is None:
            if self._broken:
                raise self._broken
            raise StopIteration
        self.following = self._read()
        return line

    def close(self) -> None:
        self._text.close()
        self._raw.close()

    def _read(self) -> Line | None:
        """The line after the last one. What goes wrong is kept until that line is due."""
        last = self._place
        here = Line(b"", last.number + 1, last.byte + len(last.raw))
        try:
            raw = self._text.readline(LONGEST)
        except EOFError:
            self._broken = Broken("torn", "the packed file stops in the middle", here)
        except (zlib.error, gzip.BadGzipFile) as error:
            self._broken = Broken("changed", f"the packed file cannot be unpacked: {error}", here)
        except OSError as error:
            self._broken = unreadable(error, here)
        else:
            if len(raw) == LONGEST:
                self._broken = Broken("foreign", f"a line of more than {LONGEST} bytes", here)
            elif raw:
                self._place = Line(raw, here.number, here.byte)
                return self._place
        return None


def unreadable(error: OSError, line: Line | None = None) -> Broken:
    """The system's own reason, as damage."""
    reason = (error.strerror or str(error)).lower()
    return Broken("unreadable", f"it cannot be read: {reason}", line)


def _own_sum(raw: bytes, before: bytes) -> bytes | None:
    """The sum at the end of a line if it fits the line, else ``None``.

    A last line that lost only its newline is whole."""
    whole = raw.removesuffix(b"\n")
    opened, tail = whole[:-SUM_TAIL], whole[-SUM_TAIL:]
    own = sum_of(before, opened)
    return own if tail == SUM_KEY + own + b'"}' else None
