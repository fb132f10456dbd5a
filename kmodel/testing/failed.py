"""How a test of a story fails: it is broken, nobody can say, or the story itself is wrong; and
the run that shows it, with the line that replays it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from enum import Enum
from typing import Any, Final

from kmodel.explore.access import touches
from kmodel.explore.result import Build, Schedule, fresh, replay
from kmodel.explore.signature import HANGS
from kmodel.explore.tree import Divergence
from kmodel.recorder import SharedStateError
from kmodel.table import Table
from kmodel.testing import plugin
from kmodel.world import ScenarioError, World, label

LINES: Final = 40
"""Of a run that failed, shown in the failure: of a longer one the end, where it breaks, and
this many of its beginning."""
BEGINNING: Final = 10


ORDER: Final = "witness.order"
"""For whoever looks for cycles in it; people read who takes what."""
UNSHOWN: Final = (None, "data-race", "lock-order", *HANGS)
"""What one run need not show by itself, as a panic or a broken check does."""


class Broken(AssertionError):
    """A schedule breaks the story; the message tells it and how to replay it."""


class Undecided(AssertionError):
    """Neither broken nor covered: a limit ended the search, or the story shows nothing."""


class GivenUp(BaseException):
    """Carries an ``Undecided``, or a ``Wrong`` and what it comes from, past Hypothesis, which would
    make a smaller example of it, and with each one search as long again, or wait for a loop that
    never ends."""

    def __init__(self, why: Undecided | Wrong, cause: BaseException | None = None) -> None:
        super().__init__(str(why))
        self.why, self.cause = why, cause


class Wrong(ScenarioError):
    """No bug was found: the story, or its oracle, is itself wrong (``scenario-error``), or does
    not do the same each time (``nondeterminism``)."""


ADVICE: Final = {
    "scenario-error": "the test itself is wrong, which is no bug found",
    "nondeterminism": "the test does not do the same each time, which is no bug found",
}


def wrong(kind: str, message: str) -> Wrong:
    return Wrong(f"{kind}: {ADVICE[kind]}\n  {message}")


def told_apart(judge: Callable[[], None]) -> None:
    """Call it. What says that the story is wrong becomes ``Wrong``, with what it comes from."""
    __tracebackhide__ = True
    try:
        judge()
    except Wrong:
        raise
    except (ScenarioError, SharedStateError) as error:
        raise wrong("scenario-error", str(error)) from error.__cause__
    except Divergence as error:
        raise wrong("nondeterminism", str(error)) from None


def told(
    build: Build,
    said: str,
    schedule: Schedule | None,
    kind: str | None = None,
    before: str | None = "",
) -> str:
    """What is wrong, the run that shows it, and the command that replays it: ``before`` and the
    schedule (``None``: no such command).

    Raises ``Wrong`` if the run, that broke by ``kind`` before, now breaks nothing.
    """
    if schedule is None:
        return said
    lines, outcome = run_lines(build, schedule)
    if kind not in UNSHOWN and outcome.kind in ("done", "open"):
        raise wrong("nondeterminism", f"a run broke ({kind}), and the same run again does not")
    if len(lines) > LINES:
        more = f"... {len(lines) - LINES} more"
        lines = [*lines[:BEGINNING], more, *lines[BEGINNING - LINES :]]
    return "\n".join([said, "", *lines]) + _replay_line(schedule, before)


def _replay_line(schedule: Schedule, before: str | None) -> str:
    """The command that runs it again, if pytest runs now; else, where Hypothesis keeps what
    failed, the one that finds it again."""
    test = os.environ.get("PYTEST_CURRENT_TEST", "").rpartition(" ")[0]
    if not test:
        return ""
    quoted = _quoted(plugin.called(test))
    if before is None:
        return f"\n\nagain: pytest {quoted} (Hypothesis tries what failed first)"
    return f"\n\nreplay: pytest {quoted} --kmodel-replay {_quoted(f'{before}{schedule}')}"


def _quoted(word: str) -> str:
    """For a shell, and always with quotes: people add to it."""
    return "'" + word.replace("'", "'\"'\"'") + "'"


def run_lines(build: Build, schedule: Schedule) -> tuple[list[str], Any]:
    """The run, step by step, with what its tasks read and wrote of the test's own; and its
    outcome."""
    lines: list[str] = []
    replay(build, schedule)  # it may be no schedule of this world
    world = fresh(build)
    names = [task.name for task in world.tasks]
    width = max(map(len, names))
    own = {id(thing) for thing in world.objects if _of_the_test(thing, world)}
    called = _called(world)
    touched = touches(world, schedule.steps + schedule.loop, lambda thing: id(thing) in own)
    told, last = 0, -1

    def upto(step: int) -> None:
        """What was touched in the steps before."""
        nonlocal told
        for number in range(told, min(step, len(touched))):
            who = names[(schedule.steps + schedule.loop)[number]]
            for one in touched[number]:
                does = "writes" if one.writes else "reads"
                value = called(one.value, repr)
                lines.append(f"{number:6} {who:{width}} {does} {one.location}={value}")
        told = max(told, step)

    def hear(step: int, task: int, cause: int | None, event: str, fields: dict[str, Any]) -> int:
        nonlocal last
        if event == ORDER:
            return len(lines)
        # a step is an operation, which is said first, and then the code up to the next point
        upto(step + (step == last))
        last = step
        if schedule.loop and step == len(schedule.steps) and f"{'':>6}loop:" not in lines:
            lines.append(f"{'':>6}loop:")
        said = {key: called(value, str) for key, value in fields.items() if value is not None}
        words = " ".join(f"{key}={value}" for key, value in said.items()).replace("\n", " ")
        lines.append(f"{step:6} {names[task]:{width}} {event} {words}".rstrip())
        return len(lines)

    outcome = replay(build, schedule, hear)
    upto(len(touched))
    return lines, outcome


def _called(world: World) -> Callable[[Any, Callable[[Any], str]], str]:
    """Names of values: a shared object of ``world``, or the same one of another that was built
    alike, is called what its locations are, and never by its address."""
    counts: dict[str, int] = {}
    labels = {n: label(thing, counts) for n, thing in enumerate([*world.tasks, *world.objects])}

    def called(value: Any, plain: Callable[[Any], str]) -> str:
        if type(value) is tuple and value:
            return f"({', '.join(called(one, repr) for one in value)}{',' * (len(value) == 1)})"
        if isinstance(value, Enum):
            return str(value.value)
        named = getattr(value, "name", None) or labels.get(getattr(value, "_oid", -1))
        return str(named) if named is not None else plain(value)

    return called


def _of_the_test(thing: Any, world: World) -> bool:
    """Is it of the test's own? A table is, unless there is a kernel, which has many."""
    if isinstance(thing, Table):
        return not any(type(one).__module__.startswith("kmodel.vm.") for one in world.objects)
    return not type(thing).__module__.startswith("kmodel.")
