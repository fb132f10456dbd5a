"""``kmodel run``: sampled runs on Trio tasks, one a CPU."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kmodel.cli.options import as_json, finding_lines, headline, of_a_case, print_json, title
from kmodel.verdict import Verdict

if TYPE_CHECKING:
    from kmodel.sampling import Run

LINES = 20
"""Runs that get a line of their own in the summary."""


@click.command()
@of_a_case
@click.option(
    "--strategy",
    type=click.Choice(["random", "pct", "pos", "fair", "round-robin"]),
    default="random",
    show_default=True,
    help="Who steps next (kmodel list).",
)
@click.option(
    "--depth",
    type=click.IntRange(1),
    metavar="D",
    help="Of pct: ordering constraints aimed at [default: drawn from 1 to 3 for each run].",
)
@click.option(
    "--length",
    type=click.IntRange(1),
    metavar="K",
    help="Of pct: contended steps of a run [default: learned from the runs before].",
)
@click.option(
    "--seed", default=0, show_default=True, type=click.IntRange(0), help="Of the first run."
)
@click.option("--runs", default=1, show_default=True, type=click.IntRange(1), help="How many.")
@click.option(
    "--max-steps",
    default=20_000,
    show_default=True,
    type=click.IntRange(1),
    help="Steps after which a run is given up.",
)
@click.option(
    "--logs",
    default="logs",
    show_default=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="Where runs are written.",
)
@as_json
def run(
    scenario: str,
    sets: tuple[str, ...],
    fix: str | None,
    situation: str | None,
    strategy: str,
    depth: int | None,
    length: int | None,
    seed: int,
    runs: int,
    max_steps: int,
    logs: Path,
    as_json: bool,
) -> None:
    """Run SCENARIO (a name, or the path of a file) with sampled schedules.

    Each CPU is a Trio task. Run N uses seed SEED+N, and the same seed gives the same
    run anywhere (with pct: the same seed and the same --length). A sample that breaks
    nothing proves nothing: the sum says how much of it was new. The first run and the
    first broken ones are written to LOGS/<run-id>/events.jsonl; read them with
    "kmodel log show".

    \b
    Examples:
      kmodel run contended_kernel_map --fix wait --seed 7
      kmodel run contended_kernel_map --fix populate --runs 2000
      kmodel run contended_kernel_map --strategy pos --runs 500
      kmodel run contended_kernel_map --strategy pct --depth 2 --runs 500
      kmodel run contended_kernel_map --strategy fair --runs 100
    """
    if strategy != "pct" and (depth is not None or length is not None):
        raise click.UsageError("--depth and --length are for --strategy pct.")
    from kmodel.case import Case
    from kmodel.cli.progress import counting
    from kmodel.explore.purity import pure
    from kmodel.explore.recipe import recipe
    from kmodel.explore.tree import Divergence
    from kmodel.recorder import SharedStateError
    from kmodel.sampling import Sampler
    from kmodel.settings import parse_sets
    from kmodel.shown import undecided
    from kmodel.world import ScenarioError

    with pure():
        case = Case.of(scenario, parse_sets(sets), fix, situation)
        interrupted, taken, cut_short = False, [], None
        try:
            sampler = Sampler(case, seed, logs, max_steps, recipe(strategy, depth, length))
            with counting(case.called, runs) as tick:
                sampler.take(runs, lambda run: tick())
            verdict = sampler.verdict()
            interrupted, taken = sampler.interrupted, sampler.runs
            cut_short = sampler.cut_short
        except Divergence as error:
            verdict = undecided(case, strategy, "nondeterminism", str(error))
        except (ScenarioError, SharedStateError) as error:
            verdict = undecided(case, strategy, "scenario-error", str(error))
    if as_json:
        print_json(verdict.document())
    else:
        click.echo("\n".join(report(verdict, taken)))
    if cut_short:
        click.echo(f"Error: {cut_short}", err=True)
    sys.exit(130 if interrupted else status(verdict) or (2 if cut_short else 0))


def status(verdict: Verdict) -> int:
    """1 if a run broke something, 2 and 3 as ever, 4 if a run was given up, else 0."""
    if verdict.kind in ("scenario-error", "nondeterminism"):
        return 2 if verdict.kind == "scenario-error" else 3
    if verdict.verdict == "violated":
        return 1
    return 0 if verdict.evidence.bound == "samples" else 4


def report(verdict: Verdict, runs: list[Run]) -> list[str]:
    """A line for each run (of a few), then the sum."""
    counts = verdict.counts
    if not counts:
        return [
            f"{title(verdict)}: {headline(verdict)}",
            f"  {verdict.message}",
        ]
    kernel = "refaults" in counts
    lines = [_line(run, kernel) for run in runs[:LINES]]
    if len(runs) > LINES:
        lines.append(f"... and {len(runs) - LINES} more runs")
    ended = ", ".join(f"{kind} {number}" for kind, number in counts["ended"].items())
    lines += [
        "",
        f"{title(verdict)}: {headline(verdict)}",
        f"  {verdict.message}",
        f"  {counts['runs']} runs ({ended}), {verdict.evidence.steps:,} steps, "
        f"{verdict.evidence.seconds:.1f} s",
    ]
    if kernel:
        lines.append(_in_all(counts))
    if len(runs) > 1:
        lines += sampled(verdict)
    lines += [f"  never reached: {text}" for text, hit in verdict.reached.items() if not hit]
    for finding in verdict.findings:
        first, *rest = finding_lines(finding)
        lines.append(f"  also seen: {first}")
        lines += [f"  {line}" for line in (*made_smaller(finding.shrunk), *rest)]
    lines += made_smaller(verdict.shrunk)
    if verdict.replay:
        lines.append(f"  kmodel replay {verdict.replay}")
    if verdict.log:
        lines.append(f"  kmodel log show {Path(verdict.log).parent}")
    return lines


def _in_all(counts: dict[str, Any]) -> str:
    failures = ", ".join(f"{k}: {v}" for k, v in counts["pool_failures"].items()) or "none"
    return (
        f"  in all: {counts['refaults']} refaults, pool failures {failures}, "
        f"{counts['daemon_laps']} daemon laps, {counts['kills']} kills"
    )


def made_smaller(shrunk: dict[str, Any] | None) -> list[str]:
    """What the run that is shown was made from."""
    if shrunk is None:
        return []
    size = f"shown with {_size(shrunk)}"
    if any(shrunk[what] != then for what, then in shrunk["from"].items()):
        size += f"; shrunk from {_size(shrunk['from'])}"
    if not shrunk["fewest_preemptions"]:
        size += f" (given up after {shrunk['runs']:,} runs: there may be less)"
    return [f"  {size}"]


def _size(of: dict[str, Any]) -> str:
    return ", ".join(
        f"{of[what]} {what.removesuffix('s') if of[what] == 1 else what}"
        for what in ("steps", "preemptions", "tasks")
    )


def sampled(verdict: Verdict) -> list[str]:
    """How much of what there is the sample has seen, and what pct promises."""
    counts, traces = verdict.counts, verdict.evidence.traces
    lines = [
        f"  {traces:,} distinct traces (orders of conflicting operations; exact where nothing "
        f"races); {counts['next_new']:.1%} estimated chance that the next run is new"
    ]
    pct = counts.get("pct")
    if pct:
        depths = ", ".join(f"{depth} ({runs} runs)" for depth, runs in pct["depths"].items())
        known = "longest run so far" if pct["learned"] else "given"
        lines += [
            f"  pct: n {pct['tasks']} tasks, k {pct['length']} contended steps ({known}), "
            f"d {depths}",
            "  a run of depth d meets a bug of depth d with a chance of 1/(n k^(d-1)) or more, if "
            "k is not too",
            f"  small; not so in {pct['unbounded']} runs, where busy waiting was broken off",
        ]
    return lines


def _line(run: Run, kernel: bool) -> str:
    counts = run.counts
    told = f"{counts['refaults']} refaults, {counts['daemon_laps']} daemon laps, "
    return (
        f"seed {run.seed}: {run.outcome.kind} after {run.outcome.steps} steps, "
        f"{told if kernel else ''}digest {run.digest}"
    )
