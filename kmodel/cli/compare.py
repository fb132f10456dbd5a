"""``kmodel compare``: the decision matrix."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kmodel.cli import options
from kmodel.cli.options import as_json, print_json

if TYPE_CHECKING:
    from kmodel.budget import Budget
    from kmodel.cell import Cell

WIDTH = 80
"""Columns where there is no terminal to ask."""
NOTHING_YET = "interrupted: nothing is known yet"


@click.command()
@click.argument("fix", nargs=-1)
@click.option("--fix", "also", multiple=True, metavar="F", help="The same as FIX (repeatable).")
@click.option(
    "--situation",
    "where",
    multiple=True,
    metavar="S",
    help="This one (repeatable) [default: contention].",
)
@click.option("--all", "all_of_them", is_flag=True, help="Every fix and situation, or those named.")
@click.option("--cpus", type=int, metavar="N", help="The same as --set cpus=N.")
@click.option("--faults", type=int, metavar="N", help="The same as --set faults=N.")
@click.option("--set", "sets", multiple=True, metavar="K=V", help="A parameter; may be repeated.")
@click.option("--full", is_flag=True, help="With --all: every table and every replay too.")
@click.option(
    "--html",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write a page too: the table, and the story behind each cell.",
)
@click.option("--jobs", type=click.IntRange(1), help="Processes to use (all cores).")
@click.option("--check", is_flag=True, help="End with status 1 if anything is violated.")
@options.max_seconds("Seconds for all of it; the size of each search comes first.")
@options.sizes
@as_json
def compare(
    fix: tuple[str, ...],
    also: tuple[str, ...],
    where: tuple[str, ...],
    all_of_them: bool,
    cpus: int | None,
    faults: int | None,
    sets: tuple[str, ...],
    full: bool,
    html: Path | None,
    jobs: int | None,
    check: bool,
    max_seconds: float,
    max_states: int,
    max_memory: int,
    as_json: bool,
) -> None:
    """Judge each FIX in each --situation; by default the thread's, in contention.

    A cell's headline is its worst variant. All variants are searched with few states first, and
    those that were not through with more and more, up to --max-states, or until the
    seconds are over. A variant whose search ended is judged the same on any machine.

    \b
    Examples:
      kmodel compare
      kmodel compare populate --faults 2 --max-seconds 300
      kmodel compare --all --html matrix.html
      kmodel compare direct --situation fragmented --json
    """
    sizes = {"cpus": cpus, "faults": faults}  # checked with the others, so that all is told at once
    try:
        from kmodel.budget import Budget, default_jobs
        from kmodel.compare import left_out, units
        from kmodel.explore.graph import Limits
        from kmodel.log.whole import STDOUT
        from kmodel.settings import UsageError, parse_sets

        _refuse(html, as_json)
        chosen, places = _asked((*fix, *also), where, all_of_them)
        given = {key: value for key, value in sizes.items() if value is not None}
        others = parse_sets(sets)
        if twice := [key for key in given if others.get(key, given[key]) != given[key]]:
            said = (f"--{key} {given[key]} and --set {key}={others[key]}" for key in twice)
            raise UsageError(f"{'; '.join(said)}: leave one of them out.")
        work = units(chosen, places, others | given)
        jobs = max(min(jobs or default_jobs(), len(work)), 1)
        memory = (max_memory << 20) // jobs
        budget = Budget(work, Limits(states=max_states, seconds=max_seconds, memory=memory))
        cannot = left_out(chosen, places)
    except KeyboardInterrupt:
        click.echo(NOTHING_YET, err=True)
        sys.exit(130)
    interrupted = _work(budget, jobs)
    found = _found(budget, interrupted)
    if as_json:
        print_json(document(found, cannot, interrupted))
    elif html != STDOUT:
        _show(found, cannot, all_of_them, full)
    if interrupted:
        click.echo(_how_far(budget), err=True)
    if html and (found or not interrupted):  # last: what was found is told, whatever happens now
        interrupted |= _draw(html, found, cannot, as_json)
    nothing = not work and not interrupted  # every cell asked for cannot be
    sys.exit(130 if interrupted else 0 if nothing else status(found, check))


def _refuse(html: Path | None, as_json: bool) -> None:
    """A page that cannot be written, now and not after the work."""
    from kmodel.log.whole import STDOUT, probe
    from kmodel.settings import UsageError

    if html == STDOUT and as_json:
        raise UsageError("--html - and --json both want standard output: name a file for the page.")
    if html:
        probe(html)


def _found(budget: Budget, interrupted: bool) -> list[Cell]:
    """The cells. What was not begun of one is no reason to say that it holds: when the rest is
    not waited for, a cell without any result is left out."""
    from kmodel.cell import cells

    found = cells(budget.results(), budget.work)
    known = [one.unit for one in budget.known if one is not None]
    begun = {(unit.fix, unit.situation) for unit in known}
    return [c for c in found if (c.fix, c.situation) in begun] if interrupted else found


def _how_far(budget: Budget) -> str:
    known = [one for one in budget.known if one is not None]
    if not known:
        return NOTHING_YET
    told = f"interrupted: {len(known)} of {len(budget.work)} variants judged"
    return f"{told}, {sum(one.complete for one in known)} of them to the end"


def _draw(html: Path, found: list[Cell], cannot: list[dict[str, str]], as_json: bool) -> bool:
    """Write the page, whole or not at all; was it interrupted?"""
    from kmodel.cli.progress import told_if_long
    from kmodel.log.whole import STDOUT, written
    from kmodel.page import page

    try:
        with told_if_long(f"writing {html}"), written(html) as file:
            file.write(page(found, cannot).encode())
    except KeyboardInterrupt:
        click.echo(f"interrupted: {html} was not written", err=True)
        return True
    if not as_json and html != STDOUT:
        click.echo(f"page: {html}")
    return False


def _asked(
    fixes: tuple[str, ...], where: tuple[str, ...], all_of_them: bool
) -> tuple[list[str], list[str]]:
    """The fixes and situations by name. ``UsageError`` if there is no such."""
    from kmodel.compare import everything
    from kmodel.fixes import THREAD as FIXES
    from kmodel.settings import UsageError, did_you_mean
    from kmodel.situations import THREAD as SITUATIONS

    all_fixes, all_situations = everything()
    chosen = list(dict.fromkeys(fixes)) or (all_fixes if all_of_them else list(FIXES))
    places = list(dict.fromkeys(where)) or (all_situations if all_of_them else list(SITUATIONS))
    asked = ((chosen, all_fixes, "fix"), (places, all_situations, "situation"))
    if wrong := [
        f"No {what} {name!r}.{did_you_mean(name, names)}"
        for word, names, what in asked
        for name in word
        if name not in names
    ]:
        raise UsageError("\n".join(wrong))
    return chosen, places


def _work(budget: Budget, jobs: int) -> bool:
    """Do it, with a bar, and a line for each cell that is over; was it interrupted?"""
    from kmodel.budget import judge_all
    from kmodel.cell import cells
    from kmodel.cli.matrix import finished
    from kmodel.cli.progress import counting

    over: set[int] = set()
    try:
        with counting("judging", len(budget.work)) as tick:
            for number in judge_all(budget, jobs):
                if not budget.over(number):
                    tick(0)
                    continue
                over.add(number)
                unit = budget.work[number]
                cell = [n for n, other in enumerate(budget.work) if other.of(unit)]
                known = [one for n in cell if (one := budget.known[n]) is not None]
                done = cells(known, budget.work) if over.issuperset(cell) else []
                tick(1, map(finished, done))
    except KeyboardInterrupt:
        return True
    return False


def _show(found: list[Cell], cannot: list[dict[str, str]], everything: bool, full: bool) -> None:
    from kmodel.cli.matrix import details, overview, tell_left_out

    terminal = sys.stdout.isatty()
    if everything and found:
        overview(found, cannot, shutil.get_terminal_size().columns if terminal else WIDTH)
        _paragraphs(found)
    if found and (full or not everything):
        details(found)
    tell_left_out(cannot)
    if everything and found and not full:
        click.echo(
            "\nThe run that breaks a cell, and its replay: kmodel compare FIX --situation S\n"
            "All of them: --full, or --html FILE for a page that shows each."
        )


def _paragraphs(found: list[Cell]) -> None:
    import textwrap

    for text in summaries(found).values():
        for number, line in enumerate(text.splitlines()):
            indent = "  " if number else ""
            told = textwrap.fill(
                line,
                78,
                break_on_hyphens=False,
                initial_indent=indent,
                subsequent_indent=indent + "  ",
            )
            click.echo(told)
        click.echo()


def summaries(found: list[Cell]) -> dict[str, str]:
    """What is said of each fix, in a few lines."""
    from kmodel.paragraph import paragraph

    fixes = dict.fromkeys(cell.fix for cell in found)
    return {fix: "\n".join(paragraph([cell for cell in found if cell.fix == fix])) for fix in fixes}


def document(found: list[Cell], cannot: list[dict[str, str]], interrupted: bool) -> dict[str, Any]:
    """``kmodel.matrix/1``."""
    from kmodel.compare import SCHEMA

    told: dict[str, Any] = {
        "schema": SCHEMA,
        "complete": bool(found) and not interrupted and all(cell.complete for cell in found),
        "cells": [cell.document() for cell in found],
    }
    told |= {"summaries": summaries(found)} if found else {}
    told |= {"left_out": cannot} if cannot else {}
    return told | ({"interrupted": True} if interrupted else {})


def status(found: list[Cell], check: bool) -> int:
    """0 once every cell is decided, 4 if one is not; with ``check`` 1 on a violation."""
    verdicts = [cell.worst.verdict.verdict for cell in found]
    if check and "violated" in verdicts:
        return 1
    return 4 if "inconclusive" in verdicts or not verdicts else 0
