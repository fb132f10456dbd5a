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
from functools import lru_cache, partial
from operator import itemgetter
from typing import Any, ClassVar, Final

from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.control import should_note
from hypothesis.stateful import RuleBasedStateMachine, rule

from kmodel.explore.linear import Linear, Plain
from kmodel.explore.result import Result, search
from kmodel.testing.failed import Broken, Undecided, told, told_apart, wrong
from kmodel.testing.smaller import Operation, smallest
from kmodel.world import World

MARK: Final = "_concurrent"


def concurrent(**arguments: st.SearchStrategy[Any]) -> Callable[[Any], Any]:
    """Mark an ``async`` static method as an operation that some CPU performs. It gets the
    object that ``make`` made and the drawn arguments: whole numbers, strings, truth values,
    tuples. (Static, because CPUs may share nothing but what ``make`` makes.)"""

    def mark(method: Any) -> Any:
        function = getattr(method, "__func__", method)
        if not isinstance(method, staticmethod) or not inspect.iscoroutinefunction(function):
            raise TypeError(
                f"{function.__name__} is marked @concurrent: write it as @staticmethod async def"
            )
        setattr(function, MARK, arguments)
        return function

    return mark


class ConcurrentStateMachine(RuleBasedStateMachine):
    """Derive from it, and write ``make``, ``@concurrent`` operations, and what must hold.

    ``make()`` makes the shared objects, afresh for each run. ``initial`` and ``specify``
    are the sequential specification (none: only ``always``, ``finally_`` and that all can
    end are judged). ``cpus`` and ``most`` bound the workload, ``preemptions`` the schedules
    (``None``: all), ``seconds`` and ``states`` each search.
    """

    cpus: ClassVar[int] = 2
    most: ClassVar[int] = 6
    preemptions: ClassVar[int | None] = 2
    seconds: ClassVar[float] = 10.0
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
                setattr(cls, name, _queueing(name, arguments, cls.cpus))
            elif inspect.iscoroutinefunction(_bare(function)):
                raise TypeError(
                    f"{cls.__name__}.{name} is async and not @concurrent: Hypothesis would never "
                    "await it. Mark it with @concurrent(...), or write it without async"
                )

    @classmethod
    @lru_cache
    def _to_test_case(cls) -> Any:
        """Without Hypothesis' guesses at which lines explain a failure: they would be the
        explorer's."""
        made: Any = super()._to_test_case()
        phases = [phase for phase in made.settings.phases if phase is not Phase.explain]
        made.settings = settings(made.settings, phases=phases)
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

        def judge() -> None:
            __tracebackhide__ = True
            self.judge(self.searched(self.workload))

        told_apart(judge)

    def searched(self, workload: list[Operation]) -> Result:
        """What the schedules of ``workload`` show."""
        return search(
            partial(self.build, workload=workload),
            preemptions=self.preemptions,
            seconds=self.seconds,
            states=self.states,
        )

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
        return told(build, said, result.schedule, result.kind, again=False)

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
    """The function of a rule or an invariant of Hypothesis, or what was given."""
    for kind in ("rule", "invariants", "initialize_rule"):
        marked = getattr(function, f"hypothesis_stateful_{kind}", None)
        if marked:
            return (marked[0] if isinstance(marked, list) else marked).function
    return function


def _queueing(name: str, arguments: dict[str, st.SearchStrategy[Any]], cpus: int) -> Any:
    """The rule that notes the operation."""

    def note_down(self: ConcurrentStateMachine, cpu: int, **given: Any) -> None:
        self.queue(cpu, name, given)

    note_down.__name__ = name
    drawn: dict[str, Any] = {"cpu": st.integers(0, cpus - 1), **arguments}
    wrap: Any = rule(**drawn)
    return wrap(note_down)
