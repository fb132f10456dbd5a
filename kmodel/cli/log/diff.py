"""``kmodel log diff``: where two runs part, and what came of it."""

from __future__ import annotations

import json
import shutil
import sys
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kmodel.cli.log.columns import aligned
from kmodel.cli.log.run import Refused, caption, end_if_damaged, logs_option, opened, state_of
from kmodel.cli.options import as_json

if TYPE_CHECKING:
    from kmodel.log.parting import Parting, Row
    from kmodel.log.reader import Reader
    from kmodel.log.record import Record

SCHEMA = "kmodel.log-diff/1"

WIDTH = 100
"""Columns where there is no terminal to ask."""

ROWS = 12
"""Numbers that are shown; --json has all."""


@click.command()
@click.argument("run")
@click.argument("other", required=False)
@click.option(
    "--nearest-passing",
    is_flag=True,
    help="Instead of OTHER: search the passing run that parts last from RUN, a failure.",
)
@click.option("--width", type=click.IntRange(20), help="Columns  [default: terminal's, or 100].")
@logs_option
@as_json
def diff(
    run: str,
    other: str | None,
    nearest_passing: bool,
    width: int | None,
    logs: Path,
    as_json: bool,
) -> None:
    """Show where RUN and OTHER part: the first event that differs, and what each then did.

    Meant for one scenario under another schedule, seed, fix or number of CPUs: events are
    matched by the name of their task. "=" are the last events that both have; below, RUN is to
    the left. Then come the numbers of "kmodel log stats" that differ.
    --nearest-passing follows the failing schedule as long as it can, and goes another way at the
    last step from which a run ends well; that run is logged under --logs and compared. It
    runs the scenario named in the log.

    Exit status: 0 compared, 2 no such run, or RUN did not fail, 4 no passing run was found,
    5 a log is damaged (all before is compared) or does not fit the model.

    \b
    Examples:
      kmodel log diff contended_kernel_map-wait-seed7-1 contended_kernel_map-wait-seed8-1
      kmodel log diff contended_kernel_map-wait-seed7-1 contended_kernel_map-populate-seed7-1
      kmodel log diff contended_kernel_map-wait-replay-1 --nearest-passing
    """
    from kmodel.log.parting import parted

    if (other is None) is not nearest_passing:
        raise click.UsageError("Give OTHER, or --nearest-passing.")
    said: list[str] = []
    if other is None:
        other, said = _nearest(run, logs)
    with opened(run, logs) as left, opened(other, logs) as right:
        if not (left.header and right.header):
            return
        found = parted(left, right)
        if as_json:
            _print_json(left, right, found, said)
        else:
            room = width or _columns()
            click.echo("\n".join([*said, *report(left, right, found, room)]))


def _columns() -> int:
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else WIDTH


def _nearest(run: str, logs: Path) -> tuple[str, list[str]]:
    """The log of the nearest passing run, and what to say of how it was found."""
    from kmodel.explore.purity import pure
    from kmodel.nearest import Search, written
    from kmodel.rerun import Rerun

    with opened(run, logs) as log, pure():
        end_if_damaged(log)
        again = Rerun(log)
        for _ in again:
            pass
        end = log.end
        if end is not None and end.fields.get("outcome") == "done":
            raise Refused(f"{log.path} did not fail: it ended well, so there is nothing nearer.")
        choices = bytes(again.execution.choices)
        prop = _property(log)
        found = Search(again.case, choices, prop).nearest()
        if found.choices is None:
            why = (
                "of all that part from it by one choice" if found.all else "before it was given up"
            )
            click.echo(f"kmodel log: no passing run among {found.tried:,}: {why}.", err=True)
            sys.exit(4)
        path = written(again.case, found.choices, logs)
    tried = f"{found.tried:,} run{'s' if found.tried > 1 else ''} tried"
    if found.parts == len(choices):
        return str(path), [f"Carried on, the run ends well ({tried}): {path.parent}"]
    return str(path), [
        f"The nearest passing run parts at step {found.parts} ({tried}): {path.parent}"
    ]


def _property(log: Reader) -> str:
    """The check that failed; of a replayed run, what its token says."""
    from kmodel.explore.schedule import parse

    word = log.header.get("token")
    if isinstance(word, str):
        return parse(word).property
    return str(log.end.fields.get("property", "")) if log.end else ""


def report(left: Reader, right: Reader, found: Parting, width: int = WIDTH) -> list[str]:
    """Both captions, the parting, the numbers."""
    from kmodel.log.parting import differences, heads

    lines = [f"left:  {caption(left)}  {left.path}", f"right: {caption(right)}  {right.path}"]
    head = heads(left, right)
    if head:
        lines += ["", *_table(("header", "left", "right"), head)]
    if found.same:
        return [*lines, "", f"The runs are the same: all {found.common:,} events."]
    lines += ["", _where(found), "", *_sides(found, width)]
    if what := _differs(found):
        lines += ["", what]
    rows = differences(*found.stats)
    if rows:
        lines += ["", *_table(("in all", "left", "right"), rows[:ROWS])]
    if len(rows) > ROWS:
        lines.append(f"... and {len(rows) - ROWS} numbers more (--json has them all)")
    return lines


def _where(found: Parting) -> str:
    first = [side[0].step if side else None for side in found.sides]
    if None in first:
        which = "left" if first[0] is None else "right"
        return f"The first {found.common:,} events are the same; there the {which} log ends."
    step = min(number for number in first if number is not None)
    if not found.common:
        return "They part at the first event."
    events = "event is" if found.common == 1 else f"{found.common:,} events are"
    return f"The first {events} the same. They part at step {step}:"


def _differs(found: Parting) -> str:
    """Two lines of one event may look alike where they are cut."""
    from kmodel.log.show import printable

    rows = found.differing()
    if not rows or any(key in ("event", "step", "task") for key, _, _ in rows):
        return ""
    told = [f"{key} ({_plain(one)} | {_plain(other)})" for key, one, other in rows]
    return printable(f"Of the first event differ: {', '.join(told)}")


def _plain(value: Any) -> str:
    return "nothing" if value is None else str(value)


def _sides(found: Parting, width: int) -> list[str]:
    half = (width - 3) // 2
    lines = [_fit(f"= {_told(record)}", width).rstrip() for record in found.before]
    lines.append("-" * half + "-+-" + "-" * half)
    for one, other in zip_longest(*found.sides):
        pair = [_fit(_told(record) if record else "", half) for record in (one, other)]
        lines.append(f"{pair[0]} | {pair[1]}".rstrip())
    return lines


def _told(record: Record) -> str:
    from kmodel.log.show import printable, text_of

    return f"{record.step:>5} {printable(record.task or '')}: {text_of(record)}"


def _fit(text: str, room: int) -> str:
    return (text if len(text) <= room else text[: room - 3] + "...").ljust(room)


def _table(head: tuple[str, str, str], rows: list[Row]) -> list[str]:
    return aligned(head, rows, 40)


def _print_json(left: Reader, right: Reader, found: Parting, said: list[str]) -> None:
    from kmodel.log.parting import differences, heads

    rows = heads(left, right), differences(*found.stats)
    document: dict[str, Any] = {
        "schema": SCHEMA,
        "runs": [str(left.path), str(right.path)],
        "nearest": said[0] if said else None,
        "header": [dict(zip(("key", "left", "right"), row)) for row in rows[0]],
        "same": found.same,
        "common": found.common,
        "before": [record.row() for record in found.before],
        "left": [record.row() for record in found.sides[0]],
        "right": [record.row() for record in found.sides[1]],
        "differs": [dict(zip(("key", "left", "right"), row)) for row in found.differing()],
        "numbers": [dict(zip(("name", "left", "right"), row)) for row in rows[1]],
        **{key: [value, state_of(right)[key]] for key, value in state_of(left).items()},
    }
    json.dump(document, sys.stdout, indent=2)
    sys.stdout.write("\n")
