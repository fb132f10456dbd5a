"""``kmodel fuzz``: workloads by Hypothesis, schedules by search."""

from __future__ import annotations

import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from kmodel.cli.amount import Amount
from kmodel.cli.failures import under_way
from kmodel.cli.options import as_json, print_json
from kmodel.cli.progress import EVERY

if TYPE_CHECKING:
    from kmodel.cli.failures import Report
    from kmodel.fuzz.campaign import Campaign

PROFILES: Final[dict[str, tuple[int | None, float | None]]] = {
    "quick": (500, None),
    "ci": (5_000, None),
    "night": (None, None),
}
"""Examples in all, and minutes; neither: until a Ctrl-C."""
STORE: Final = ".kmodel/fuzz"


@click.command()
@click.argument("targets", nargs=-1, metavar="[TARGET]...")
@click.option(
    "--profile",
    type=click.Choice(list(PROFILES)),
    default="quick",
    show_default=True,
    help="quick: 500 examples in all; ci: 5000; night: until Ctrl-C.",
)
@click.option("--examples", type=click.IntRange(0), help="So many in all, whatever the profile.")
@click.option("--minutes", type=Amount(0.001), help="So long, whatever the profile.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="Of the draws.")
@click.option(
    "--set",
    "sets",
    multiple=True,
    metavar="K=V",
    help="A parameter of the machine that is not to vary.",
)
@click.option("--replay", is_flag=True, help="What is stored first.")
@click.option(
    "--store",
    default=STORE,
    show_default=True,
    type=click.Path(file_okay=False),
    help="Of failures.",
)
@click.option("--database", metavar="URL", help="A Redis server to share them.")
@click.option(
    "--known",
    multiple=True,
    metavar="NAME",
    help="A failure (its file, without .py) that does not count.",
)
@as_json
def fuzz(
    targets: tuple[str, ...],
    profile: str,
    examples: int | None,
    minutes: float | None,
    seed: int,
    sets: tuple[str, ...],
    replay: bool,
    store: str,
    database: str | None,
    known: tuple[str, ...],
    as_json: bool,
) -> None:
    """Make up workloads, run each in every order that matters, shrink what breaks.

    \b
    TARGET is one of these; without one all share the budget:
      locks  mutexes, sleeping locks, channels     kmap  km_alloc over kernel_map
      pool   pool_get and pool_put, limits         pmap  page tables against a plain dict
      vm     the whole machine, with any fix       fork  parent and child, copy on write

    Each example is a machine, operations for a few CPUs, and at times what goes wrong: an
    allocation fails, a holder is slow, an interrupt comes, a thread is killed asleep. A search
    runs it in every order with few preemptions and holds it against what the operations do one
    at a time. What breaks is made smaller, and stored at once: a file that is a pytest test
    and a scenario, a log, a token. The same seed and number of examples find the same.
    Status: 1 found, 0 nothing (no proof), or nothing but what is --known, 2 a target is
    wrong, 3 it is not deterministic, 5 nothing that is stored can be run any more, 70 a
    target crashed, 130 Ctrl-C (which keeps everything).

    \b
    Examples:
      kmodel fuzz
      kmodel fuzz pool kmap --examples 2000 --seed 7
      kmodel fuzz vm --set fix=populate         one fix, and all else varies
      kmodel fuzz --profile night --replay --database redis://fuzz.example:6379/0
      kmodel fuzz --replay --examples 0         what is stored, and nothing else
    """
    from kmodel.cli.failures import Report, document
    from kmodel.explore.interrupt import interruptible
    from kmodel.fuzz import target
    from kmodel.fuzz.campaign import Campaign
    from kmodel.fuzz.handover import EXAMPLES, ready
    from kmodel.fuzz.stored import Stored
    from kmodel.settings import parse_sets

    loaded = [target.load(name) for name in dict.fromkeys(targets or target.names())]
    chosen = target.with_pinned(loaded, parse_sets(sets))
    if examples is None and minutes is None:
        examples, minutes = PROFILES[profile]
    _refuse(examples, replay, store, database)
    report = Report(Path(store), _known(known))
    ready(Path(store))
    stored = Stored(str(Path(store, EXAMPLES)), database)
    campaign = Campaign(chosen, seed, examples, minutes, stored, replay)
    with _progress() as line, _home(Path(store, "hypothesis")):
        campaign.tick = line.tick
        campaign.found = lambda failure: line.aside(lambda: report.tell(failure))
        campaign.run()
    with interruptible():  # who presses twice still hears what there is
        if as_json:
            print_json(document(campaign, report, profile))
        else:
            click.echo("\n".join(report.end(campaign)))
    sys.exit(status(campaign, report))


@contextmanager
def _home(folder: Path) -> Iterator[None]:
    """What Hypothesis keeps for itself goes to the rest, and not to where one stands."""
    from hypothesis.configuration import set_hypothesis_home_dir

    set_hypothesis_home_dir(folder)
    try:
        yield
    finally:
        set_hypothesis_home_dir(None)


def _refuse(examples: int | None, replay: bool, store: str, database: str | None) -> None:
    if not store:
        raise click.UsageError("--store needs the name of a folder")
    if examples == 0 and replay and not database and not Path(store, "examples").is_dir():
        raise click.UsageError(
            f"nothing is stored in {store}, so there is nothing to replay: give the folder that "
            "an earlier 'kmodel fuzz' filled (--store), or leave --examples 0 out"
        )
    if examples == 0 and not replay:
        raise click.UsageError(
            "--examples 0 runs nothing: give more, or --replay for what is stored"
        )


def _known(names: tuple[str, ...]) -> tuple[str, ...]:
    """Each once. Raises ``click.UsageError`` for what no failure can be called."""
    from kmodel.fuzz import target

    named = tuple(dict.fromkeys(Path(name).name.removesuffix(".py") for name in names))
    possible = rf"({'|'.join(target.names())})_[a-z_]+_[0-9a-f]{{4}}"
    wrong = [repr(name) for name in named if not re.fullmatch(possible, name)]
    if wrong:
        raise click.UsageError(
            f"--known {', '.join(wrong)}: no failure is called that. Give the name of the file "
            "that 'kmodel fuzz' wrote for it, such as pool_deadlock_461e."
        )
    return named


def status(campaign: Campaign, report: Report) -> int:
    from kmodel.fuzz.failure import CRASH

    if campaign.interrupted:
        return 130
    kinds = {one.kind for one in campaign.troubles}
    if CRASH in kinds:
        return 70
    if report.counted(campaign):
        return 1
    if kinds:
        return 3 if "nondeterminism" in kinds else 2
    return 5 if campaign.examples == 0 and _unfit(campaign) else 0


def _unfit(campaign: Campaign) -> bool:
    """Was there something to replay, and nothing of it could be run?"""
    ran = sum(tally.examples for tally in campaign.tallies.values())
    return not ran and campaign.stored is not None and campaign.stored.unfit > 0


class Line:
    """One line on a terminal that counts as it goes; off a terminal, nothing."""

    def __init__(self) -> None:
        self.on = sys.stderr.isatty()
        self._began = self._due = time.monotonic()

    def tick(self, campaign: Campaign) -> None:
        now = time.monotonic()
        if self.on and now >= self._due:
            self._due = now + EVERY
            self._write(under_way(campaign, now - self._began))

    def aside(self, tell: Callable[[], None]) -> None:
        """Let something be said beside it."""
        self.clear()
        tell()

    def clear(self) -> None:
        if self.on:
            self._write("")

    def _write(self, text: str) -> None:
        room = shutil.get_terminal_size().columns - 1
        sys.stderr.write(f"\r\x1b[K{text[:room]}")
        sys.stderr.flush()


@contextmanager
def _progress() -> Iterator[Line]:
    line = Line()
    try:
        yield line
    finally:
        line.clear()
