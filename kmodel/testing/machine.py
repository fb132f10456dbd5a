"""State machines whose rules run at once: Hypothesis makes up the workload, a search the
schedule.

A rule only notes an operation for a CPU. When the example ends, the explorer runs the
operations in every order (or with few preemptions) on fresh objects, and holds them
against a sequential specification. What Hypothesis then shrinks is the workload; the
schedule of a counterexample has the fewest preemptions already.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import lru_cache, partial, wraps
from operator import itemgetter
from typing import Any, ClassVar, Final

from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.control import should_note
from hypothesis.stateful import RuleBasedStateMachine, rule

from kmodel.explore.linear import Linear, Plain
from kmodel.explore.result import Result, search
from kmodel.testing.chosen import CHOSEN, sampled
from kmodel.testing.failed import Broken, Undecided, again_line, told, told_apart, wrong
from kmodel.testing.smaller import Operation, smallest
from kmodel.world import World

MARK: Final = "_concurrent"
NO_REPLAY: Final = (
    "--kmodel-replay is for a test made with kmodel.check. This is a state machine, whose workload "
    "Hypothesis makes up: call it without the option, and Hypothesis tries what failed first"
)


def concurrent(*bare: Any, **arguments: st.SearchStrategy[Any]) -> Callable[[Any], Any]:
    """Mark an ``async`` static method as an operation that some CPU performs. It gets the
    object that ``make`` made and the drawn arguments: whole numbers, strings, truth values,
    tuples. (Static, because CPUs may share nothing but what ``make`` makes.) Raises
    ``TypeError`` for what is no such method, or arguments that are not its own."""
    if bare:
        raise TypeError("write @concurrent(), with parentheses and the arguments to draw by name")

    def mark(method: Any) -> Any:
        function = getattr(method, "__func__", method)
        if not isinstance(method, staticmethod) or not inspect.iscoroutinefunction(function):
            raise TypeError(
                f"{function.__name__} is marked @concurrent: write it as @staticmethod async def"
            )
        _refuse_arguments(function, arguments)
        setattr(function, MARK, arguments)
        return function

    return mark


def _refuse_arguments(function: Any, arguments: dict[str, Any]) -> None:
    """Raise ``TypeError`` for arguments to draw that ``function`` does not take, or does
    take and nobody draws."""
    takes = list(inspect.signature(function).parameters.values())[1:]
    names = [one.name for one in takes if one.kind not in (one.VAR_KEYWORD, one.VAR_POSITIONAL)]
    wrong = [f"{name} is no strategy" for name, drawn in arguments.items() if not _draws(drawn)]
    if len(names) == len(takes):
        wrong += [f"it takes no {name!r}" for name in arguments if name not in names]
    needed = [one.name for one in takes if one.default is one.empty and one.name in names]
    wrong += [f"nothing draws its {name!r}" for name in needed if name not in arguments]
    if "cpu" in arguments:
        wrong.append("'cpu' is drawn for every operation: give yours another name")
    if wrong:
        raise TypeError(f"@concurrent {function.__name__}: {'; '.join(wrong)}")


def _draws(thing: Any) -> bool:
    return isinstance(thing, st.SearchStrategy)


class ConcurrentStateMachine(RuleBasedStateMachine):
    """Derive from it, and write ``make``, ``@concurrent`` operations, and what must hold.

    ``make()`` makes the shared objects, afresh for each run. ``initial`` and ``specify``
    are the sequential specification (none: only ``always``, ``finally_`` and that all can
    end are judged). ``cpus`` and ``most`` bound the workload, ``preemptions`` the schedules
    (``None``: all), ``seconds`` (``None``: as ``--kmodel-profile`` says) and ``states`` each
    search. ``--kmodel-runs`` samples the schedules of each workload instead.
    """

    cpus: ClassVar[int] = 2
    most: ClassVar[int] = 6
    preemptions: ClassVar[int | None] = 2
    seconds: ClassVar[float | None] = None
    states: ClassVar[int] = 100_000
    initial: ClassVar[Plain] = None

    def make(self) -> Any:
        """The shared object, or objects, that the operations work on."""
        raise NotImplementedError(f"{type(self).__name__} needs a method make()")

    specify: Callable[[Plain, str, tuple[Plain, ...]], tuple[Plain, Plain] | None] | None = None
    """``specify(state, name, args)``, static: the state after one operation and its result, or
    ``None`` where it has to wait."""

    state: Callable[[Any], Plain] | None = None
    """``state(thing)``, static: the specification's state that the object is in. At the end it
    must be one that some order of the operations gives."""

    def always(self, thing: Any) -> str | None:
        """What is wrong with the present state, if anything."""

    def finally_(self, thing: Any) -> str | None:
        """The same when all operations are done."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name, function in list(vars(cls).items()):
            arguments = getattr(function, MARK, None)
            if arguments is not None:
                cls._operations = {**cls._operations, name: function}
            elif name in cls._operations:
                cls._operations = {key: one for key, one in cls._operations.items() if key != name}
            if arguments is None and inspect.iscoroutinefunction(_bare(function)):
                raise TypeError(
                    f"{cls.__name__}.{name} is async and not @concurrent: Hypothesis would never "
                    "await it. Mark it with @concurrent(...), or write it without async"
                )
        for name, function in cls._operations.items():
            # inherited ones too: this class may have other cpus
            setattr(cls, name, _queueing(name, getattr(function, MARK), cls.cpus))

    @classmethod
    @lru_cache
    def _to_test_case(cls) -> Any:
        """Whatever its settings: without Hypothesis' guesses at which lines explain a failure,
        which would be the explorer's, and without its deadline of an example, which is a
        search here."""
        made: Any = super()._to_test_case()
        plain = made.runTest

        @wraps(plain)
        def run_test(self: Any) -> None:
            __tracebackhide__ = True
            phases = [phase for phase in self.settings.phases if phase is not Phase.explain]
            self.settings = settings(self.settings, phases=phases, deadline=None)
            plain(self)

        made.runTest = run_test
        return made

    _operations: ClassVar[dict[str, Any]] = {}

    def __init__(self) -> None:
        super().__init__()
        self.workload: list[Operation] = []

    def queue(self, cpu: int, name: str, arguments: dict[str, Any]) -> None:
        """Note that ``cpu`` performs one more operation."""
        if len(self.workload) < self.most:
            self.workload.append((cpu, name, arguments))

    def teardown(self) -> None:
        """Run the workload in every order. Raises ``Broken``, ``Undecided`` or ``Wrong``."""
        if not self.workload:
            return
        __tracebackhide__ = True
        if CHOSEN.replay is not None:
            raise Undecided(NO_REPLAY)

        def judge() -> None:
            __tracebackhide__ = True
            self.judge(self.searched(self.workload))

        told_apart(judge)

    def searched(self, workload: list[Operation]) -> Result:
        """What the schedules of ``workload``, or as many as are to be sampled, show."""
        build, seconds = partial(self.build, workload=workload), self.seconds or CHOSEN.seconds
        if CHOSEN.runs is not None:
            return sampled(build, CHOSEN.runs, CHOSEN.seed)
        limits: dict[str, Any] = {"seconds": seconds, "states": self.states}
        return search(build, preemptions=self.preemptions, **limits)

    def judge(self, result: Result) -> None:
        __tracebackhide__ = True
        if result.verdict == "violated":
            raise Broken(self.told(result) if should_note() else str(result))
        if result.kind == "scenario-error":
            raise wrong("scenario-error", result.message)
        if result.verdict == "inconclusive" and not result.within:
            raise Undecided(str(result))

    def told(self, result: Result) -> str:
        """Of the workload that Hypothesis shows: the smallest that breaks so, and its run."""
        workload = smallest(self.workload, result, self.searched)
        if workload != self.workload:
            result = self.searched(workload)
        queued = [
            f"cpu{at}: {name}({', '.join(f'{key}={value!r}' for key, value in args.items())})"
            for at, name, args in sorted(workload, key=itemgetter(0))
        ]
        said = "\n".join([str(result), "", f"{len(workload)} operations are enough:", *queued])
        build = partial(self.build, workload=workload)
        shown = told(build, said, result.schedule, result.kind, again=False)
        return shown + again_line()

    def build(self, world: World, workload: list[Operation]) -> None:
        """``workload`` on fresh objects."""
        thing, specify = self.make(), self.specify
        linear = Linear(type(self).__name__, specify, self.initial) if specify else None
        for cpu in sorted({cpu for cpu, _, _ in workload}):
            mine = tuple(
                (name, tuple(args.values()), partial(self._operations[name], thing, **args))
                for at, name, args in workload
                if at == cpu
            )
            world.task(f"cpu{cpu}", _perform, linear, mine)
        world.check("always", lambda: self.always(thing))
        world.check("finally", lambda: self.finally_(thing), when="end")
        if linear is not None:
            world.rests = linear.rests
            if self.state is not None:
                world.check(
                    "final state", partial(_explained, linear, self.state, thing), when="end"
                )


def _explained(linear: Linear, state: Callable[[Any], Plain], thing: Any) -> str | None:
    now, could = state(thing), linear.states()
    if now in could:
        return None
    return f"the end is {now!r}, and orders of the operations give {' or '.join(map(repr, could))}"


async def _perform(
    linear: Linear | None, mine: tuple[tuple[str, tuple[Plain, ...], Any], ...]
) -> None:
    """What one CPU does. It sees no state machine, which all CPUs would share unseen."""
    for name, args, body in mine:
        if linear is None:
            await body()
        else:
            await linear.do(name, args, body)


def _bare(function: Any) -> Any:
    """The function that Hypothesis wrapped for a rule or an invariant, or what was given."""
    return inspect.unwrap(function) if callable(function) else function


def _queueing(name: str, arguments: dict[str, st.SearchStrategy[Any]], cpus: int) -> Any:
    """The rule that notes the operation."""

    def note_down(self: ConcurrentStateMachine, cpu: int, **given: Any) -> None:
        self.queue(cpu, name, given)

    note_down.__name__ = name
    drawn: dict[str, Any] = {"cpu": st.integers(0, cpus - 1), **arguments}
    wrap: Any = rule(**drawn)
    return wrap(note_down)
