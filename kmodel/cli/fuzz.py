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
@click.option("--replay", is_flag=True, help="What is stored first.")
@click.option(
    "--store",
    default=STORE,
    show_default=True,
    type=click.Path(file_okay=False),
    help="Where failures are stored.",
)
@click.option("--database", metavar="URL", help="A Redis server to share them: redis://host:6379/0")
@click.option(
    "--known",
    multiple=True,
    metavar="NAME",
    help="A failure (its file's name without .py) that is told and does not count.",
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
    database: str | None,
    known: tuple[str, ...],
    as_json: bool,
) -> None:
    """Make up workloads, run each in every order that matters, shrink what breaks.

    \b
    TARGET is one of these; without one all share the budget:
      locks  mutexes, sleeping locks, channels     kmap  km_alloc over kernel_map
      pool   pool_get and pool_put, limits         pmap  page tables against a plain dict
      vm     the whole machine, with any fix       fork   parent and child, copy on write

    Each example is a machine, operations for a few CPUs, and at times what goes wrong: an
    allocation fails, a lock's holder is slow, an interrupt arrives, a thread is killed asleep.
    A search runs it in every order with few preemptions and holds it against what the
    operations do one at a time. What breaks is made smaller, and stored at once: a file that is
    a pytest test and a scenario, a log, a token. The same seed and number of examples find
    the same. Exit status: 1 found, 0 nothing found (no proof), or nothing but what is
    --known, 2 a target is wrong, 3 a target is not deterministic, 70 a target crashed, 130
    Ctrl-C (which keeps everything).

    \b
    Examples:
      kmodel fuzz
      kmodel fuzz pool kmap --examples 2000 --seed 7
      kmodel fuzz --profile night --replay --database redis://fuzz.example:6379/0
      kmodel fuzz --replay --examples 0         what is stored, and nothing else
    """
    from kmodel.cli.failures import Report, document
    from kmodel.explore.interrupt import interruptible
    from kmodel.fuzz import target
    from kmodel.fuzz.campaign import Campaign
    from kmodel.fuzz.handover import EXAMPLES, ready
    from kmodel.fuzz.stored import Stored

    chosen = [target.load(name) for name in dict.fromkeys(targets or target.names())]
    if examples is None and minutes is None:
        examples, minutes = PROFILES[profile]
    _refuse(examples, replay, store, database)
    report = Report(Path(store), _known(known))
    ready(Path(store))
    stored = Stored(str(Path(store, EXAMPLES)), database)
    campaign = Campaign(chosen, seed, examples, minutes, stored, replay)
    with _progress() as line:
        campaign.tick = line.tick
        campaign.found = lambda failure: line.aside(lambda: report.tell(failure))
        campaign.run()
    with interruptible():  # who presses twice still hears what there is
        if as_json:
            print_json(document(campaign, report, profile))
        else:
            click.echo("\n".join(report.end(campaign)))
    sys.exit(status(campaign, report))


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
    return 3 if "nondeterminism" in kinds else 2 if kinds else 0


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
