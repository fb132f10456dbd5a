"""``kmodel log timeline``: a run as bars and arrows, in the terminal or as a picture."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kmodel.cli.log.run import UNFINISHED, caption, of_a_run, opened, refuse_backwards

if TYPE_CHECKING:
    from kmodel.log.reader import Reader
    from kmodel.log.timeline import Timeline

WIDTH = 100
"""Columns where there is no terminal to ask."""

MOST = 2000
"""Steps of a picture: with more, no browser shows it well."""

FILE = click.Path(path_type=Path, dir_okay=False)


@click.command()
@of_a_run
@click.option("--since", type=click.IntRange(0), default=0, metavar="STEP", help="From this step.")
@click.option(
    "--until",
    type=click.IntRange(0),
    metavar="STEP",
    help="To this step  [default: 200 of them].",
)
@click.option("--svg", type=FILE, metavar="FILE", help="Write a picture instead; - to stdout.")
@click.option(
    "--html",
    type=FILE,
    metavar="FILE",
    help="Write a page: the picture, and the state of locks, pools and page tables by step.",
)
@click.option("--width", type=click.IntRange(20), help="Columns  [default: terminal's, or 100].")
def timeline(
    run: str,
    logs: Path,
    since: int,
    until: int | None,
    svg: Path | None,
    html: Path | None,
    width: int | None,
) -> None:
    """Draw RUN: who stepped when, who held what, who waited, who let whom go.

    A row a step and a column a CPU; in a picture a lane a CPU, with time to the right. The
    pictures are single files that need no network, and light or dark as the system is.
    Only 200 steps are drawn if nothing else is said; the last line says what was left out.

    \b
    Examples:
      kmodel log timeline contended_kernel_map-wait-seed7-1
      kmodel log timeline contended_kernel_map-wait-seed7-1 --since 40 --until 99
      kmodel log timeline contended_kernel_map-wait-seed7-1 --html run.html
      kmodel log timeline logs/example-contended_kernel_map-populate --svg run.svg
    """
    from kmodel.log.loop import loop_of
    from kmodel.log.timeline import timeline as made

    refuse_backwards(since, until)
    if svg == html == Path("-"):
        raise click.UsageError("Only one of --svg and --html can go to standard output.")
    if (svg or html) and until is not None and until - since >= MOST:
        raise click.UsageError(f"A picture has at most {MOST} steps: choose them with --since.")
    with opened(run, logs) as reader:
        loop = loop_of(reader.header)
        found = made(reader, reader.tasks, reader.pools, since, until, loop)
        if not reader.header:
            return
        if svg or html:
            _write(found, caption(reader), svg, html, reader)
        else:
            _print(found, reader, width)
        click.echo(_left_out(found, reader), err=Path("-") in (svg, html))


def _write(
    found: Timeline, title: str, svg: Path | None, html: Path | None, reader: Reader
) -> None:
    from kmodel.log.picture import Picture
    from kmodel.log.webpage import webpage
    from kmodel.log.whole import STDOUT, written

    if svg:
        with written(svg) as file:
            file.write(Picture(found, title).svg().encode())
        click.echo(f"picture: {svg}", err=svg == STDOUT)
    if html:
        with written(html) as file:
            file.write(webpage(found, title, _left_out(found, reader)).encode())
        click.echo(f"page: {html}", err=html == STDOUT)


def _print(found: Timeline, reader: Reader, width: int | None) -> None:
    from rich.console import Console
    from rich.text import Text

    from kmodel.log.grid import PLAIN, lines

    terminal = Console(highlight=False, soft_wrap=True)
    room = width or (shutil.get_terminal_size().columns if terminal.is_terminal else WIDTH)
    encoding = sys.stdout.encoding or "ascii"
    click.echo(caption(reader))
    for line in lines(found, room):
        text = line.text if _can(encoding) else line.text.translate(PLAIN)
        if terminal.is_terminal:
            terminal.print(Text(text, line.style))
        else:
            click.echo(text)


def _can(encoding: str) -> bool:
    try:
        "●░│◀".encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def _left_out(found: Timeline, reader: Reader) -> str:
    """How the run ended, and which steps are shown if that is not all."""
    end = reader.end
    ended = f"{end.fields.get('outcome')} after {found.steps:,} steps" if end else UNFINISHED
    if reader.damage:
        ended = f"damaged after {found.steps:,} steps"
    if found.whole:
        return f"{ended}."
    if found.last() < found.first:
        return f"{ended}: there is no step {found.first}."
    return (
        f"{ended}. Shown are steps {found.first}-{found.last()}; --since and --until show others."
    )
