"""``kmodel log stats``: a run in numbers."""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kmodel.cli.log.columns import aligned
from kmodel.cli.log.run import UNFINISHED, caption, of_a_run, opened, state_of
from kmodel.cli.options import as_json

if TYPE_CHECKING:
    from kmodel.log.reader import Reader
    from kmodel.log.stats import Longest, Stats

SCHEMA = "kmodel.log-stats/1"

FAULTS = 20
"""Faults that get a line of their own: those with the most steps."""


@click.command()
@of_a_run
@as_json
def stats(run: str, logs: Path, as_json: bool) -> None:
    """Sum RUN up: its locks, its pools, its faults, its CPUs.

    Lengths are in steps. "contended" had to sleep or spin for the lock, "refused" is a try
    that failed. A hold or a wait that the log does not see the end of has a "+". Of a CPU's
    steps, "busy" are its own; while "ready" it could have stepped and others did: so also once
    it was woken, or while the mutex that it wants is free. It is "asleep" until it is woken, and
    "spinning" in the steps in which another holds the mutex. A run that went wrong ends with a
    table of who could not go on, since when.

    \b
    Examples:
      kmodel log stats contended_kernel_map-wait-seed7-1
      kmodel log stats logs/example-contended_kernel_map-populate --json | jq .locks[0]
    """
    from kmodel.log.stats import Stats

    with opened(run, logs) as reader:
        found = Stats(reader.tasks, reader.pools)
        for record in reader:
            found.add(record)
        found.close(reader.end)
        if as_json:
            document = {"schema": SCHEMA, "run": str(reader.path)} | found.document()
            json.dump(document | state_of(reader), sys.stdout, indent=2)
            sys.stdout.write("\n")
        elif reader.header:
            click.echo("\n".join(report(reader, found)))


def report(reader: Reader, found: Stats) -> list[str]:
    """Five tables; those that would be empty are left out."""
    ended = found.outcome or UNFINISHED
    lines = [caption(reader), f"{ended}; {found.steps:,} steps, {found.events:,} events"]
    for table in (_locks(found), _pools(found), _faults(found), _cpus(found), _kept(found)):
        lines += ["", *table] if table else []
    return lines


def _locks(found: Stats) -> list[str]:
    rows = [
        (
            lock.name,
            lock.acquired,
            lock.contended,
            lock.refused,
            _longest(lock.longest_hold),
            _longest(lock.longest_wait),
        )
        for lock in found.worst_locks()
    ]
    head = ("lock", "acquired", "contended", "refused", "longest hold", "longest wait")
    return aligned(head, rows) if rows else []


def _pools(found: Stats) -> list[str]:
    rows = [
        (pool.name, pool.gets, pool.puts, pool.out, pool.high, *_failures(pool.failed, pool.waited))
        for pool in found.pools.values()
        if pool.gets or pool.puts or pool.failed or pool.waited
    ]
    head = ("pool", "gets", "puts", "out", "high water", "failed", "waited")
    return aligned(head, rows) if rows else []


def _failures(*counts: Counter[str]) -> list[str]:
    return [", ".join(f"{why} {n}" for why, n in sorted(count.items())) for count in counts]


def _faults(found: Stats) -> list[str]:
    worst = sorted(found.faults, key=lambda fault: (-fault.steps, fault.since))
    rows = [
        (
            fault.task,
            f"{fault.space} {fault.va}",
            fault.since,
            fault.steps,
            fault.refaults,
            "open" if fault.error is None else fault.error or "",
            *_failures(fault.failed, fault.waited),
        )
        for fault in worst[:FAULTS]
    ]
    head = ("fault by", "at", "from", "steps", "refaults", "error", "refused", "waited for (steps)")
    lines = aligned(head, rows) if rows else []
    if len(worst) > FAULTS:
        lines.append(f"... and {len(worst) - FAULTS:,} faults of fewer steps (--json has them all)")
    return lines


def _cpus(found: Stats) -> list[str]:
    cpus = found.cpus.values()
    columns: dict[str, list[Any]] = {
        "cpu": [cpu.task for cpu in cpus],
        "busy": [cpu.busy for cpu in cpus],
        "asleep": [cpu.asleep for cpu in cpus],
        "spinning": [cpu.spinning for cpu in cpus],
        "stuck": [cpu.stuck for cpu in cpus],
        "ready": [cpu.ready for cpu in cpus],
        "ended": [cpu.ended for cpu in cpus],
        "refused tries": [cpu.refused for cpu in cpus],
    }
    if not any(columns["stuck"]):
        # only a story of one's own waits for more than locks and wakeups
        del columns["stuck"]
    return aligned(list(columns), list(zip(*columns.values()))) if cpus else []


def _kept(found: Stats) -> list[str]:
    from kmodel.log.span import DOES

    rows = [(one.task, f"{DOES[one.kind]} {one.obj}", one.since) for one in found.kept]
    return aligned(("cpu", "where the run ends", "since step"), rows) if rows else []


def _longest(span: Longest | None) -> str:
    if span is None:
        return ""
    return f"{span.steps}{'+' if span.open else ''} {span.task}, from {span.since}"
