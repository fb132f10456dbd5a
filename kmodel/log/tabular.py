"""The events as a table in a file, with the columns that a query has."""

from __future__ import annotations

import csv
import io
import shutil
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

from kmodel.log.query import COLUMNS, QueryError, cells
from kmodel.log.record import Record


def write_csv(records: Iterable[Record], file: BinaryIO) -> None:
    """A line of names, then one an event; what has no value is empty."""
    text = io.TextIOWrapper(file, encoding="utf-8", errors="replace", newline="")
    out = csv.writer(text)
    out.writerow(COLUMNS)
    out.writerows(map(cells, records))
    text.flush()
    text.detach()


def write_sqlite(records: Iterable[Record], path: Path) -> None:
    """A database with the table ``events``. Raises ``QueryError``."""
    marks = ", ".join("?" * len(COLUMNS))
    columns = ", ".join(f"{name} {kind}" for name, (kind, _) in COLUMNS.items())
    try:
        db = sqlite3.connect(path, isolation_level=None)
        try:
            # whoever is killed leaves the file under its temporary name
            db.execute("PRAGMA journal_mode=OFF")
            db.execute("PRAGMA synchronous=OFF")
            db.execute("BEGIN")
            db.execute(f"CREATE TABLE events ({columns})")
            db.executemany(f"INSERT INTO events VALUES ({marks})", map(cells, records))
            db.execute("COMMIT")
        finally:
            db.close()
    except (sqlite3.Error, OverflowError, UnicodeError) as error:
        raise QueryError(f"the events could not be put into a table: {error}") from error


def write_duck(records: Iterable[Record], path: Path, kind: str) -> None:
    """A DuckDB database with the table ``events``, or its rows as Parquet. Raises
    ``QueryError``, also where DuckDB is not installed."""
    from kmodel.log.duck import Duck

    with Duck() as duck:
        duck.load(records)
        shutil.copyfile(duck.saved(kind), path)
