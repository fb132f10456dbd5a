"""The same table under DuckDB, for who has the ``[sql]`` extra: window functions over
millions of rows, ASOF joins.

The events go into a database file in a directory of their own, which is opened again
read-only, without access to anything outside, and with its settings locked, before
anybody's question is asked.
"""

from __future__ import annotations

import json
import tempfile
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from kmodel.log.closing import Closing
from kmodel.log.query import (
    COLUMNS,
    LONGEST_VALUE,
    MEMORY,
    Misasked,
    QueryError,
    cells,
    refuse_unreadable,
)
from kmodel.log.record import Record

MISSING: Final = (
    "DuckDB is not installed: pip install 'kmodel[sql]', or ask with --engine sqlite (export "
    "--to sqlite), which needs nothing"
)

_TYPES: Final = {"INTEGER": "BIGINT", "TEXT": "VARCHAR"}


class Duck(Closing):
    """DuckDB, locked down. Raises ``QueryError`` where it is not installed."""

    def __init__(self) -> None:
        try:
            import duckdb
        except ImportError as error:
            raise QueryError(MISSING) from error
        self._duckdb: Any = duckdb
        self._home = tempfile.TemporaryDirectory(prefix="kmodel-")
        self._path = Path(self._home.name) / "events.duckdb"
        self._db: Any = None

    def load(self, records: Iterable[Record]) -> None:
        lines = Path(self._home.name) / "rows.jsonl"
        try:
            with lines.open("w") as out:
                for record in records:
                    row = dict(zip(COLUMNS, cells(record))) | {"fields": record.fields}
                    out.write(json.dumps(row) + "\n")
            self._fill(lines)
            lines.unlink()
            self._lock()
        except (self._duckdb.Error, OSError) as error:
            raise QueryError(f"the events could not be put into a table: {error}") from error

    def ask(self, sql: str, seconds: float) -> tuple[list[str], Iterator[tuple[Any, ...]]]:
        refuse_unreadable(sql)
        watch = threading.Timer(seconds, self._db.interrupt)
        watch.start()
        try:
            statements = self._db.extract_statements(sql)
            if len(statements) != 1 or statements[0].type != self._duckdb.StatementType.SELECT:
                raise QueryError("a question may only look at events (one SELECT or WITH)")
            answer = self._db.execute(statements[0])
        except self._duckdb.Error as error:
            raise self._told(error, watch) from error
        finally:
            watch.cancel()
        return [column[0] for column in answer.description], self._rows(answer, seconds)

    def saved(self, kind: str) -> Path:
        """Its own file, or its events in another one (``parquet``), until it is closed."""
        self._db.close()
        if kind != "parquet":
            return self._path
        rows = self._path.with_name("events.parquet")
        with self._connect(read_only=True) as db:
            db.execute(f"COPY events TO '{rows}' (FORMAT parquet, COMPRESSION zstd)")
        return rows

    def close(self) -> None:
        if self._db is not None:
            self._db.close()
        self._home.cleanup()

    def _fill(self, lines: Path) -> None:
        kinds = {name: _TYPES[kind] for name, (kind, _) in COLUMNS.items()} | {"fields": "JSON"}
        named = ", ".join(f"{name}: '{kind}'" for name, kind in kinds.items())
        with self._connect() as db:
            # with the types said: what it guesses from a sample misses late fields
            db.execute(
                f"CREATE TABLE events AS SELECT * FROM read_json(?, columns={{{named}}}, "
                f"format='newline_delimited', maximum_object_size={LONGEST_VALUE})",
                [str(lines)],
            )

    def _lock(self) -> None:
        self._db = self._connect(read_only=True)
        for setting in (
            "autoinstall_known_extensions=false",
            "autoload_known_extensions=false",
            "enable_external_access=false",
            # a table's name must never mean a variable of this program
            "python_enable_replacements=false",
            "lock_configuration=true",
        ):
            self._db.execute(f"SET {setting}")

    def _connect(self, read_only: bool = False) -> Any:
        limits = {"memory_limit": f"{MEMORY >> 20}MiB", "threads": 1}
        limits["temp_directory"] = str(Path(self._home.name) / "spill")
        return self._duckdb.connect(str(self._path), read_only=read_only, config=limits)

    def _rows(self, answer: Any, seconds: float) -> Iterator[tuple[Any, ...]]:
        watch = threading.Timer(seconds, self._db.interrupt)
        watch.start()
        try:
            while row := answer.fetchone():
                yield row
        except self._duckdb.Error as error:
            raise self._told(error, watch) from error
        finally:
            watch.cancel()

    def _told(self, error: Exception, watch: threading.Timer) -> QueryError:
        if isinstance(error, self._duckdb.InterruptException) and watch.finished.is_set():
            return QueryError("it took too long and was stopped: ask for less, or --max-seconds")
        return Misasked(str(error).strip().rstrip("."))
