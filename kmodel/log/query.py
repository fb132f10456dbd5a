"""SQL over the events of a log, with what the standard library has: sqlite.

The table ``events`` has one row a record and the columns of ``COLUMNS``, the same under
every engine. It lies in a private file that is gone with the connection. A question may
only look: no other file, no setting, no extension can be reached, and time, memory and
the length of a value are bounded.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable, Iterator
from typing import Any, Final, Protocol

from kmodel.log.closing import Closing
from kmodel.log.record import Record, encode

COLUMNS: Final[dict[str, tuple[str, str]]] = {
    "step": ("INTEGER", "counts from 0; shared by all events of one step"),
    "seq": ("INTEGER", "number of the record, from 0"),
    "cpu": ("INTEGER", "from 0; NULL on run.end"),
    "task": ("TEXT", "the thread on that CPU"),
    "event": ("TEXT", "noun.verb"),
    "cause": ("INTEGER", "seq of the event that let this one happen, or NULL"),
    "obj": ("TEXT", "the lock, pool, process ... by name"),
    "result": ("TEXT", "what the thread learned: 'true', 'false', a number, or NULL"),
    "fields": ("TEXT", "all other keys, as JSON: fields->>'va'"),
}
"""Column -> its type, and what it holds. Columns are added at the end, never renamed."""

LONGEST_VALUE: Final = 1 << 20
"""Bytes of one value. A record has a few hundred."""

MEMORY: Final = 160 << 20
"""Bytes that an engine may use; what needs more goes to a temporary file."""

LOOK_EVERY: Final = 10_000
"""Virtual instructions of sqlite between two looks at the clock."""


class QueryError(Exception):
    """The question cannot be answered; the message says why."""


class Misasked(QueryError):
    """The SQL is wrong, or names what there is not."""


class Engine(Protocol):
    """Holds the events of one log and answers questions about them."""

    def load(self, records: Iterable[Record]) -> None:
        """Take the records in, once. Raises ``QueryError`` where the disk is full."""
        ...

    def ask(self, sql: str, seconds: float) -> tuple[list[str], Iterator[tuple[Any, ...]]]:
        """The names of the answer's columns, and its rows. Raises ``QueryError``, also
        while the rows are taken."""
        ...

    def close(self) -> None: ...


def cells(record: Record) -> tuple[Any, ...]:
    """A record as a row of ``events``."""
    return (
        record.step,
        record.seq,
        record.cpu,
        record.task,
        record.event,
        record.cause,
        None if record.obj is None else str(record.obj),
        _result(record.result),
        encode(record.fields).decode(),
    )


def _result(value: Any) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    return None if value is None else str(value)


def refuse_unreadable(sql: str) -> None:
    """What no engine takes: bytes that are no text (a shell passes them on)."""
    if "\0" in sql or (not sql.isascii() and sql.encode(errors="replace").decode() != sql):
        raise QueryError("the question holds bytes that are no text")


class Sqlite(Closing):
    """The standard library's engine."""

    def __init__(self) -> None:
        # no name: a private file that only this connection sees, and that goes with it
        self._db = sqlite3.connect("", isolation_level=None)
        self._deadline = 0.0
        self._late = False
        for pragma in (
            "journal_mode=OFF",
            "synchronous=OFF",
            "temp_store=FILE",
            "cache_size=-65536",
            f"hard_heap_limit={MEMORY}",
        ):
            self._db.execute(f"PRAGMA {pragma}").fetchall()
        columns = ", ".join(f"{name} {kind}" for name, (kind, _) in COLUMNS.items())
        self._db.execute(f"CREATE TABLE events ({columns})")
        for function in ("json_each", "json_tree"):
            # set up now: later this would look like making a table
            self._db.execute(f"SELECT 1 FROM {function}('[]')").fetchall()

    def load(self, records: Iterable[Record]) -> None:
        marks = ", ".join("?" * len(COLUMNS))
        try:
            self._db.execute("BEGIN")
            self._db.executemany(f"INSERT INTO events VALUES ({marks})", map(cells, records))
            self._db.execute("COMMIT")
        except (sqlite3.Error, OverflowError, UnicodeError) as error:
            raise QueryError(f"the events could not be put into a table: {error}") from error

    def ask(self, sql: str, seconds: float) -> tuple[list[str], Iterator[tuple[Any, ...]]]:
        refuse_unreadable(sql)
        self._db.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LONGEST_VALUE)
        self._db.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
        self._db.set_authorizer(_authorize)
        self._deadline = time.monotonic() + seconds
        self._db.set_progress_handler(self._look, LOOK_EVERY)
        try:
            cursor = self._db.execute(sql)
        except (sqlite3.Error, sqlite3.Warning) as error:
            raise self._told(error) from error
        if cursor.description is None:
            raise Misasked("that is no question: begin with SELECT or WITH")
        return [column[0] for column in cursor.description], self._rows(cursor)

    def close(self) -> None:
        self._db.close()

    def _rows(self, cursor: sqlite3.Cursor) -> Iterator[tuple[Any, ...]]:
        try:
            for row in cursor:  # noqa: UP028  (yield from would close the cursor, when it is gone)
                yield row
        except (sqlite3.Error, UnicodeError) as error:
            raise self._told(error) from error

    def _look(self) -> bool:
        self._late = time.monotonic() > self._deadline
        return self._late

    def _told(self, error: BaseException) -> QueryError:
        if self._late:
            return QueryError("it took too long and was stopped: ask for less, or --max-seconds")
        if any(word in str(error) for word in ("authoriz", "prohibited")):
            return QueryError("a question may only look at events (SELECT, WITH)")
        if isinstance(error, MemoryError) or "out of memory" in str(error):
            return QueryError("it needs too much memory: ask for less")
        return Misasked(str(error).rstrip("."))


_ALLOWED: Final = {
    sqlite3.SQLITE_SELECT,
    sqlite3.SQLITE_READ,
    sqlite3.SQLITE_FUNCTION,
    sqlite3.SQLITE_RECURSIVE,
}


def _authorize(action: int, one: str | None, two: str | None, *_: str | None) -> int:
    """Only looking. A function's name comes as the second argument."""
    if action not in _ALLOWED or (action == sqlite3.SQLITE_FUNCTION and two == "load_extension"):
        return sqlite3.SQLITE_DENY
    return sqlite3.SQLITE_OK
