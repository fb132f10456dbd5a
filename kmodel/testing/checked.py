"""``check``: a story becomes an ordinary pytest test that explores its schedules.

The decorated function builds the story afresh each time it is called: it puts tasks on a
``World`` or a ``Machine`` (its first parameter), or takes neither and returns coroutines, one a
CPU. Its other parameters are fixtures. A failure ends with the line that replays it.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Coroutine, Iterable, Mapping
from functools import wraps
from typing import Any, Final, get_type_hints

import attrs

from kmodel import fixes
from kmodel.explore.result import Build, Result, Sample, Schedule, replay, sample, search
from kmodel.machine import Machine
from kmodel.param import KernelParams
from kmodel.story import Parameter
from kmodel.world import ScenarioError, World

Function = Callable[..., Any]
BARE: Final = ("world", "w")
BOOTED: Final = ("machine", "m")
"""What a first parameter without an annotation is called."""
LINES: Final = 40
"""Of a run that failed, shown in the failure."""


class Broken(AssertionError):
    """A schedule breaks the story; the message tells it and how to replay it."""


class Undecided(AssertionError):
    """Neither broken nor covered: a limit ended the search, or the story shows nothing."""


@attrs.define
class Chosen:
    """What the command line asks of every check. ``seconds`` of a search, ``runs`` (and then
    ``seed``) to sample instead, a schedule to ``replay``."""

    seconds: float = 10.0
    runs: int | None = None
    seed: int = 0
    replay: str | None = None


CHOSEN = Chosen()


def check(
    function: Function | None = None,
    *,
    preemptions: int | None = None,
    delays: int | None = None,
    runs: int | None = None,
    strategy: str = "random",
    seconds: float | None = None,
    states: int = 1_000_000,
    fix: str = "wait",
    params: Mapping[str, Any] | None = None,
) -> Any:
    """Make ``function`` a test that explores every schedule of what it builds.

    With ``preemptions`` or ``delays``, those with at most so many; with ``runs``, so many
    sampled ones. ``fix`` and ``params`` are for a function that takes a ``Machine``. The test
    raises ``Broken``; or ``Undecided`` where a limit ended the search.
    """

    def decorate(function: Function) -> Function:
        def test(given: dict[str, Any]) -> None:
            __tracebackhide__ = True
            build = _builder(function, given, fix, dict(params or {}))
            if CHOSEN.replay is not None:
                _replay(build, CHOSEN.replay)
            elif (taken := CHOSEN.runs or runs) is not None:
                _judge_sample(build, sample(build, strategy=strategy, runs=taken, seed=CHOSEN.seed))
            else:
                _judge(
                    build,
                    search(
                        build,
                        preemptions=preemptions,
                        delays=delays,
                        states=states,
                        seconds=seconds or CHOSEN.seconds,
                    ),
                )

        return _as_test(function, test)

    return decorate(function) if function is not None else decorate


def _as_test(function: Function, test: Callable[[dict[str, Any]], None]) -> Function:
    """With the fixtures of ``function`` as parameters; async if it is."""
    fixtures = _fixtures(function)
    if inspect.iscoroutinefunction(function):

        @wraps(function)
        async def call_async(**given: Any) -> None:
            __tracebackhide__ = True
            test(given)

        wrapped: Function = call_async
    else:

        @wraps(function)
        def call(**given: Any) -> None:
            __tracebackhide__ = True
            test(given)

        wrapped = call
    wrapped.__signature__ = inspect.Signature(fixtures)  # type: ignore[attr-defined]
    return wrapped


def _fixtures(function: Function) -> list[inspect.Parameter]:
    every = list(inspect.signature(function).parameters.values())
    rest = every[1:] if _takes(function) else every
    return [one for one in rest if one.default is inspect.Parameter.empty]


def _takes(function: Function) -> type | None:
    """``World`` or ``Machine``, if its first parameter asks for one."""
    first = next(iter(inspect.signature(function).parameters.values()), None)
    if first is None:
        return None
    hint = get_type_hints(function).get(first.name) if first.annotation is not first.empty else None
    if hint is World or hint is Machine:
        return World if hint is World else Machine
    if hint is None and first.name in BARE:
        return World
    return Machine if hint is None and first.name in BOOTED else None


def _builder(function: Function, given: dict[str, Any], fix: str, params: dict[str, Any]) -> Build:
    taken = _takes(function)
    for one in inspect.signature(function).parameters.values():
        if isinstance(one.default, Parameter):
            given = {one.name: one.default.default, **given}

    def build(world: World) -> None:
        if taken is Machine:
            machine = Machine(KernelParams(**params), fixes.load(fix), world)
            _built(function, (machine,), given)
            machine.finish()
            return
        made = _built(function, (world,) if taken else (), given)
        if taken is None:
            _put(world, function, made)

    return build


def _built(function: Function, first: tuple[Any, ...], given: dict[str, Any]) -> Any:
    """Call it; an ``async`` one may not wait while it builds."""
    made = function(*first, **given)
    if not inspect.iscoroutine(made):
        return made
    try:
        made.send(None)
    except StopIteration as end:
        return end.value
    made.close()
    raise ScenarioError(
        f"{function.__name__} waits while it builds its story: put what waits into tasks"
    )


def _put(world: World, function: Function, made: Any) -> None:
    """Each coroutine on a CPU of its own, named by its key, or A, B, C."""
    if not isinstance(made, Mapping):
        if not isinstance(made, Iterable):
            raise ScenarioError(
                f"{function.__name__} takes no World and returned {made!r}: return coroutines, one "
                "a CPU, or take 'world: World' first and put tasks on it"
            )
        made = {_letter(number): coroutine for number, coroutine in enumerate(made)}
    for name, coroutine in made.items():
        if not isinstance(coroutine, Coroutine):
            raise ScenarioError(
                f"{function.__name__} returned {coroutine!r} for {name}, which is no coroutine: "
                "call the async function, without await"
            )
        world.task(str(name), coroutine)


def _letter(number: int) -> str:
    return chr(ord("A") + number) if number < 26 else f"T{number}"


def _judge(build: Build, result: Result) -> None:
    __tracebackhide__ = True
    if result.verdict == "violated":
        raise Broken(told(build, str(result), result.schedule))
    if result.verdict == "inconclusive" and not result.within:
        raise Undecided(
            f"{result}\n\nGive it more: seconds=..., states=...; or less to do: "
            "preemptions=2, or runs=1000 to sample."
        )


def _judge_sample(build: Build, taken: Sample) -> None:
    __tracebackhide__ = True
    for kind, (outcome, schedule) in taken.broken.items():
        raise Broken(told(build, f"{kind}: {outcome.message}", schedule))


def _replay(build: Build, text: str) -> None:
    """Show the run, and fail as it fails."""
    __tracebackhide__ = True
    schedule = Schedule.parse(text)
    lines, outcome = run_lines(build, schedule)
    print("\n".join(lines))
    if outcome.kind == "loop":
        raise Broken("the loop came back to where it began, so it can go round for ever")
    if outcome.kind not in ("done", "open"):
        raise Broken(f"{outcome.kind}: {outcome.message}")


def told(build: Build, said: str, schedule: Schedule | None) -> str:
    """What is wrong, the run that shows it, and the command that replays it."""
    if schedule is None:
        return said
    lines, _ = run_lines(build, schedule)
    if len(lines) > LINES:
        lines = [*lines[:LINES], f"... {len(lines) - LINES} more"]
    test = os.environ.get("PYTEST_CURRENT_TEST", "").rpartition(" ")[0]
    again = f"\n\nreplay: pytest '{test}' --kmodel-replay '{schedule}'" if test else ""
    return "\n".join([said, "", *lines]) + again


def run_lines(build: Build, schedule: Schedule) -> tuple[list[str], Any]:
    """The run, step by step, and its outcome."""
    lines: list[str] = []
    with World() as world:
        build(world)
    names = [task.name for task in world.tasks]
    width = max(map(len, names))

    def hear(step: int, task: int, cause: int | None, event: str, fields: dict[str, Any]) -> int:
        if schedule.loop and step == len(schedule.steps) and f"{'':>6}loop:" not in lines:
            lines.append(f"{'':>6}loop:")
        said = {key: getattr(value, "name", value) for key, value in fields.items()}
        told = " ".join(f"{key}={value}" for key, value in said.items() if value is not None)
        lines.append(f"{step:6} {names[task]:{width}} {event} {told}".rstrip())
        return len(lines)

    outcome = replay(build, schedule, hear)
    return lines, outcome
