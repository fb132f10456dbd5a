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
import os
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from kmodel.log.closing import Closing
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


Wait = Callable[[], bool]


class Reader(Closing):
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
    def open(cls, path: Path, wait: Wait | None = None) -> Reader:
        """Open the run at ``path``, a directory or a file, and read its header.

        Raises nothing for what it finds there: that is ``damage``. A ``wait`` follows a
        log that is still being written: it is called wherever the file ends before
        ``run.end``, and returns when it is time to look again (false: give up).
        """
        reader = cls(path)
        try:
            reader._begin(wait)
        except Broken as broken:
            reader.damage = broken.damage(reader.path, 0)
        return reader

    @property
    def tasks(self) -> tuple[str, ...]:
        """The names of the tasks by index; empty if the header has none."""
        names = self.header.get("tasks")
        return tuple(map(str, names)) if isinstance(names, list) else ()

    @property
    def pools(self) -> dict[str, int]:
        """How many items of each pool were out before the run, as far as the header says."""
        said = self.header.get("pools")
        known = said.items() if isinstance(said, dict) else ()
        return {name: out for name, out in known if isinstance(out, int)}

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
                    # nothing may follow; what does is found without waiting for it
                    self._lines.wait = None
                yield record
        except Broken as broken:
            self.damage = broken.damage(self.path, self.records)

    def close(self) -> None:
        if self._lines:
            self._lines.close()

    def _begin(self, wait: Wait | None) -> None:
        try:
            found = events_file(self.path)
            if found is None:
                raise Broken("no-events", f"it is a directory without {EVENTS}")
            self.path = found
            self._lines = _Lines(found, wait)
        except OSError as error:
            raise unreadable(error) from error
        line = next(self._lines, None)
        if line is None:
            if not self.path.is_file():
                raise Broken("empty", "it is a pipe or a device, and nothing came out of it")
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
    """The lines of a file, plain or packed; ``wait`` as in ``Reader.open``."""

    def __init__(self, path: Path, wait: Wait | None = None) -> None:
        """Raises ``OSError`` if there is no reading ``path`` at all."""
        self._raw = open(path, "rb", opener=_open)  # noqa: SIM115
        try:
            packed = self._raw.peek(2)[:2] == GZIP
        except OSError:
            self._raw.close()
            raise
        # a packed log does not grow
        self.wait = None if packed else wait
        self._text: io.BufferedIOBase = gzip.GzipFile(fileobj=self._raw) if packed else self._raw
        self._place = Line(b"", 0, 0)

    def __next__(self) -> Line:
        line = self._read()
        if line is None:
            raise StopIteration
        return line

    @property
    def following(self) -> Line | None:
        """The line after the last one, if it is there and can be read. Only for saying what
        is wrong with the last one: reading cannot go on after that."""
        self.wait = None
        try:
            return self._read()
        except Broken:
            return None

    def close(self) -> None:
        self._text.close()
        self._raw.close()

    def _read(self) -> Line | None:
        """The line after the last one. Raises ``Broken``."""
        last = self._place
        here = Line(b"", last.number + 1, last.byte + len(last.raw))
        try:
            raw = self._text.readline(LONGEST)
            while self.wait and not raw.endswith(b"\n") and len(raw) < LONGEST:
                if not self.wait():
                    self.wait = None
                self._refuse_shorter(here.byte + len(raw), here)
                raw += self._text.readline(LONGEST - len(raw))
        except EOFError as error:
            raise Broken("torn", "the packed file stops in the middle", here) from error
        except (zlib.error, gzip.BadGzipFile) as error:
            what = f"the packed file cannot be unpacked: {error}"
            raise Broken("changed", what, here) from error
        except OSError as error:
            raise unreadable(error, here) from error
        if len(raw) == LONGEST:
            raise Broken("foreign", f"a line of more than {LONGEST} bytes", here)
        if not raw:
            return None
        self._place = Line(raw, here.number, here.byte)
        return self._place

    def _refuse_shorter(self, read: int, here: Line) -> None:
        """A followed log only grows; nobody would ever write at the place that was reached."""
        if self._text is self._raw and os.fstat(self._raw.fileno()).st_size < read:
            raise Broken("changed", "the file has become shorter while it was read", here)


def _open(path: str, flags: int) -> int:
    """A named pipe that nobody writes to must not be waited for."""
    number = os.open(path, flags | os.O_NONBLOCK)
    os.set_blocking(number, True)
    return number


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
