"""``kmodel log``: look into the event logs that runs leave behind.

Rich and the readers are imported where they are used: ``kmodel --help`` stays light.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from kmodel.log.filter import Filter
    from kmodel.log.reader import Reader
    from kmodel.log.record import Record

SCHEMA = "kmodel.log/1"
DAMAGED = 5


@click.group()
def log() -> None:
    """Inspect the event logs of runs.

    \b
    Example:
      kmodel log show contended_kernel_map-wait-seed7-1 --obj kernel_map
    """


@log.command()
@click.argument("run")
@click.option("--cpu", type=click.IntRange(min=0), multiple=True, help="Only this CPU, from 0.")
@click.option("--task", multiple=True, help="Only the task of this name.")
@click.option("--event", multiple=True, metavar="GLOB", help="Only such events: 'lock.*'.")
@click.option("--obj", multiple=True, metavar="GLOB", help="Only events on such objects.")
@click.option("--since", type=click.IntRange(min=0), metavar="STEP", help="From this step on.")
@click.option("--until", type=click.IntRange(min=0), metavar="STEP", help="To this step.")
@click.option(
    "--logs",
    type=click.Path(path_type=Path),
    default="logs",
    show_default=True,
    help="Where runs are.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
@click.pass_context
def show(
    ctx: click.Context,
    run: str,
    cpu: tuple[int, ...],
    task: tuple[str, ...],
    event: tuple[str, ...],
    obj: tuple[str, ...],
    since: int | None,
    until: int | None,
    logs: Path,
    as_json: bool,
) -> None:
    """Show the events of RUN, one a line, in the column of their CPU.

    RUN is the name of a run, a directory or a file (.gz too). Options of one kind may
    be repeated: any of them fits. "<- 37" names the event (seq) that let this one happen.

    Exit status: 0 shown, 2 no such run, 5 the file is damaged (all before is shown).

    \b
    Examples:
      kmodel log show contended_kernel_map-wait-seed7-1 --obj kernel_map
      kmodel log show ./saved/events.jsonl.gz --event 'lock.*' --event mark
      kmodel log show contended_kernel_map-wait-seed7-1 --since 30 --until 60 --json
    """
    from kmodel.log.filter import Filter
    from kmodel.log.reader import Reader
    from kmodel.log.runs import NoSuchRun, find

    try:
        path = find(run, logs)
    except NoSuchRun as error:
        raise click.UsageError(str(error)) from error
    with Reader.open(path) as reader:
        _refuse_unknown(reader, cpu, task)
        wanted = Filter(cpu, task, event, obj, since, until)
        if as_json:
            _print_json(reader, wanted)
        else:
            _print_columns(reader, wanted)
        if reader.damage:
            click.echo(f"kmodel log: {reader.damage.message}", err=True)
            ctx.exit(DAMAGED)


def _refuse_unknown(reader: Reader, cpus: tuple[int, ...], tasks: tuple[str, ...]) -> None:
    """A CPU or task that the run does not have is a slip, not an empty answer."""
    names = reader.tasks
    if not names:
        return
    for cpu in cpus:
        if cpu >= len(names):
            last = len(names) - 1
            raise click.UsageError(f"There is no CPU {cpu}: this run has CPUs 0 to {last}.")
    for task in tasks:
        if task not in names:
            raise click.UsageError(f"There is no task {task!r}: this run has {', '.join(names)}.")


def _passing(reader: Reader, wanted: Filter, counted: list[int]) -> Iterator[Record]:
    for record in reader:
        if wanted.passes(record):
            counted[0] += 1
            yield record


def _print_columns(reader: Reader, wanted: Filter) -> None:
    from kmodel.log.show import print_lines

    if not reader.header:
        return
    shown = [0]
    click.echo(_caption(reader))
    print_lines(_passing(reader, wanted, shown), reader.tasks)
    if reader.damage is None and reader.end is None:
        click.echo("--- unfinished: no run.end; the run was cut short, or still goes on ---")
    if not shown[0]:
        click.echo(f"None of the {reader.records} events read passes the filter.", err=True)


def _caption(reader: Reader) -> str:
    from kmodel.log.show import printable

    known = {key: reader.header.get(key) for key in ("fix", "situation", "strategy", "seed")}
    said = [f"{key}={value}" for key, value in known.items() if value is not None]
    return printable(" ".join([str(reader.header.get("scenario")), *said]))


def _print_json(reader: Reader, wanted: Filter) -> None:
    """Written as it is read: the document may be larger than memory."""
    import attrs

    out = sys.stdout
    header = json.dumps(reader.header or None)
    out.write(f'{{"schema": {json.dumps(SCHEMA)}, "header": {header}, "records": [')
    for number, record in enumerate(_passing(reader, wanted, [0])):
        out.write((",\n" if number else "\n") + json.dumps(record.row()))
    damage = attrs.asdict(reader.damage) if reader.damage else None
    out.write(f'\n], "damage": {json.dumps(damage)}}}\n')
    out.flush()
