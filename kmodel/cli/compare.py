"""``kmodel compare``: the decision matrix."""

from __future__ import annotations

import shutil
import sys
from contextlib import nullcontext
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


@click.command()
@click.argument("fix", nargs=-1)
@click.option("--fix", "also", multiple=True, metavar="F", help="The same as FIX (repeatable).")
@click.option(
    "--situation", "where", multiple=True, metavar="S", help="Only this one (repeatable)."
)
@click.option("--all", "all_of_them", is_flag=True, help="Every fix in every situation.")
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
    """Judge every FIX in every situation; without arguments, the thread's question.

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
    from kmodel.budget import Budget, default_jobs
    from kmodel.cell import cells
    from kmodel.compare import left_out, units
    from kmodel.explore.graph import Limits
    from kmodel.log.whole import written
    from kmodel.page import page
    from kmodel.settings import parse_sets

    chosen, places = _asked((*fix, *also), where, all_of_them)
    given = parse_sets(sets)
    sizes = {"cpus": cpus, "faults": faults}  # checked with the others, so that all is told at once
    given |= {key: value for key, value in sizes.items() if value is not None}
    jobs = jobs or default_jobs()
    work = units(chosen, places, given)
    memory = (max_memory << 20) // max(min(jobs, len(work)), 1)
    budget = Budget(work, Limits(states=max_states, seconds=max_seconds, memory=memory))
    cannot = left_out(chosen, places)
    with written(html) if html else nullcontext() as file:  # refused now, not after the work
        interrupted = _work(budget, jobs)
        known = [one for one in budget.known if one is not None]
        found = cells(budget.results(), work)
        if interrupted:  # what was not begun of a cell is no reason to say that it holds
            begun = {(one.unit.fix, one.unit.situation) for one in known}
            found = [cell for cell in found if (cell.fix, cell.situation) in begun]
        if file is not None:
            file.write(page(found, cannot).encode())
    if as_json:
        print_json(document(found, cannot, interrupted))
    else:
        _show(found, cannot, all_of_them, full)
        if html:
            click.echo(f"page: {html}")
    if interrupted:
        ended = sum(one.complete for one in known)
        told = f"interrupted: {len(known)} of {len(work)} variants judged"
        click.echo(f"{told}, {ended} of them to the end", err=True)
    nothing = not work and not interrupted  # every cell asked for cannot be
    sys.exit(130 if interrupted else 0 if nothing else status(found, check))


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
    for word, names, what in ((chosen, all_fixes, "fix"), (places, all_situations, "situation")):
        for name in word:
            if name not in names:
                raise UsageError(f"No {what} {name!r}.{did_you_mean(name, names)}")
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

    told: dict[str, Any] = {"schema": SCHEMA, "cells": [cell.document() for cell in found]}
    told |= {"summaries": summaries(found)} if found else {}
    told |= {"left_out": cannot} if cannot else {}
    return told | ({"interrupted": True} if interrupted else {})


def status(found: list[Cell], check: bool) -> int:
    """0 once every cell is decided, 4 if one is not; with ``check`` 1 on a violation."""
    verdicts = [cell.worst.verdict.verdict for cell in found]
    if check and "violated" in verdicts:
        return 1
    return 4 if "inconclusive" in verdicts or not verdicts else 0
