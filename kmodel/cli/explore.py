"""``kmodel explore``: every schedule of one scenario."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import click

from kmodel.cli.options import (
    as_json,
    evidence_line,
    finding_lines,
    finish,
    headline,
    limits,
    most,
    of_a_case,
    print_json,
    title,
)
from kmodel.verdict import Finding, Verdict

if TYPE_CHECKING:
    from kmodel.case import Case
    from kmodel.explore.bounded import Kind, Level
    from kmodel.explore.graph import Limits
    from kmodel.judge import Judge

WHY: Final = {
    "dfs": "complete over exact states, and liveness needs the whole graph",
    "bfs": "complete over exact states, the nearest first",
    "bounded": "schedules with few preemptions first; safety only, unless they come everywhere",
    "delay": "schedules close to round robin first; safety only, unless they come everywhere",
    "symmetric": "one state of all that differ in which of like tasks is which; safety only",
}
"""What each search is for."""


@click.command()
@of_a_case
@click.option(
    "--search",
    type=click.Choice(list(WHY)),
    default="dfs",
    show_default=True,
    help="Complete (depth or breadth first), bounded, or up to symmetry.",
)
@click.option(
    "--bound",
    type=click.IntRange(0),
    metavar="N",
    help="With bounded: the most preemptions; with delay: the most delays.  [default: 2]",
)
@click.option(
    "--check-live",
    is_flag=True,
    help="Instead look for a Loop.head or procedure that forgets what still matters.",
)
@click.option(
    "--smaller/--no-smaller",
    default=True,
    help="Show what breaks with the smallest sizes.",
)
@limits
@as_json
def explore(
    scenario: str,
    sets: tuple[str, ...],
    fix: str | None,
    situation: str | None,
    search: str,
    bound: int | None,
    check_live: bool,
    smaller: bool,
    max_seconds: float,
    max_states: int,
    max_memory: int,
    as_json: bool,
) -> None:
    """Search every schedule of SCENARIO (a name, or a file's path) for a verdict.

    Either "holds", with how much was covered and what was assumed, or how it breaks and
    the command that replays it: with the fewest preemptions, then the fewest steps (a
    check or panic: the fewest CPUs first). A hang shows a loop.

    --search bounded tries all schedules with up to --bound preemptions (leaving a task that
    could go on), delay those so far from round robin; symmetric one state of all that differ
    in which of like tasks is which. Safety only, unless a bound comes everywhere.

    \b
    Examples:
      kmodel explore contended_kernel_map --fix populate
      kmodel explore contended_kernel_map --set cpus=1 --set rwlock=wake-one-writer
      kmodel explore contended_kernel_map --search bounded --bound 3
      kmodel explore ./my_story.py --max-seconds 10 --json
    """
    from kmodel.case import Case
    from kmodel.check import check_live as check_forgetting
    from kmodel.check import explore as search_all
    from kmodel.check import explore_orbits, explore_within
    from kmodel.cli.progress import searching
    from kmodel.explore.graph import Limits, Order
    from kmodel.explore.purity import pure
    from kmodel.explore.tree import Divergence
    from kmodel.recorder import SharedStateError
    from kmodel.settings import parse_sets
    from kmodel.shown import undecided
    from kmodel.smaller import smaller as find_smaller
    from kmodel.world import ScenarioError

    if check_live and search in ("bounded", "delay", "symmetric"):
        raise click.UsageError("--check-live has a search of its own")
    if bound is not None and search not in ("bounded", "delay"):
        raise click.UsageError("--bound is for --search bounded and --search delay")

    def searched(case: Case, bounds: Limits, told: Callable[[Level], None] | None) -> Judge:
        if search in ("bounded", "delay"):
            kind: Kind = "delay" if search == "delay" else "bounded"
            return explore_within(case, bounds, kind, 2 if bound is None else bound, tick, told)
        if search == "symmetric":
            return explore_orbits(case, bounds, tick)
        order: Order = "bfs" if search == "bfs" else "dfs"
        return search_all(case, bounds, order, tick)

    worst = None
    bounds = Limits(states=max_states, seconds=max_seconds, memory=max_memory << 20)
    with pure():
        case = Case.of(scenario, parse_sets(sets), fix, situation)
        try:
            with searching(case.called, bounds) as tick:
                if check_live:
                    verdict = check_forgetting(case, bounds, tick)
                else:
                    told = None if as_json else level_line
                    judge = searched(case, bounds, told)
                    verdict, worst = judge.verdict(), judge.worst
                    if smaller and worst and not verdict.evidence.bound.endswith("interrupted"):
                        less = find_smaller(judge, lambda c, b: searched(c, b, None), bounds)
                        if less:
                            verdict, worst = less.show(verdict, worst)
        except Divergence as error:
            verdict = undecided(case, search, "nondeterminism", str(error))
        except (ScenarioError, SharedStateError) as error:
            verdict = undecided(case, search, "scenario-error", str(error))
    if as_json:
        print_json(verdict.document())
    else:
        click.echo("\n".join(report(verdict, worst)))
    if check_live and verdict.evidence.complete:
        return  # nothing found is all that it can say
    finish(verdict, "interrupted" in verdict.evidence.bound)


def level_line(level: Level) -> None:
    """A bound was covered."""
    if sys.stderr.isatty():
        click.echo("\r\x1b[K", nl=False, err=True)  # the line of progress
    click.echo(f"  {level}")


def found_with(finding: Finding) -> str:
    """``found with 1 preemption, 12 steps``."""
    switches = f"{finding.preemptions} preemption{'' if finding.preemptions == 1 else 's'}"
    loop = f", then a loop of {finding.loop}" if finding.loop else ""
    return f"found with {switches}, {finding.stem} step{'' if finding.stem == 1 else 's'}{loop}"


def report(verdict: Verdict, worst: Finding | None = None) -> list[str]:
    """The verdict for people."""
    lines = [
        f"{title(verdict)}: {headline(verdict)}",
        f"  {verdict.message}",
    ]
    if verdict.survives:
        lines.append(f"  survives {verdict.survives}")
    if worst is not None and worst.preemptions is not None:
        whole = verdict.evidence.complete or verdict.evidence.bound == "safety only"
        cut = "" if whole else "; the search was cut, so there may be less"
        lines.append(f"  {found_with(worst)}{cut}")
    lines += smallest(verdict.smallest)
    if verdict.replay:
        lines += ["", f"  kmodel replay {verdict.replay}"]
    lines += as_asked(verdict)
    lines += [*covered(verdict), *others(verdict)]
    return lines


def smallest(said: dict[str, Any] | None) -> list[str]:
    """Which sizes the run that is shown has, if they are not those asked for."""
    if said is None:
        return []
    if said["as_asked"]:
        less = "smallest" if said["proven"] else "smaller"
        return [f"  {less} with {_values(said['params'])}"]
    return ["  no smaller sizes show it"] if said["proven"] else []


def as_asked(verdict: Verdict) -> list[str]:
    """The run with the sizes asked for, where a smaller one is shown."""
    said = verdict.smallest
    if said is None or not said["as_asked"]:
        return []
    asked = {name: verdict.params[name] for name in said["params"]}
    return [f"  with {_values(asked)}: kmodel replay {said['as_asked']['replay']}"]


def _values(params: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in params.items())


def covered(verdict: Verdict) -> list[str]:
    """How far the search came, what it counted and what was assumed."""
    evidence = [f"  evidence: {evidence_line(verdict)}"]
    if verdict.strategy in WHY:
        evidence.append(f"  search: {verdict.strategy}: {WHY[verdict.strategy]}")
    counts: dict[str, Any] = verdict.counts
    if not counts:
        return evidence if verdict.evidence.states else []
    failures = ", ".join(f"{k}: {most(v)}" for k, v in counts["pool_failures"].items())
    reach = "most on any run" if verdict.evidence.complete else "on some run at least"
    numbers = [
        "",
        f"  {reach}: {most(counts['refaults'])} refaults of one fault, "
        f"pool failures {failures or 'none'}, {most(counts['daemon_laps'])} daemon laps, "
        f"{most(counts['kills'])} kills",
    ]
    quiet = not failures and not any(counts[k] != 0 for k in ("refaults", "daemon_laps", "kills"))
    return [
        *([""] if quiet else numbers),
        *evidence,
        f"  assumed: {'; '.join(verdict.evidence.assumptions)}",
    ]


def others(verdict: Verdict) -> list[str]:
    """The findings that did not decide the verdict."""
    lines: list[str] = []
    for heading, findings in (
        ("also found", verdict.findings),
        ("excluded by lock-grant alone", verdict.excluded),
    ):
        for finding in findings:
            first, *rest = finding_lines(finding)
            lines += ["", f"  {heading}: {first}"]
            if finding.preemptions is not None:
                lines.append(f"    {found_with(finding)}")
            lines += [f"  {line}" for line in rest]
    return lines
