"""What the log commands share: RUN, how it is found and opened, and how damage is told."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from kmodel.log.reader import Reader, Wait

DAMAGED = 5

STDIN = "-"
"""As RUN: a log on standard input."""


logs_option = click.option(
    "--logs",
    type=click.Path(path_type=Path),
    default="logs",
    show_default=True,
    help="Where runs are.",
)


def of_a_run(command: Callable[..., Any]) -> Callable[..., Any]:
    """RUN, and where runs are."""
    return click.argument("run")(logs_option(command))


@contextmanager
def opened(run: str, logs: Path, wait: Wait | None = None) -> Iterator[Reader]:
    """The log of ``run``. Afterwards, what is wrong with it is said, and ends the command."""
    from kmodel.log.reader import Reader

    if run == STDIN:
        if sys.stdin.isatty():
            raise click.UsageError("- reads a log from standard input: give it one with a pipe.")
        path = Path("/dev/stdin")
    else:
        path = _found(run, logs)
    with Reader.open(path, wait) as reader:
        yield reader
        end_if_damaged(reader)


def _found(run: str, logs: Path) -> Path:
    from kmodel.log.runs import NoSuchRun, find

    try:
        return find(run, logs)
    except NoSuchRun as error:
        raise click.UsageError(str(error)) from error


def end_if_damaged(reader: Reader) -> None:
    """Say what is wrong with a log, if anything is, and end the command."""
    if reader.damage:
        sys.stdout.flush()
        click.echo(f"kmodel log: {reader.damage.message}", err=True)
        sys.exit(DAMAGED)


def caption(reader: Reader) -> str:
    """What was run, in one line."""
    from kmodel.log.show import printable

    known = {key: reader.header.get(key) for key in ("fix", "situation", "strategy", "seed")}
    said = [f"{key}={value}" for key, value in known.items() if value is not None]
    return printable(" ".join([str(reader.header.get("scenario")), *said]))


def say_unfinished(reader: Reader) -> None:
    """Of what leaves no place to say so in what it prints."""
    if reader.header and reader.end is None and reader.damage is None:
        click.echo(f"kmodel log: {reader.path}: {UNFINISHED}.", err=True)


def refuse_backwards(since: int | None, until: int | None) -> None:
    if since is not None and until is not None and until < since:
        raise click.UsageError(f"--until {until} is before --since {since}.")


UNFINISHED = "unfinished: no run.end; the run was cut short, or still goes on"


def state_of(reader: Reader) -> dict[str, Any]:
    """Whether the log is whole, as JSON values: how every document of a log ends."""
    import attrs

    damage = attrs.asdict(reader.damage) if reader.damage else None
    return {"unfinished": reader.end is None, "damage": damage}


class Refused(click.ClickException):
    """A question that cannot be answered: 2, like bad usage, without a word about options."""

    exit_code = 2
