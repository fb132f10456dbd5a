"""``kmodel explore``: every schedule of one scenario."""

from __future__ import annotations

from typing import Any

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
)
from kmodel.verdict import Verdict


@click.command()
@of_a_case
@click.option(
    "--search",
    type=click.Choice(["dfs", "bfs"]),
    default="dfs",
    show_default=True,
    help="Order of the complete search over exact states: depth or breadth first.",
)
@click.option(
    "--check-live",
    is_flag=True,
    help="Instead look for a Loop.head or procedure that forgets what still matters.",
)
@limits
@as_json
def explore(
    scenario: str,
    sets: tuple[str, ...],
    fix: str,
    situation: str | None,
    search: str,
    check_live: bool,
    max_seconds: float,
    max_states: int,
    max_memory: int,
    as_json: bool,
) -> None:
    """Search every schedule of SCENARIO (a name, or the path of a file) for a verdict.

    Either "holds", with how much was covered and what was assumed, or the way in which
    it breaks and the command that replays it. Counterexamples are the shortest of
    their kind; a hang shows a loop that a fair scheduler allows.

    \b
    Examples:
      kmodel explore contended_kernel_map --fix populate
      kmodel explore contended_kernel_map --set cpus=1 --set rwlock=wake-one-writer
      kmodel explore ./my_story.py --max-seconds 10 --json
    """
    from kmodel.case import Case
    from kmodel.check import check_live as check_forgetting
    from kmodel.check import explore as search_all
    from kmodel.check import undecided
    from kmodel.cli.progress import searching
    from kmodel.explore.graph import Limits, Order
    from kmodel.explore.purity import pure
    from kmodel.explore.tree import Divergence
    from kmodel.recorder import SharedStateError
    from kmodel.settings import parse_sets
    from kmodel.world import ScenarioError

    bounds = Limits(states=max_states, seconds=max_seconds, memory=max_memory << 20)
    with pure():
        case = Case.of(scenario, parse_sets(sets), fix, situation)
        try:
            with searching(f"{scenario} --fix {fix}", bounds) as tick:
                if check_live:
                    verdict = check_forgetting(case, bounds, tick)
                else:
                    order: Order = "bfs" if search == "bfs" else "dfs"
                    verdict = search_all(case, bounds, order, tick).verdict()
        except Divergence as error:
            verdict = undecided(case, search, "nondeterminism", str(error))
        except (ScenarioError, SharedStateError) as error:
            verdict = undecided(case, search, "scenario-error", str(error))
    if as_json:
        print_json(verdict.document())
    else:
        click.echo("\n".join(report(verdict)))
    if check_live and verdict.kind is None:
        return  # nothing found is all that it can say
    finish(verdict, verdict.evidence.bound == "interrupted")


def report(verdict: Verdict) -> list[str]:
    """The verdict for people."""
    where = f" in {verdict.situation}" if verdict.situation else ""
    lines = [
        f"{verdict.scenario}, fix {verdict.fix}{where}: {headline(verdict)}",
        f"  {verdict.message}",
    ]
    if verdict.survives:
        lines.append(f"  survives {verdict.survives}")
    if verdict.replay:
        lines += ["", f"  kmodel replay {verdict.replay}"]
    counts: dict[str, Any] = verdict.counts
    if not counts:
        if verdict.evidence.states:
            lines.append(f"  evidence: {evidence_line(verdict)}")
        return lines
    failures = ", ".join(f"{k}: {most(v)}" for k, v in counts["pool_failures"].items())
    lines += [
        "",
        f"  most on any run: {most(counts['refaults'])} refaults of one fault, "
        f"pool failures {failures or 'none'}, {most(counts['daemon_laps'])} daemon laps, "
        f"{most(counts['kills'])} kills",
        f"  evidence: {evidence_line(verdict)}",
        f"  assumed: {'; '.join(verdict.evidence.assumptions)}",
    ]
    for title, findings in (
        ("also found", verdict.findings),
        ("excluded by lock-grant alone", verdict.excluded),
    ):
        for finding in findings:
            first, *rest = finding_lines(finding)
            lines += ["", f"  {title}: {first}", *(f"  {line}" for line in rest)]
    return lines
