"""``kmodel log show``: the events of a run, one a line, and of a run that still goes on."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kmodel.cli.log.run import UNFINISHED, caption, of_a_run, opened, refuse_backwards, state_of
from kmodel.cli.options import as_json

if TYPE_CHECKING:
    from kmodel.log.filter import Filter
    from kmodel.log.reader import Reader
    from kmodel.log.record import Record

SCHEMA = "kmodel.log/1"

MISNAMED = 2
"""How it ends if an event or an object was asked for that there is not."""

LOOK_AGAIN = 0.1
"""Seconds between two looks at a log that is being followed."""


@click.command()
@of_a_run
@click.option("--cpu", multiple=True, metavar="N|NAME", help="Only this CPU, from 0 or by name.")
@click.option("--task", multiple=True, help="Only the task of this name.")
@click.option("--event", multiple=True, metavar="GLOB", help="Only such events: 'lock.*'.")
@click.option("--obj", multiple=True, metavar="GLOB", help="Only events on such objects.")
@click.option("--since", type=click.IntRange(min=0), metavar="STEP", help="From this step on.")
@click.option("--until", type=click.IntRange(min=0), metavar="STEP", help="To this step.")
@click.option("--follow", is_flag=True, help="Wait for more until run.end (or Ctrl-C).")
@as_json
def show(
    run: str,
    logs: Path,
    cpu: tuple[str, ...],
    task: tuple[str, ...],
    event: tuple[str, ...],
    obj: tuple[str, ...],
    since: int | None,
    until: int | None,
    follow: bool,
    as_json: bool,
) -> None:
    """Show the events of RUN, one a line, in the column of their CPU.

    RUN is the name of a run, a directory or a file (.gz too), or - for standard input. Options
    of one kind may be repeated: any of them fits. "<- 37" names the event (seq) that let this
    one happen.
    A run writes its log in blocks of 64 KiB, and so --follow gets it.

    Exit status: 0 shown, 2 no such run, or nothing of such a name in it, 5 the file is damaged (all
    before is shown).

    \b
    Examples:
      kmodel log show contended_kernel_map-wait-seed7-1 --obj kernel_map
      kmodel log show ./saved/events.jsonl.gz --cpu K --event 'lock.*' --event mark
      kmodel log show contended_kernel_map-wait-seed7-1 --since 30 --until 60 --json
      kmodel log show contended_kernel_map-wait-seed8-1 --follow --event 'fault.*'
    """
    from kmodel.log.filter import Filter

    refuse_backwards(since, until)
    with opened(run, logs, _wait if follow else None) as reader:
        cpus = _cpus(reader, cpu)
        _refuse_unknown(reader, task)
        passing = Passing(reader, Filter(cpus, task, event, obj, since, until))
        if as_json:
            _print_json(passing)
        else:
            _print_columns(passing)
    if passing.misnamed():
        sys.exit(MISNAMED)


def _wait() -> bool:
    sys.stdout.flush()
    time.sleep(LOOK_AGAIN)
    return True


def _cpus(reader: Reader, given: tuple[str, ...]) -> tuple[int, ...]:
    """CPUs by index; a name is that of the task on it. One that the run does not have is a
    slip, not an empty answer."""
    names, found = reader.tasks, []
    for said in given:
        if said in names:
            found.append(names.index(said))
        elif said.isascii() and said.isdigit() and (not names or int(said) < len(names)):
            found.append(int(said))
        elif names or not reader.damage:
            known = ", ".join(f"{index} ({name})" for index, name in enumerate(names))
            raise click.UsageError(f"There is no CPU {said!r}: this run has CPUs {known}.")
    return tuple(found)


def _refuse_unknown(reader: Reader, tasks: tuple[str, ...]) -> None:
    from kmodel.log.near import near

    names = reader.tasks
    for task in tasks:
        if names and task not in names:
            known = f"this run has {', '.join(names)}"
            raise click.UsageError(f"There is no task {task!r}: {known}.{near(task, names)}")


class Passing:
    """The records that pass a filter: iterate it once. ``shown`` counts them."""

    def __init__(self, reader: Reader, wanted: Filter) -> None:
        from kmodel.log.near import Seen

        self.reader, self.shown = reader, 0
        self._wanted, self._seen = wanted, Seen()

    def __iter__(self) -> Iterator[Record]:
        named = self._wanted.event or self._wanted.obj
        for record in self.reader:
            if named:
                self._seen.add(record)
            if self._wanted.passes(record):
                self.shown += 1
                yield record

    def misnamed(self) -> bool:
        """Say which names nothing in the log has, and what is near. An event that kmodel knows
        and the run just does not have is no such name."""
        from kmodel.event import EVENTS
        from kmodel.log.near import hint, lacking

        if not self.reader.header:
            return False
        events, objects = self._seen.events, self._seen.objects
        slips = lacking(lacking(self._wanted.event, events), set(EVENTS))
        for glob in slips:
            here = hint(glob, events | set(EVENTS))
            click.echo(f"There is no event {glob!r}. {here}", err=True)
        nowhere = lacking(self._wanted.obj, objects)
        for glob in nowhere:
            click.echo(f"Nothing in this run is called {glob!r}. {hint(glob, objects)}", err=True)
        return bool(slips or nowhere)


def _print_columns(passing: Passing) -> None:
    from kmodel.log.loop import loop_of
    from kmodel.log.show import print_lines

    reader = passing.reader
    if not reader.header:
        return
    loop = loop_of(reader.header)
    click.echo(caption(reader))
    print_lines(passing, reader.tasks, mark_steps=loop.marks() if loop else None)
    if reader.damage is None and reader.end is None:
        click.echo(f"--- {UNFINISHED} ---")
    if not passing.shown:
        click.echo(f"None of the {reader.records} events read passes the filter.", err=True)


def _print_json(passing: Passing) -> None:
    """Written as it is read: the document may be larger than memory."""
    out, reader = sys.stdout, passing.reader
    header = json.dumps(reader.header or None)
    out.write(f'{{"schema": {json.dumps(SCHEMA)}, "header": {header}, "records": [')
    for number, record in enumerate(passing):
        out.write((",\n" if number else "\n") + json.dumps(record.row()))
    out.write("\n], " + json.dumps(state_of(reader))[1:] + "\n")
    out.flush()
