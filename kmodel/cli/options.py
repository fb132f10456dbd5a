"""Options that several commands take, and words that several of them print."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from typing import Any

import click

from kmodel.cli.amount import Amount
from kmodel.verdict import EXIT, Finding, Verdict

Command = Callable[..., Any]


def of_a_case(command: Command, required: bool = True) -> Command:
    """SCENARIO and what it is built with."""
    for option in (
        click.option("--situation", metavar="S", help="The world to put it in (kmodel list)."),
        click.option("--fix", metavar="F", help="The way out (kmodel list).  [default: wait]"),
        click.option(
            "--set", "sets", multiple=True, metavar="K=V", help="A parameter; may be repeated."
        ),
        click.argument("scenario", required=required),
    ):
        command = option(command)
    return command


def limits(command: Command) -> Command:
    """When a search gives up."""
    return max_seconds("Seconds, a third of them for judging.")(sizes(command))


def max_seconds(text: str) -> Callable[[Command], Command]:
    """How long it may take."""
    amount = Amount(0.01, 1e9)
    return click.option("--max-seconds", default=60.0, show_default=True, type=amount, help=text)


def sizes(command: Command) -> Command:
    """How large a search may become."""
    for option in (
        click.option(
            "--max-states",
            default=2_000_000,
            show_default=True,
            type=click.IntRange(1),
            help="States to keep.",
        ),
        click.option(
            "--max-memory",
            default=4096,
            show_default=True,
            type=click.IntRange(64),
            help="MiB to use.",
        ),
    ):
        command = option(command)
    return command


jobs_option = click.option(
    "--jobs",
    default=os.cpu_count() or 1,
    type=click.IntRange(1),
    metavar="N",
    help="Processes (all cores).",
)
as_json = click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")


def print_json(document: Any) -> None:
    json.dump(document, sys.stdout, indent=2, ensure_ascii=False)
    sys.stdout.write("\n")


def finish(verdict: Verdict, interrupted: bool = False) -> None:
    """Exit as the verdict says."""
    special = {"scenario-error": 2, "nondeterminism": 3}
    sys.exit(130 if interrupted else special.get(verdict.kind or "", EXIT[verdict.verdict]))


def styled(text: str, **style: Any) -> str:
    """``text`` in colour, unless NO_COLOR is set (click leaves colour out off a terminal)."""
    return text if os.environ.get("NO_COLOR") else click.style(text, **style)


def title(verdict: Verdict) -> str:
    """``contended_kernel_map, fix wait in contention``. Another story than the situation's own
    has its parameters, and nothing else of it."""
    fix = f", fix {verdict.fix}" if verdict.fix else ""
    if not verdict.situation:
        return f"{verdict.scenario}{fix}"
    from kmodel import situations

    place, own = verdict.situation, situations.load(verdict.situation).scenario
    if own == verdict.scenario:
        return f"{own}{fix} in {place}"
    return f"{verdict.scenario}{fix}, with the parameters of {place} (whose story is {own})"


def headline(verdict: Verdict) -> str:
    """``violated: lost-wakeup`` and the like, coloured on a terminal."""
    colour = {"holds": "green", "violated": "red", "inconclusive": "yellow"}[verdict.verdict]
    text = verdict.verdict + (f": {verdict.kind}" if verdict.kind else "")
    return styled(text, fg=colour, bold=True)


def evidence_line(verdict: Verdict) -> str:
    """How far the search came, in one line."""
    evidence = verdict.evidence
    reach = "complete" if evidence.complete else f"bound: {evidence.bound}"
    parts = [reach]
    if evidence.states:
        parts.append(f"{evidence.states:,} states, {evidence.steps:,} steps")
    if evidence.executions:
        parts.append(f"{evidence.executions} runs")
    return f"{'; '.join(parts)}; {evidence.seconds:.1f} s"


def most(value: int | None) -> str:
    """The largest count of any run."""
    return "unbounded" if value is None else str(value)


def finding_lines(finding: Finding) -> list[str]:
    """A broken check, and the command that shows it."""
    lines = [f"{finding.kind} ({finding.property}): {finding.message}"]
    if finding.replay:
        lines.append(f"  kmodel replay {finding.replay}")
    return lines
