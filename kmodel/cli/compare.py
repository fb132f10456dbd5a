"""``kmodel compare``: the decision matrix."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from kmodel.cli.options import (
    as_json,
    finding_lines,
    limits,
    most,
    print_json,
)
from kmodel.verdict import Verdict

if TYPE_CHECKING:
    from kmodel.compare import Cell, Judged


@click.command()
@click.argument("fix", nargs=-1)
@click.option(
    "--situation", "where", multiple=True, metavar="S", help="Only this one (repeatable)."
)
@click.option("--all", "all_of_them", is_flag=True, help="Every fix in every situation.")
@click.option("--set", "sets", multiple=True, metavar="K=V", help="A parameter; may be repeated.")
@click.option("--jobs", type=click.IntRange(1), help="Processes to use (all cores).")
@click.option("--check", is_flag=True, help="End with status 1 if anything is violated.")
@limits
@as_json
def compare(
    fix: tuple[str, ...],
    where: tuple[str, ...],
    all_of_them: bool,
    sets: tuple[str, ...],
    jobs: int | None,
    check: bool,
    max_seconds: float,
    max_states: int,
    max_memory: int,
    as_json: bool,
) -> None:
    """Judge every FIX in every situation; without arguments, the thread's question.

    A cell's headline is its worst variant; a line for each variant follows. Limits are
    for each variant of a cell.

    \b
    Examples:
      kmodel compare
      kmodel compare populate --set faults=2 --max-seconds 300
      kmodel compare --all --json
    """
    from kmodel.cli.progress import counting
    from kmodel.compare import (
        SCHEMA,
        cells,
        default_jobs,
        everything,
        judge_all,
        left_out,
        units,
    )
    from kmodel.explore.graph import Limits
    from kmodel.fixes import THREAD as FIXES
    from kmodel.settings import UsageError, did_you_mean, parse_sets
    from kmodel.situations import THREAD as SITUATIONS

    all_fixes, all_situations = everything()
    chosen = list(dict.fromkeys(fix)) or (all_fixes if all_of_them else list(FIXES))
    places = list(dict.fromkeys(where)) or (all_situations if all_of_them else list(SITUATIONS))
    for word, names, what in (
        (chosen, all_fixes, "fix"),
        (places, all_situations, "situation"),
    ):
        for name in word:
            if name not in names:
                raise UsageError(f"No {what} {name!r}.{did_you_mean(name, names)}")
    bounds = Limits(states=max_states, seconds=max_seconds, memory=max_memory << 20)
    work = units(chosen, places, parse_sets(sets), bounds)
    cannot = left_out(chosen, places)
    judged: list[Judged] = []
    interrupted = False
    try:
        with counting("judging", len(work)) as tick:
            for one in judge_all(work, jobs or default_jobs()):
                judged.append(one)
                tick()
    except KeyboardInterrupt:
        interrupted = True
    found = cells(judged, work)
    if as_json:
        cells_found = [cell.document() for cell in found]
        document = {"schema": SCHEMA, "cells": cells_found}
        document |= {"left_out": cannot} if cannot else {}
        print_json(document | ({"interrupted": True} if interrupted else {}))
    else:
        show(found)
        _tell_left_out(cannot)
    if interrupted:
        click.echo(f"interrupted: {len(judged)} of {len(work)} variants judged", err=True)
    nothing = not work and not interrupted  # every cell asked for cannot be
    sys.exit(130 if interrupted else 0 if nothing else status(found, check))


def status(found: list[Cell], check: bool) -> int:
    """0 once every cell is decided, 4 if one is not; with ``check`` 1 on a violation."""
    verdicts = [cell.worst.verdict.verdict for cell in found]
    if check and "violated" in verdicts:
        return 1
    return 4 if "inconclusive" in verdicts or not verdicts else 0


def show(found: list[Cell]) -> None:
    """The table, and below it the commands that show what it says."""
    from rich.console import Console

    console = Console(highlight=False, soft_wrap=True)
    notes: list[str] = []
    for situation in dict.fromkeys(cell.situation for cell in found):
        here = [cell for cell in found if cell.situation == situation]
        console.print(_title(situation, here))
        console.print(_verdicts(here, notes))
        console.print("\nmost on any run (mean of random runs*):")
        console.print(_counts(here))
        console.print()
    for number, note in enumerate(notes, 1):
        click.echo(f"[{number}] {note}")
    _afterword(found)


def _tell_left_out(cannot: list[dict[str, str]]) -> None:
    """The cells that cannot be, those with the same reason in one line."""
    told: dict[tuple[str, str], list[str]] = {}
    for cell in cannot:
        told.setdefault((cell["situation"], cell["reason"]), []).append(cell["fix"])
    for (situation, reason), who in told.items():
        click.echo(f"left out of {situation} ({', '.join(who)}): {reason}.")


def _title(situation: str, here: list[Cell]) -> str:
    import attrs

    from kmodel import situations, story

    found = situations.load(situation)
    params = here[0].worst.verdict.params
    own = [f.name for f in attrs.fields(story.load(found.scenario).own) if f.type is int]
    bounds = ", ".join(f"{key}={params[key]}" for key in own if key not in found.variants)
    variants = "; ".join(
        f"{key} {' | '.join(map(str, values))}" for key, values in found.variants.items()
    )
    title = f"\n[bold]{situation}[/bold]: {found.summary}\nbounds: {bounds}"
    return f"{title}\nvariants: {variants}"


def _verdicts(here: list[Cell], notes: list[str]) -> Any:
    """Each property of each fix, and of each variant of it."""
    table = _table("fix, variant", *here[0].worst.properties, "states")
    for cell in here:
        marks = [_mark(cell.on(name), notes) for name in cell.worst.properties]
        table.add_row(f"[bold]{cell.fix}[/bold]", *marks)
        for judged in cell.variants:
            evidence = judged.verdict.evidence
            stop = "" if evidence.complete else f", stopped by {evidence.bound}"
            kinds = map(_kind, judged.properties.values())
            table.add_row(_variant(judged), *kinds, f"{evidence.states:,}{stop}")
    return table


def _counts(here: list[Cell]) -> Any:
    """What is counted: the most on any run, and the mean of random ones."""
    causes = sorted({c for cell in here for v in cell.variants for c in _failures(v)})
    table = _table("fix, variant", "refaults", *causes, "daemon laps", "random runs ended*")
    for cell in here:
        table.add_row(f"[bold]{cell.fix}[/bold]")
        for judged in cell.variants:
            counts, means = judged.verdict.counts, judged.verdict.counts["random"]
            failures = [
                f"{_most(judged, _failures(judged), cause)} "
                f"({means['mean_pool_failures'].get(cause, 0):g})"
                for cause in causes
            ]
            table.add_row(
                _variant(judged),
                f"{_most(judged, counts, 'refaults')} ({means['mean_refaults']:g})",
                *failures,
                f"{_most(judged, counts, 'daemon_laps')} ({means['mean_daemon_laps']:g})",
                f"{means['ended'].get('done', 0)} of {means['runs']}",
            )
    return table


def _table(*heads: str) -> Any:
    from rich import box
    from rich.table import Table

    table = Table(*heads, box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.columns[0].no_wrap = True
    return table


def _variant(judged: Judged) -> str:
    return f"  {', '.join(map(str, judged.unit.variant.values()))}"


def _failures(judged: Judged) -> dict[str, int | None]:
    failures: dict[str, int | None] = judged.verdict.counts.get("pool_failures", {})
    return failures


def _most(judged: Judged, counts: dict[str, Any], name: str) -> str:
    """The most of any run; ``?`` where there was no time left to tell."""
    return most(counts.get(name, 0)) if "pool_failures" in judged.verdict.counts else "?"


def _mark(verdict: Verdict, notes: list[str]) -> str:
    if verdict.replay is None:
        return f"[bold]{_kind(verdict)}[/bold]"
    notes.append(f"{verdict.message}\n    kmodel replay {verdict.replay}")
    return f"[bold]{_kind(verdict)} \\[{len(notes)}][/bold]"


def _kind(verdict: Verdict) -> str:
    colour = {"holds": "green", "violated": "red", "inconclusive": "yellow"}[verdict.verdict]
    return f"[{colour}]{verdict.kind or verdict.verdict}[/{colour}]"


def _afterword(found: list[Cell]) -> None:
    if not found:
        return
    from kmodel.properties import PROPERTIES
    from kmodel.sampling import SAMPLE_STEPS

    first = found[0].worst.verdict
    for name in dict.fromkeys(name for cell in found for name in cell.worst.properties):
        click.echo(f"{name}: {PROPERTIES[name].sentence}.")
    means = first.counts["random"]
    click.echo(
        f"* {means['runs']} random runs, seeds from {means['seed']}, given up after "
        f"{SAMPLE_STEPS} steps and then\n"
        "  counted as they stand: a sample, no bound. Refaults: most of one fault, mean of all.\n"
        "states: each search is complete unless it says what stopped it."
    )
    for title, of in (("ruled out only by lock-grant", "excluded"), ("also found", "findings")):
        told: dict[str, tuple[list[str], Any]] = {}
        for cell in found:
            for finding in getattr(cell.worst.verdict, of):
                if of == "findings" and finding.property in cell.worst.properties:
                    continue  # a note above shows what broke that property
                who, _ = told.setdefault(finding.kind + finding.message, ([], finding))
                who += [cell.fix] if cell.fix not in who else []
        for who, finding in told.values():
            click.echo(f"{title} ({', '.join(who)}): {finding_lines(finding)[0]}")
            if finding.replay:
                click.echo(f"    kmodel replay {finding.replay}")
    click.echo(f"assumed: {'; '.join(a for a in first.evidence.assumptions if 'policy' not in a)}")
