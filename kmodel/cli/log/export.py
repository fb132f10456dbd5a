"""``kmodel log export``: a run for other programs."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import click

from kmodel.cli.log.run import Refused, logs_option, opened, refuse_backwards, say_unfinished

if TYPE_CHECKING:
    from kmodel.log.reader import Reader
    from kmodel.log.record import Record

TRACES = ("perfetto", "chrome")
TABLES = ("csv", "sqlite", "parquet", "duckdb")
TEXTS = ("mermaid", "shiviz", "lnav")
FORMAT = "lnav-format"
READABLE = ("chrome", "csv", *TEXTS)


@click.command()
@click.argument("run", required=False)
@logs_option
@click.option(
    "--to",
    "to",
    type=click.Choice([*TRACES, *TABLES, *TEXTS, FORMAT]),
    required=True,
    help="For which program.",
)
@click.option(
    *("-o", "--output"),
    type=click.Path(path_type=Path, dir_okay=False),
    help="The file to write; -, and of text nothing, is standard output.",
)
@click.option("--since", type=click.IntRange(0), default=0, metavar="STEP", help="From this step.")
@click.option("--until", type=click.IntRange(0), metavar="STEP", help="To this step.")
def export(
    run: str | None, logs: Path, to: str, output: Path | None, since: int, until: int | None
) -> None:
    """Write RUN as a file that another program opens.

    \b
      perfetto  ui.perfetto.dev ("Open trace file", stays on your machine); 1 step = 1 us
      chrome    the same tracks as JSON: chrome://tracing, speedscope, Perfetto
      csv, sqlite, parquet, duckdb   one table "events", columns as in "kmodel log query"
                (parquet and duckdb need: pip install 'kmodel[sql]')
      mermaid   a sequence diagram in text, of 200 steps unless --until says otherwise
      shiviz    what happened before what, by vector clocks
      lnav      events with a time each (1 step = 1 ms from 2000-01-01); lnav needs the format
                once: kmodel log export --to lnav-format > ~/.config/lnav/formats/installed/
                kmodel_log.json

    A damaged log is written up to the damage, and the command ends with 5.

    \b
    Examples:
      kmodel log export contended_kernel_map-wait-seed7-1 --to perfetto -o run.pftrace
      kmodel log export contended_kernel_map-wait-seed7-1 --to sqlite -o run.db
    """
    if to == FORMAT:
        _format(output)
        return
    refuse_backwards(since, until)
    if run is None:
        raise click.UsageError("Give RUN.")
    if output is None and to not in READABLE:
        raise click.UsageError(f"Give with -o the file to write: {to} is not text.")
    with opened(run, logs) as reader:
        if reader.header:
            _write(reader, to, output or Path("-"), since, until)
            say_unfinished(reader)


def _format(output: Path | None) -> None:
    from kmodel.log.lnav import format_file
    from kmodel.log.whole import written

    if output is None:
        sys.stdout.write(format_file())
        return
    with written(output) as file:
        file.write(format_file().encode())


def _write(reader: Reader, to: str, output: Path, since: int, until: int | None) -> None:
    from kmodel.log.filter import Filter
    from kmodel.log.query import QueryError
    from kmodel.log.whole import STDOUT, written

    if output == STDOUT and to not in READABLE and sys.stdout.isatty():
        raise click.UsageError(f"{to} is not for a terminal: name a file with -o, or use a pipe.")
    window = Filter(since=since, until=until)
    records = (record for record in reader if window.passes(record))
    try:
        with written(output) as file:
            if to in TRACES:
                _trace(reader, records, to, file)
            elif to == "csv":
                from kmodel.log.tabular import write_csv

                write_csv(records, file)
            elif to == "sqlite":
                from kmodel.log.tabular import write_sqlite

                write_sqlite(records, Path(file.name))
            elif to in TABLES:
                from kmodel.log.tabular import write_duck

                write_duck(records, Path(file.name), to)
            else:
                _lines(_text(reader, records, to, since, until), file)
    except QueryError as error:
        raise Refused(f"{error}.") from error
    click.echo(f"{to}: {output}, of {reader.records:,} events read", err=output == STDOUT)


def _trace(reader: Reader, records: Iterable[Record], to: str, file: BinaryIO) -> None:
    from kmodel.log import chrome, perfetto
    from kmodel.log.loop import loop_of
    from kmodel.log.tracks import tracks

    write = perfetto.write if to == "perfetto" else chrome.write
    write(tracks(records, reader.pools, loop_of(reader.header)), reader.tasks, file)


def _text(
    reader: Reader, records: Iterable[Record], to: str, since: int, until: int | None
) -> Iterable[str]:
    from kmodel.log import lnav, sequence
    from kmodel.log.loop import loop_of
    from kmodel.log.timeline import timeline

    if to == "mermaid":
        loop = loop_of(reader.header)
        found = timeline(reader, reader.tasks, reader.pools, since, until, loop)
        if not found.whole:
            shown = f"{found.first}-{found.last()}"
            click.echo(f"Shown are steps {shown}; --since and --until show others.", err=True)
        return sequence.mermaid(found)
    if to == "shiviz":
        return sequence.shiviz(records, reader.tasks)
    return lnav.lines(records)


def _lines(lines: Iterable[str], file: BinaryIO) -> None:
    for line in lines:
        file.write(line.encode(errors="replace") + b"\n")
