"""State machines whose rules run at once: Hypothesis makes up the workload, a search the
schedule.

A rule only notes an operation for a CPU. When the example ends, the explorer runs the
operations in every order (or with few preemptions) on fresh objects, and holds them
against a sequential specification. What Hypothesis then shrinks is the workload; the
schedule of a counterexample has the fewest preemptions already.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from functools import lru_cache, partial, wraps
from operator import itemgetter
from types import NoneType
from typing import Any, ClassVar, Final, NoReturn

from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.control import should_note
from hypothesis.stateful import RuleBasedStateMachine, rule

from kmodel.explore.linear import Linear, Plain
from kmodel.explore.result import Result
from kmodel.testing.checked import again
from kmodel.testing.chosen import A_SAMPLE, CHOSEN, sampled, searched
from kmodel.testing.failed import Broken, GivenUp, Undecided, Wrong, told, told_apart, wrong
from kmodel.testing.limits import above_zero, at_least
from kmodel.testing.smaller import Operation, smallest
from kmodel.testing.written import read, written
from kmodel.world import ScenarioError, World

MARK: Final = "_concurrent"
HYPOTHESIS: Final = "_observability_predicates"
"""What Hypothesis adds to a machine that runs."""
INVARIANT: Final = "hypothesis_stateful_invariant"
"""What Hypothesis calls its mark of one."""
SEQUENTIAL: Final = ("specify", "state")
"""What is static, as tasks run it: they may share nothing with the machine."""


NO_WORKLOAD: Final = (
    "a state machine is replayed with its workload, which stands before the schedule: give all "
    "that its failure says after --kmodel-replay, or leave the option out, and Hypothesis tries "
    "what failed first"
)

LESS: Final = (
    "The search was too large. Give the machine less to do (most, cpus, preemptions = 1), or more "
    "time (seconds, states, --kmodel-profile night), or sample: --kmodel-runs 1000."
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
        raise ScenarioError(f"{type(self).__name__} needs a method make(), which makes the objects")

    specify: Callable[[Plain, str, tuple[Plain, ...]], tuple[Plain, Plain] | None] | None = None
    """``specify(state, name, args)``, static: the state after one operation and its result, or
    ``None`` where it has to wait."""

    state: Callable[[Any], Plain] | None = None
    """``state(thing)``, static: the specification's state that the object is in. At the end it
    must be one that some order of the operations gives."""

    def always(self, thing: Any) -> str | None:
        """What is wrong with the present state, if anything; it may also assert."""

    def finally_(self, thing: Any) -> str | None:
        """The same when all operations are done."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        _refuse_limits(cls)
        for name in SEQUENTIAL:
            if not isinstance(vars(cls).get(name), (staticmethod, NoneType)):
                raise TypeError(
                    f"{cls.__name__}.{name} is not static: write @staticmethod above it, and no "
                    "'self', as CPUs may share nothing but what make() makes"
                )
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
            if hasattr(function, INVARIANT):
                raise TypeError(
                    f"{cls.__name__}.{name} is an @invariant of Hypothesis, which is asked while "
                    "operations are only queued: write always(self, thing), which is asked in "
                    "every state"
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
            if CHOSEN.replay is not None:
                try:
                    cls.replayed(CHOSEN.replay)
                except (AssertionError, ScenarioError) as error:
                    _failed(error)
                return
            phases = [phase for phase in self.settings.phases if phase is not Phase.explain]
            self.settings = settings(self.settings, phases=phases, deadline=None)
            cls._broken = False
            try:
                plain(self)
            except GivenUp as stop:
                _failed(stop.why, stop.cause)
            finally:
                cls._broken = None

        made.runTest = run_test
        return made

    _broken: ClassVar[bool | None] = None
    """While a ``TestCase`` runs: has an example shown a bug? Hypothesis then makes that smaller."""
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
        __tracebackhide__ = True
        if CHOSEN.replay is not None:
            self.replayed(CHOSEN.replay)
            return
        if not self.workload:
            return

        def judge() -> None:
            __tracebackhide__ = True
            self.judge(self.searched(self.workload))

        try:
            told_apart(judge)
        except Wrong as error:
            if type(self)._broken is not False:
                raise
            said = "\n".join([str(error), "", *_listed(self.workload)])
            raise GivenUp(Wrong(said), error.__cause__) from None

    @classmethod
    def play(cls, world: World, workload: Iterable[Operation]) -> None:
        """Put ``workload`` on ``world``, afresh: (CPU, name of the operation, its arguments by
        name) each. For a test made with ``kmodel.check``, which searches its schedules.

        Raises ``ScenarioError`` for what is no operation of this machine."""
        queued = [(cpu, name, dict(args)) for cpu, name, args in workload]
        for _, name, args in queued:
            drawn = getattr(cls._operations.get(name), MARK, None)
            if drawn is None or drawn.keys() != args.keys():
                said = ", ".join(f"{key}={value!r}" for key, value in args.items())
                raise ScenarioError(f"{cls.__name__} has no operation {name}({said})")
        cls().build(world, queued)

    @classmethod
    def replayed(cls, text: str) -> None:
        """Run one schedule of one workload again, as ``--kmodel-replay`` gives them. Raises what
        a failing run raises."""
        __tracebackhide__ = True
        before, _, schedule = text.rpartition(" ")
        if not before:
            raise Undecided(NO_WORKLOAD)

        def judge() -> None:
            __tracebackhide__ = True
            workload = read(before)
            again(partial(cls.play, workload=workload), schedule, lambda: cls().searched(workload))

        told_apart(judge)

    def searched(self, workload: list[Operation]) -> Result:
        """What the schedules of ``workload``, or as many as are to be sampled, show."""
        build, seconds = partial(self.build, workload=workload), self.seconds or CHOSEN.seconds
        if CHOSEN.runs is not None:
            return sampled(build, CHOSEN.runs, CHOSEN.seed)
        limits: dict[str, Any] = {"seconds": seconds, "states": self.states}
        found = searched(build, preemptions=self.preemptions, **limits)
        if found.verdict == "inconclusive" and found.kind is None and not found.within:
            some = sampled(build, A_SAMPLE, CHOSEN.seed)
            return some if some.verdict == "violated" else found
        return found

    def judge(self, result: Result) -> None:
        __tracebackhide__ = True
        cls = type(self)
        if result.verdict == "violated":
            cls._broken = None if cls._broken is None else True
            raise Broken(self.told(result) if should_note() else str(result))
        if result.kind == "scenario-error":
            raise wrong("scenario-error", result.message)
        if result.verdict == "inconclusive" and not result.within and not cls._broken:
            advice = ["", LESS] if CHOSEN.runs is None else []
            undecided = Undecided("\n".join([str(result), "", *_listed(self.workload), *advice]))
            raise undecided if cls._broken is None else GivenUp(undecided)

    def told(self, result: Result) -> str:
        """Of the workload that Hypothesis shows: the smallest that breaks so, and its run."""
        workload = smallest(self.workload, result, self.searched)
        if workload != self.workload:
            result = self.searched(workload)
        workload = sorted(workload, key=itemgetter(0))  # each CPU's operations in their order
        many = f"{len(workload)} operation{' is' if len(workload) == 1 else 's are'} enough:"
        said = "\n".join([str(result), "", many, *_listed(workload)])
        build, word = partial(self.build, workload=workload), written(workload)
        more = vars(self).keys() - vars(type(self)()).keys() - {HYPOTHESIS}
        if word is None or more:  # what other rules left in it is Hypothesis' to make again
            return told(build, said, result.schedule, result.kind, None)
        paste = self._to_paste(workload)
        return told(build, said, result.schedule, result.kind, f"{word} ") + paste

    def _to_paste(self, workload: list[Operation]) -> str:
        """A test of nothing but ``workload``, which needs no Hypothesis."""
        name, bound = type(self).__name__, self.preemptions
        return "\n".join(
            [
                "\n\nas a test of its own:",
                "import kmodel",
                "",
                "",
                f"@kmodel.check{'' if bound is None else f'(preemptions={bound})'}",
                f"def test_{name.lower()}_again(world: kmodel.World) -> None:",
                f"    workload = {workload!r}",
                f"    {name}.play(world, workload)",
            ]
        )

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


def _failed(why: Exception, cause: BaseException | None = None) -> NoReturn:
    """Not hidden: where no frame is pytest's to show, it shows those of unittest."""
    raise why from cause


def _listed(workload: list[Operation]) -> list[str]:
    """For people, a line each, in the order of the CPUs."""
    return [
        f"cpu{at}: {name}({', '.join(f'{key}={value!r}' for key, value in args.items())})"
        for at, name, args in sorted(workload, key=itemgetter(0))
    ]


async def _perform(
    linear: Linear | None, mine: tuple[tuple[str, tuple[Plain, ...], Any], ...]
) -> None:
    """What one CPU does. It sees no state machine, which all CPUs would share unseen."""
    for name, args, body in mine:
        if linear is None:
            await body()
        else:
            await linear.do(name, args, body)


def _refuse_limits(cls: type[ConcurrentStateMachine]) -> None:
    """Raise ``ValueError`` for bounds that are none."""
    at_least(cls.__name__, cpus=(cls.cpus, 1), most=(cls.most, 1))
    at_least(cls.__name__, preemptions=(cls.preemptions, 0), states=(cls.states, 1))
    above_zero(cls.__name__, seconds=cls.seconds)


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
