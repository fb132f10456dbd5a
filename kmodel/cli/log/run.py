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


def of_a_run(command: Callable[..., Any]) -> Callable[..., Any]:
    """RUN, and where runs are."""
    for option in (
        click.option(
            "--logs",
            type=click.Path(path_type=Path),
            default="logs",
            show_default=True,
            help="Where runs are.",
        ),
        click.argument("run"),
    ):
        command = option(command)
    return command


@contextmanager
def opened(run: str, logs: Path, wait: Wait | None = None) -> Iterator[Reader]:
    """The log of ``run``. Afterwards, what is wrong with it is said, and ends the command."""
    from kmodel.log.reader import Reader
    from kmodel.log.runs import NoSuchRun, find

    try:
        path = find(run, logs)
    except NoSuchRun as error:
        raise click.UsageError(str(error)) from error
    with Reader.open(path, wait) as reader:
        yield reader
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


UNFINISHED = "unfinished: no run.end; the run was cut short, or still goes on"


def damage_of(reader: Reader) -> dict[str, Any] | None:
    """The damage as a JSON value."""
    import attrs

    return attrs.asdict(reader.damage) if reader.damage else None


class Refused(click.ClickException):
    """A question that cannot be answered: 2, like bad usage, without a word about options."""

    exit_code = 2
