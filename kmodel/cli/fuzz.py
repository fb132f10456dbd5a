"""``kmodel fuzz``: workloads by Hypothesis, schedules by search."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import click

from kmodel.cli.amount import Amount
from kmodel.cli.options import as_json, print_json, styled
from kmodel.cli.progress import EVERY

if TYPE_CHECKING:
    from kmodel.fuzz.campaign import Campaign, Failure, Trouble

PROFILES: Final[dict[str, tuple[int | None, float | None]]] = {
    "quick": (500, None),
    "ci": (5_000, None),
    "night": (None, 480.0),
}
"""Examples in all, and minutes."""
STORY: Final = 60
"""Lines of a run that are shown."""


@click.command()
@click.argument("targets", nargs=-1, metavar="[TARGET]...")
@click.option(
    "--profile",
    type=click.Choice(list(PROFILES)),
    default="quick",
    show_default=True,
    help="quick: 500 examples in all; ci: 5000; night: 8 hours.",
)
@click.option("--examples", type=click.IntRange(1), help="So many in all, whatever the profile.")
@click.option("--minutes", type=Amount(0.001), help="So long, whatever the profile.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="Of the draws.")
@click.option("--replay", is_flag=True, help="Stored failures first.")
@click.option(
    "--store",
    default=".kmodel/fuzz",
    show_default=True,
    type=click.Path(file_okay=False),
    help="Where failures are stored.",
)
@as_json
def fuzz(
    targets: tuple[str, ...],
    profile: str,
    examples: int | None,
    minutes: float | None,
    seed: int,
    replay: bool,
    store: str,
    as_json: bool,
) -> None:
    """Make up workloads, run each in every order that matters, shrink what breaks.

    \b
    TARGET is one of these; without one all share the budget:
      locks  mutexes, sleeping locks, channels     kmap  km_alloc over kernel_map
      pool   pool_get and pool_put, limits         pmap  page tables against a plain dict
      vm     faults of several CPUs, with any fix

    Each example is a machine, operations for up to three CPUs, and sometimes an allocation
    that is made to fail; each leaves some operations out. A search runs it in every order
    with few preemptions and holds it against what the operations do one at a time. What
    breaks is made smaller: fewer CPUs, operations, preemptions. A failure comes with its run
    and a pytest test to paste. The same seed and number of examples find the same. Ctrl-C
    keeps what there is. Exit status: 1 found, 0 nothing found (no proof), 2 a target is wrong,
    3 a target is not deterministic, 130 interrupted.

    \b
    Examples:
      kmodel fuzz
      kmodel fuzz pool kmap --examples 2000 --seed 7
      kmodel fuzz --profile night --replay
    """
    from kmodel.fuzz import target
    from kmodel.fuzz.campaign import Campaign

    chosen = [target.load(name) for name in dict.fromkeys(targets or target.names())]
    if examples is None and minutes is None:
        examples, minutes = PROFILES[profile]
    campaign = Campaign(chosen, seed, examples, minutes, store, replay)
    with _progress() as tick:
        campaign.tick = tick
        campaign.run()
    if as_json:
        print_json(document(campaign, profile))
    else:
        click.echo("\n".join(report(campaign)))
    sys.exit(status(campaign))


def status(campaign: Campaign) -> int:
    if campaign.interrupted:
        return 130
    if campaign.failures:
        return 1
    kinds = {one.kind for one in campaign.troubles}
    return 3 if "nondeterminism" in kinds else 2 if kinds else 0


@contextmanager
def _progress() -> Iterator[Callable[[Campaign], None]]:
    """One line on a terminal that counts as it goes."""
    if not sys.stderr.isatty():
        yield lambda campaign: None
        return
    began = due = time.monotonic()

    def tick(campaign: Campaign) -> None:
        nonlocal due
        now = time.monotonic()
        if now >= due:
            due = now + EVERY
            sys.stderr.write(f"\r\x1b[K{rates(campaign, now - began)}")
            sys.stderr.flush()

    try:
        yield tick
    finally:
        sys.stderr.write("\r\x1b[K")
        sys.stderr.flush()


def rates(campaign: Campaign, seconds: float) -> str:
    """``312 examples (41/s), 80,112 steps (9,980/s), 61,001 states, 1 failure``."""
    done = campaign.tallies.values()
    examples, steps = sum(t.examples for t in done), sum(t.steps for t in done)
    states, failures = sum(t.states for t in done), len(campaign.failures)
    per = max(seconds, 0.001)
    return (
        f"{examples:,} examples ({examples / per:.0f}/s), {steps:,} steps ({steps / per:,.0f}/s), "
        f"{states:,} distinct states, {failures} failure{'' if failures == 1 else 's'}"
    )


def report(campaign: Campaign) -> list[str]:
    """For people: every failure, then what was done."""
    lines: list[str] = []
    for failure in campaign.groups:
        lines += [*_failure(failure), ""]
    for trouble in campaign.troubles:
        lines += [*_trouble(trouble), ""]
    for name, tally in campaign.tallies.items():
        cut = f", {tally.cut} of them too large and sampled" if tally.cut else ""
        share = 100 * tally.judging / tally.seconds if tally.seconds else 0
        lines.append(
            f"{name:6} {tally.examples:,} examples{cut}, {tally.repeated:,} drawn again, "
            f"{tally.steps:,} steps, {tally.states:,} states, {tally.seconds:.1f} s "
            f"({share:.0f} % searching)"
        )
    lines.append(rates(campaign, campaign.seconds))
    if campaign.interrupted:
        lines.append("interrupted: this is what there was by then")
    elif not campaign.failures and not campaign.troubles:
        lines.append("nothing found: a sample, so no proof")
    return lines


def _failure(failure: Failure) -> list[str]:
    from kmodel.fuzz.paste import pasted, said, story

    workload, shown = failure.best
    told = story(workload, shown.schedule)
    if len(told) > STORY:
        told = [*told[:STORY], f"... {len(told) - STORY} more"]
    less = failure.reduced
    how = "not made smaller" if less is None else f"made smaller in {less.judged} tries"
    if less is not None and not less.minimal:
        how += ", and given up there: there may be less"
    return [
        f"{styled(workload.target, bold=True)}: {styled(said(shown), fg='red', bold=True)}",
        f"  after {failure.examples} examples, shown by {failure.seen}; {how}; "
        f"preemptions: {shown.preemptions}",
        *(f"  {line}" for line in workload.lines()),
        "",
        *told,
        "",
        f"schedule: {shown.schedule}",
        "",
        pasted(workload, shown),
    ]


def _trouble(trouble: Trouble) -> list[str]:
    what = {
        "scenario-error": "the target is wrong, which is no bug found",
        "nondeterminism": "the target does not do the same each time, which is no bug found",
    }[trouble.kind]
    lines = [f"{trouble.target}: {trouble.kind}: {what}", f"  {trouble.message}"]
    if trouble.workload is not None:
        lines += [f"  {line}" for line in trouble.workload.lines()]
    return lines


def document(campaign: Campaign, profile: str) -> dict[str, Any]:
    """``kmodel.fuzz/1``."""
    import attrs

    return {
        "schema": "kmodel.fuzz/1",
        "verdict": "violated" if campaign.failures else "inconclusive",
        "bound": "samples",
        "profile": profile,
        "seed": campaign.seed,
        "examples": campaign.examples,
        "minutes": campaign.minutes,
        "interrupted": campaign.interrupted,
        "seconds": campaign.seconds,
        "targets": {name: attrs.asdict(tally) for name, tally in campaign.tallies.items()},
        "failures": [_failure_document(one) for one in campaign.groups],
        "troubles": [
            {
                "target": one.target,
                "kind": one.kind,
                "message": one.message,
                "workload": one.workload.document() if one.workload else None,
            }
            for one in campaign.troubles
        ],
    }


def _failure_document(failure: Failure) -> dict[str, Any]:
    import attrs

    from kmodel.fuzz.paste import pasted, story

    workload, shown = failure.best
    return {
        "target": failure.target.name,
        "kind": shown.signature.kind,
        "property": shown.signature.property,
        "message": shown.message,
        "signature": attrs.asdict(shown.signature),
        "workload": workload.document(),
        "first": failure.workload.document(),
        "minimal": failure.reduced is not None and failure.reduced.minimal,
        "examples": failure.examples,
        "seen": failure.seen,
        "preemptions": shown.preemptions,
        "schedule": str(shown.schedule),
        "story": story(workload, shown.schedule),
        "test": pasted(workload, shown),
    }
