"""``kmodel log query``: SQL over the events of a run."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kmodel.cli.amount import Amount
from kmodel.cli.log.columns import aligned
from kmodel.cli.log.run import Refused, of_a_run, opened, say_unfinished, state_of
from kmodel.cli.options import as_json

if TYPE_CHECKING:
    from kmodel.log.reader import Reader

SCHEMA = "kmodel.log-query/1"

WIDEST = 80
"""Characters of a cell that are shown; --json has all of it."""


@click.command()
@of_a_run
@click.argument("sql")
@click.option(
    "--engine",
    type=click.Choice(["sqlite", "duckdb"]),
    default="sqlite",
    show_default=True,
    help="duckdb needs the [sql] extra.",
)
@click.option(
    "--limit", type=click.IntRange(1), default=1000, show_default=True, help="Rows to show."
)
@click.option(
    "--max-seconds",
    type=Amount(0.01),
    default=60.0,
    show_default=True,
    help="Then the question is stopped.",
)
@as_json
def query(
    run: str, logs: Path, sql: str, engine: str, limit: int, max_seconds: float, as_json: bool
) -> None:
    """Ask about the events of RUN in SQL, which may look and do nothing else.

    One table, events: step, seq, cpu, task, event, cause, obj, result ('true', 'false', a
    number), and fields, which holds an event's own keys as JSON: fields->>'va'. The
    columns are the same under both engines; "kmodel log schema --page" explains the events.

    \b
    Examples:
      kmodel log query contended_kernel_map-wait-seed7-1
             "SELECT obj, count(*) AS n FROM events WHERE event = 'lock.try'
              AND result = 'false' GROUP BY obj"
      kmodel log query logs/example-contended_kernel_map-populate --json
             "SELECT step, task, fields->>'va' AS va FROM events WHERE event LIKE 'fault.%'"
    """
    from kmodel.log.query import COLUMNS, Misasked, QueryError

    with opened(run, logs) as reader:
        if not reader.header:
            return
        try:
            with _engine(engine) as asked:
                asked.load(reader)
                columns, rows = asked.ask(sql, max_seconds)
                if as_json:
                    _print_json(reader, engine, columns, rows, limit)
                else:
                    _print_table(columns, rows, limit)
        except QueryError as error:
            columns = f"\nThe table events has: {', '.join(COLUMNS)}."
            raise Refused(f"{error}.{columns * isinstance(error, Misasked)}") from error
        say_unfinished(reader)


def _engine(name: str) -> Any:
    from kmodel.log.duck import Duck
    from kmodel.log.query import Sqlite

    return {"sqlite": Sqlite, "duckdb": Duck}[name]()


def _print_table(columns: list[str], rows: Iterator[tuple[Any, ...]], limit: int) -> None:
    # cut at once: a thousand long values would not fit into memory
    shown = [tuple(map(_short, row)) for row in islice(rows, limit)]
    click.echo("\n".join(aligned(columns, shown, WIDEST)))
    if next(rows, None) is not None:
        click.echo(f"Only the first {limit:,} rows are shown: --limit N shows more.", err=True)


def _short(value: Any) -> Any:
    from kmodel.log.record import plain

    return str(value)[: WIDEST + 1] if isinstance(value, (str, bytes)) else plain(value)


def _print_json(
    reader: Reader, engine: str, columns: list[str], rows: Iterator[tuple[Any, ...]], limit: int
) -> None:
    """Written as it is read: the answer may be larger than memory."""
    from kmodel.log.record import plain

    out = sys.stdout
    head = {"schema": SCHEMA, "run": str(reader.path), "engine": engine, "columns": columns}
    out.write(json.dumps(head)[:-1] + ', "rows": [')
    for number, row in enumerate(islice(rows, limit)):
        out.write((",\n" if number else "\n") + json.dumps(list(map(plain, row))))
    more = next(rows, None) is not None
    rest = {"truncated": more} | state_of(reader)
    out.write("\n], " + json.dumps(rest)[1:] + "\n")
