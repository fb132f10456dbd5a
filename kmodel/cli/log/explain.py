"""``kmodel log explain``: a run in sentences."""

from __future__ import annotations

import json
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kmodel.cli.log.run import UNFINISHED, caption, of_a_run, opened, state_of
from kmodel.cli.options import as_json

if TYPE_CHECKING:
    from kmodel.explain.chronicle import Chronicle
    from kmodel.log.reader import Reader

SCHEMA = "kmodel.log-explain/1"

PAGE = 40
"""Lines, and no more."""
ENDING = 18
"""Lines of them that the end of the run may take."""
WIDTH = 100


@click.command()
@of_a_run
@as_json
def explain(run: str, logs: Path, as_json: bool) -> None:
    """Tell RUN in sentences: who held what, who waited for whom, what failed and why.

    Never more than 40 lines: what happens again is told once, and what matters least is
    left out, and counted. A run that broke something ends with how: the cycle of a deadlock,
    the wakeup that was missed, the loop that goes round; for that the scenario named in
    the log is run again. If that cannot be (the model has changed since), the records alone
    have to do, and it says so. Of a log that is damaged or has no end, only what was so where
    the records stop is told: what came of it nobody knows.

    \b
    Examples:
      kmodel log explain contended_kernel_map-wait-seed7-1
      kmodel replay k2-... --logs logs && kmodel log explain contended_kernel_map-wait-replay-1
    """
    from kmodel.explain.chronicle import chronicle
    from kmodel.explore.purity import pure

    with opened(run, logs) as reader:
        told = chronicle(reader)
        if not reader.header:
            return
        with pure():
            ends = _ends(told, reader)
        if as_json:
            document = {
                "schema": SCHEMA,
                "run": str(reader.path),
                "outcome": _outcome(told, reader),
                "happened": [str(sentence) for sentence in told.happened()],
                "left_out": told.lost,
                "ends": ends if reader.finished else [],
                "last_known": [] if reader.finished else ends,
            } | state_of(reader)
            json.dump(document, sys.stdout, indent=2)
            sys.stdout.write("\n")
        else:
            click.echo("\n".join(page(told, reader, ends)))


def _outcome(told: Chronicle, reader: Reader) -> str:
    if not reader.finished:
        cut = f"damaged: {reader.damage.harm}" if reader.damage else UNFINISHED
        return f"{cut}; the first {told.steps:,} steps are known"
    assert told.end is not None
    fields = told.end.fields
    said = f": {fields['message']}" if fields.get("message") else ""
    return f"{fields.get('outcome')} after {told.steps:,} steps{said}"


def _ends(told: Chronicle, reader: Reader) -> list[str]:
    """How it ends; of a log that is cut short, where everybody was."""
    from kmodel.explain.logged import ending
    from kmodel.explore.schedule import TokenError
    from kmodel.explore.tree import Divergence

    found: list[str] = []
    if told.end is None or not reader.finished:
        return told.so_far()
    if told.end.fields.get("outcome") == "done":
        return []
    try:
        found = ending(reader.path, reader.header, told.end)
    except (TokenError, Divergence) as error:
        why = str(error).rstrip(".")
        found = [f"(From the records alone: the run cannot be made again: {why}.)"]
        if told.end.fields.get("outcome") == "leak":
            pool = str(told.end.fields.get("message", "")).partition(":")[0]
            found += told.dropped(pool)
    return found if len(found) > 1 else [*found, *told.ends()]


def page(told: Chronicle, reader: Reader, ends: list[str]) -> list[str]:
    """At most ``PAGE`` lines of ``WIDTH``."""
    head = [*_wrapped(caption(reader), ""), *_wrapped(_outcome(told, reader), "")][:6]
    last: list[str] = []
    for number, sentence in enumerate(ends):
        lines = _wrapped(sentence)
        if len(last) + len(lines) >= ENDING:
            last.append(f"  ... and {len(ends) - number} sentences more (--json has all)")
            break
        last += lines
    if last and reader.finished:
        last = ["", "How it ends", *last]
    elif last:
        title = f"Last known, at step {told.steps - 1}; what came after that is not in the log"
        last = ["", title, *last]
    return head + _happened(told, PAGE - len(head) - len(last)) + last


def _happened(told: Chronicle, room: int) -> list[str]:
    """The sentences that there is ``room`` for, without those that matter least."""
    sentences = told.happened()
    if not sentences:
        return []
    wrapped = [(one.weight, _wrapped(str(one))) for one in sentences]
    need = sum(len(lines) for _, lines in wrapped) + 2
    left_out = told.lost
    # of those that matter alike, the last go first: a run is understood from its beginning
    for index in sorted(range(len(wrapped)), key=lambda at: (wrapped[at][0], -at)):
        if need + bool(left_out) <= room:
            break
        need -= len(wrapped[index][1])
        wrapped[index] = (0, [])
        left_out += 1
    lines = ["", "What happened", *(line for _, lines in wrapped for line in lines)]
    if left_out:
        lines.append(f"  ... {left_out:,} sentences that matter less are left out")
    return lines


def _wrapped(text: str, indent: str = "  ") -> list[str]:
    from kmodel.log.show import printable

    lines = textwrap.wrap(
        printable(text),
        WIDTH,
        initial_indent=indent,
        subsequent_indent=indent + "  " * bool(indent),
    )
    return lines[:8]
