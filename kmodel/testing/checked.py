"""``check``: a story becomes an ordinary pytest test that explores its schedules.

The decorated function builds the story afresh each time it is called: it puts tasks on a
``World`` or a ``Machine`` (its first parameter), or takes neither and returns coroutines, one a
CPU. Its other parameters are fixtures. A failure ends with the line that replays it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine, Iterable, Mapping
from functools import partial, wraps
from typing import Any, Final, get_type_hints

import attrs

from kmodel import fixes
from kmodel.explore.absent import LEFT_OUT
from kmodel.explore.recipe import NAMES
from kmodel.explore.result import Build, Result, Sample, Schedule, race_in, sample
from kmodel.explore.severity import severity
from kmodel.explore.tree import Divergence
from kmodel.machine import Machine
from kmodel.param import KernelParams
from kmodel.settings import UsageError, did_you_mean, structure
from kmodel.story import Parameter
from kmodel.testing.chosen import A_LOOK, A_SAMPLE, CHOSEN, searched
from kmodel.testing.failed import Broken, Undecided, run_lines, told, told_apart, wrong
from kmodel.testing.limits import above_zero, at_least
from kmodel.world import ScenarioError, World

Function = Callable[..., Any]
CHECK: Final = "kmodel.check"
BARE: Final = ("world", "w")
BOOTED: Final = ("machine", "m")
"""What a first parameter without an annotation is called."""
MORE: Final = (
    "Give it more: seconds=..., states=...; or less to do: preemptions=2, or runs=1000 to sample."
)


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

    Raises ``TypeError`` for a function that can be no test, ``ValueError`` for limits that
    are none.
    """
    above_zero(CHECK, seconds=seconds)
    at_least(CHECK, preemptions=(preemptions, 0), delays=(delays, 0))
    at_least(CHECK, runs=(runs, 1), states=(states, 1))
    if None not in (preemptions, delays):
        raise ValueError(f"{CHECK}: give preemptions or delays, not both")
    if strategy not in NAMES:
        raise ValueError(f"{CHECK}: strategy must be one of {', '.join(NAMES)}: {strategy!r}")

    def decorate(function: Function) -> Function:
        if isinstance(function, (staticmethod, classmethod)):
            return type(function)(decorate(function.__func__))
        _refuse(function)

        def test(owner: tuple[Any, ...], given: dict[str, Any]) -> None:
            __tracebackhide__ = True
            bound = function.__get__(owner[0]) if owner else function
            taken = CHOSEN.runs or runs
            limits: dict[str, Any] = {"preemptions": preemptions, "delays": delays}
            limits |= {"states": states, "seconds": seconds or CHOSEN.seconds}

            def judge() -> None:
                __tracebackhide__ = True
                build = _builder(bound, given, fix, dict(params or {}))
                whole = partial(searched, build, **limits)
                if CHOSEN.replay is not None:
                    again(build, CHOSEN.replay, whole)
                elif taken is not None:
                    look = searched(build, states=A_LOOK)
                    chosen: dict[str, Any] = {"strategy": strategy, "seed": CHOSEN.seed}
                    _judge_sample(build, sample(build, runs=taken, races=True, **chosen))
                    _judge(build, look, whole=False)
                else:
                    _judge(build, whole())

            told_apart(judge)

        return _as_test(function, test)

    return decorate(function) if function is not None else decorate


def _refuse(function: Function) -> None:
    """Raise ``TypeError`` for what looks like a test of a story and is none."""
    name = getattr(function, "__name__", repr(function))
    if not inspect.isroutine(function):
        raise TypeError(f"kmodel.check makes tests of functions, and {name} is none")
    if getattr(function, "is_hypothesis_test", False):
        raise TypeError(
            f"{name}: write @given above @kmodel.check, so that each example is a story of its own"
        )
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise TypeError(
            f"{name} yields: a story is built at one go. Return the coroutines, or put tasks on a "
            "World"
        )
    _, every = _parameters(function)
    for one in every[1:]:
        if _hint(function, one) in (World, Machine):
            raise TypeError(f"{name}: its first parameter must be '{one}', then come fixtures")


def _as_test(
    function: Function, test: Callable[[tuple[Any, ...], dict[str, Any]], None]
) -> Function:
    """With the fixtures of ``function`` as parameters; async if it is."""
    fixtures = _fixtures(function)
    owners = len(_parameters(function)[0])

    def split(args: tuple[Any, ...], named: dict[str, Any]) -> tuple[tuple[Any, ...], Any]:
        """``self``, if there is one, and the fixtures; Hypothesis gives those by position."""
        others = zip((one.name for one in fixtures[owners:]), args[owners:], strict=False)
        return args[:owners], dict(others) | named

    if inspect.iscoroutinefunction(function):

        @wraps(function)
        async def call_async(*args: Any, **named: Any) -> None:
            __tracebackhide__ = True
            test(*split(args, named))

        wrapped: Function = call_async
    else:

        @wraps(function)
        def call(*args: Any, **named: Any) -> None:
            __tracebackhide__ = True
            test(*split(args, named))

        wrapped = call
    wrapped.__signature__ = inspect.Signature(fixtures)  # type: ignore[attr-defined]
    return wrapped


def _fixtures(function: Function) -> list[inspect.Parameter]:
    owner, every = _parameters(function)
    rest = every[1:] if _takes(function) else every
    return owner + [one for one in rest if one.default is inspect.Parameter.empty]


def _parameters(function: Function) -> tuple[list[inspect.Parameter], list[inspect.Parameter]]:
    """``self`` or ``cls``, if it is a method, and the others."""
    every = list(inspect.signature(function).parameters.values())
    owner = int(bool(every) and every[0].name in ("self", "cls"))
    return every[:owner], every[owner:]


def _takes(function: Function) -> type | None:
    """``World`` or ``Machine``, if its first parameter asks for one."""
    first = next(iter(_parameters(function)[1]), None)
    if first is None:
        return None
    hint = _hint(function, first)
    if hint is World or hint is Machine:
        return World if hint is World else Machine
    if hint is None and first.name in BARE:
        return World
    return Machine if hint is None and first.name in BOOTED else None


def _hint(function: Function, one: inspect.Parameter) -> Any:
    """The type it is annotated with; by its bare name where others are for type checkers only."""
    if one.annotation is one.empty:
        return None
    try:
        return get_type_hints(function).get(one.name)
    except NameError:
        named = str(one.annotation).rpartition(".")[2]
        return {"World": World, "Machine": Machine}.get(named, one.annotation)


def _builder(function: Function, given: dict[str, Any], fix: str, params: dict[str, Any]) -> Build:
    taken = _takes(function)
    kernel = _kernel(function, taken, fix, params)
    for one in inspect.signature(function).parameters.values():
        if isinstance(one.default, Parameter):
            given = {one.name: one.default.default, **given}

    def build(world: World) -> None:
        if taken is Machine:
            machine = Machine(kernel, fixes.load(fix), world)
            _refuse_unused(function, _built(function, (machine,), given))
            machine.finish()
            return
        made = _built(function, (world,) if taken else (), given)
        if taken is None:
            _put(world, function, made)
        else:
            _refuse_unused(function, made)

    return build


def _refuse_unused(function: Function, made: Any) -> None:
    """Coroutines that nobody would run."""
    if made is None:
        return
    several = made.values() if isinstance(made, Mapping) else made
    for one in several if isinstance(several, Iterable) else [made]:
        if isinstance(one, Coroutine):
            one.close()  # nobody is to be told that it was never awaited
    raise ScenarioError(
        f"{function.__name__} takes a World or a Machine and returned {type(made).__name__}: put "
        "all tasks on the one it takes and return nothing, or take none and return coroutines"
    )


def _kernel(
    function: Function, taken: type | None, fix: str, params: dict[str, Any]
) -> KernelParams:
    """What ``params`` say of the machine. ``ScenarioError`` for what there is not."""
    if params and taken is not Machine:
        raise ScenarioError(
            f"params= is for a function that takes a Machine, and {function.__name__} takes none: "
            "write 'machine: Machine' first"
        )
    if fix not in fixes.names():
        raise ScenarioError(f"no fix {fix!r}.{did_you_mean(fix, fixes.names())}")
    try:
        return structure(_Nothing, params)[1]
    except UsageError as error:
        raise ScenarioError(str(error)) from None


@attrs.define
class _Nothing:
    """A test has no parameters of its own here: those are fixtures."""


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
    try:
        for name, coroutine in made.items():
            if not isinstance(coroutine, Coroutine):
                raise ScenarioError(
                    f"{function.__name__} returned {coroutine!r} for {name}, which is no "
                    "coroutine: call the async function, without await"
                )
            world.task(str(name), coroutine)
    finally:
        for coroutine in made.values():
            if isinstance(coroutine, Coroutine):
                coroutine.close()  # nobody is to be told that it was never awaited


def _letter(number: int) -> str:
    return chr(ord("A") + number) if number < 26 else f"T{number}"


def _judge(build: Build, result: Result, whole: bool = True) -> None:
    """Fail as ``result`` says. Not ``whole``: it is a look, and what it leaves out is to be
    sampled."""
    __tracebackhide__ = True
    if result.verdict == "violated":
        raise Broken(told(build, str(result), result.schedule, result.kind))
    if result.kind == "scenario-error":
        raise wrong("scenario-error", result.message)
    if whole and result.verdict == "inconclusive" and not result.within:
        if result.kind is None:
            _judge_sample(build, sample(build, runs=A_SAMPLE, races=True), whole=False)
        more = "" if result.kind else f"\n\n{MORE}"
        raise Undecided(f"{result}{more}")


def _judge_sample(build: Build, taken: Sample, whole: bool = True) -> None:
    """Fail as a run did. Not ``whole``: where none did it is somebody else's to say so."""
    __tracebackhide__ = True
    for kind in sorted(taken.broken, key=severity):
        outcome, schedule = taken.broken[kind]
        if kind == "scenario-error":
            raise wrong(kind, outcome.message)
        if kind == LEFT_OUT:
            raise Undecided(outcome.message)
        raise Broken(told(build, f"{kind}: {outcome.message}", schedule, kind))
    if whole and not taken.ended.get("done"):
        raise Undecided(f"none of {taken.runs} runs came to an end: nothing was seen")


def again(build: Build, text: str, whole: Callable[[], Result] | None = None) -> None:
    """Show the run, and fail as it fails: by how it ends, by a data race in it, or, where one
    run shows nothing by itself, as the search that finds it (if there is one) says."""
    __tracebackhide__ = True
    if text.startswith("["):
        raise Undecided(f"the schedule is that of a state machine, whose test is another: {text}")
    schedule = Schedule.parse(text)
    try:
        lines, outcome = run_lines(build, schedule)
    except Divergence as error:
        raise Undecided(
            f"the schedule is not one of this test as it is now: {error}. Leave --kmodel-replay "
            "out to search for what breaks it."
        ) from None
    print("\n".join(lines))
    if outcome.kind == "scenario-error":
        raise wrong(outcome.kind, outcome.message)
    if outcome.kind not in ("done", "open", "loop"):
        raise Broken(f"{outcome.kind}: {outcome.message}")
    race = race_in(build, schedule)
    if race is not None:
        raise Broken(f"{race[0].kind}: {race[0].message}")
    for found in whole().found if whole else ():
        if found.judged and (found.stem, found.loop) == (schedule.steps, schedule.loop):
            raise Broken(f"{found.kind}: {found.message}")
    if outcome.kind == "loop":
        raise Broken("the loop came back to where it began, so it can go round for ever")
    print("this run breaks nothing; leave --kmodel-replay out to search them all")
