"""``kmodel explore``: every schedule of one scenario."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kmodel.cli.options import as_json, finish, jobs_option, limits, of_a_case, print_json
from kmodel.cli.report import WHY, report

if TYPE_CHECKING:
    from kmodel.case import Case
    from kmodel.explore.bounded import Kind, Level
    from kmodel.explore.drive import Tick
    from kmodel.explore.graph import Limits, Order
    from kmodel.judge import Judge


@click.command()
@partial(of_a_case, required=False)
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
    help="The most preemptions, or delays.  [default: 2]",
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
@click.option(
    "--checkpoint",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Keep a dfs or bfs search in a new FILE.",
)
@click.option(
    "--resume",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Go on with that one; limits may be new.",
)
@jobs_option
@limits
@as_json
def explore(
    scenario: str | None,
    sets: tuple[str, ...],
    fix: str | None,
    situation: str | None,
    search: str,
    bound: int | None,
    check_live: bool,
    smaller: bool,
    checkpoint: Path | None,
    resume: Path | None,
    max_seconds: float,
    max_states: int,
    max_memory: int,
    jobs: int,
    as_json: bool,
) -> None:
    """Search every schedule of SCENARIO (a name, or a file's path) for a verdict.

    Either "holds", with how much was covered and what was assumed, or how it breaks and the
    command that replays it: the fewest preemptions, then the fewest steps (a check or
    panic: the fewest CPUs first). A hang shows a loop that a fair scheduler allows.

    --search bounded tries schedules with up to --bound preemptions, delay those so far from
    round robin, symmetric one state of all that differ in which of like tasks is which.
    Safety only, unless a bound comes everywhere. A --checkpoint outlives limits and kills.

    \b
    Examples:
      kmodel explore contended_kernel_map --fix populate
      kmodel explore contended_kernel_map --set cpus=3 --set faults=2 --checkpoint FILE
      kmodel explore --resume FILE --max-states 9000000
    """
    from kmodel import kept
    from kmodel.case import Case
    from kmodel.cli.progress import searching
    from kmodel.explore.graph import Limits
    from kmodel.explore.purity import pure
    from kmodel.explore.tree import Divergence
    from kmodel.joint import check_live as check_forgetting
    from kmodel.joint import go_on
    from kmodel.recorder import SharedStateError
    from kmodel.settings import parse_sets
    from kmodel.shown import undecided
    from kmodel.smaller import smaller as find_smaller
    from kmodel.world import ScenarioError

    refuse_contradictions(search, bound, check_live, checkpoint)
    if resume:
        refuse_beside_resume(click.get_current_context())
    elif scenario is None:
        raise click.UsageError("Missing argument 'SCENARIO'.")
    worst, whole = None, None
    bounds = Limits(states=max_states, seconds=max_seconds, memory=max_memory << 20)
    told = None if as_json else level_line
    with pure():
        if resume:
            case, whole = kept.resume(resume, bounds, note)
            search = whole.order
        else:
            case = Case.of(str(scenario), parse_sets(sets), fix, situation)
        try:
            with searching(case.called, bounds) as tick:
                if check_live:
                    verdict = check_forgetting(case, bounds, tick)
                else:
                    if checkpoint:
                        whole = kept.begin(case, bounds, order_of(search), checkpoint, note)
                    if whole:
                        judge = go_on(case, whole, tick, jobs)
                    else:
                        judge = searched(case, bounds, search, bound, tick, told, jobs)
                    verdict, worst = judge.verdict(), judge.worst
                    if smaller and worst and "interrupted" not in verdict.evidence.bound:
                        again = partial(searched, search=search, bound=bound, tick=tick)
                        less = find_smaller(judge, again, bounds)
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
    file = resume or checkpoint
    if file and verdict.evidence.states and not verdict.evidence.complete:
        note(f"to go on: kmodel explore --resume {file}")
    if check_live and verdict.evidence.complete:
        return  # nothing found is all that it can say
    finish(verdict, "interrupted" in verdict.evidence.bound)


def searched(
    case: Case,
    bounds: Limits,
    search: str,
    bound: int | None,
    tick: Tick | None,
    told: Callable[[Level], None] | None = None,
    jobs: int = 1,
) -> Judge:
    """The search that was asked for, from its beginning."""
    from kmodel.joint import explore, explore_orbits, explore_within

    if search in ("bounded", "delay"):
        kind: Kind = "delay" if search == "delay" else "bounded"
        return explore_within(case, bounds, kind, 2 if bound is None else bound, tick, told)
    if search == "symmetric":
        return explore_orbits(case, bounds, tick)
    return explore(case, bounds, order_of(search), tick, jobs)


def order_of(search: str) -> Order:
    return "bfs" if search == "bfs" else "dfs"


def refuse_contradictions(
    search: str, bound: int | None, check_live: bool, checkpoint: Path | None
) -> None:
    """Raise for options that do not go together."""
    whole = search in ("dfs", "bfs")
    if check_live and not whole:
        raise click.UsageError("--check-live has a search of its own")
    if bound is not None and search not in ("bounded", "delay"):
        raise click.UsageError("--bound is for --search bounded and --search delay")
    if checkpoint and (check_live or not whole):
        raise click.UsageError("--checkpoint is for --search dfs and bfs: no other can be resumed")


def refuse_beside_resume(context: click.Context) -> None:
    """Raise for what the file says itself."""
    limits = ("resume", "max_seconds", "max_states", "max_memory", "as_json")
    given = click.core.ParameterSource.COMMANDLINE
    words = [
        "SCENARIO" if isinstance(one, click.Argument) else one.opts[0]
        for one in context.command.params
        if one.name not in limits and context.get_parameter_source(str(one.name)) is given
    ]
    if words:
        raise click.UsageError(f"--resume knows all but the limits: leave out {', '.join(words)}")


def note(text: str) -> None:
    """Say what is no part of the verdict."""
    click.echo(text, err=True)


def level_line(level: Level) -> None:
    """A bound was covered."""
    if sys.stderr.isatty():
        click.echo("\r\x1b[K", nl=False, err=True)  # the line of progress
    click.echo(f"  {level}")
