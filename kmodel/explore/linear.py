"""Linearizability, judged while a run goes on.

An object is linearizable if each operation seems to take effect at one moment between
its call and its return (Herlihy and Wing 1990). Beside the object a ``Linear`` keeps
every way in which the operations so far can have taken effect: a *guess* is a state
of the sequential specification, and the operations that are under way, done or not in
that guess. A return keeps those guesses that explain its result, letting operations
take effect no earlier than needed (Wing and Gong 1993; Lowe, "Testing for
linearizability", 2017). When none is left no order explains what was seen.

The guesses are part of the state and of no history: a search over all schedules judges
all histories.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any, Final

from kmodel.event import say
from kmodel.panic import Panic
from kmodel.point import Task, curtask, operation
from kmodel.shared import Hidden, shared
from kmodel.world import ScenarioError

Plain = Any
"""Whole numbers, strings, truth values, ``None``, and tuples of those."""
Effect = tuple[Plain, Plain] | None
"""The state after an operation and its result; ``None`` if it has to wait."""
Specification = Callable[[Plain, str, tuple[Plain, ...]], Effect | list[Effect]]
"""What one operation does alone, from (state, name, arguments); a list where it is free to do
one of several things (a try that may fail, an allocation that may have to wait)."""
Pending = tuple[int, str, tuple[Plain, ...], bool, Plain]
"""Task (or part of its operation), name, arguments; has it taken effect, and with which
result?"""
Guess = tuple[Plain, tuple[Pending, ...]]

ANY: Final = ("any result",)
"""The specified result of a part that says nothing of what the whole returns."""
KIND: Final = "not-linearizable"
PART: Final = 1_000
"""From one part of an operation to the next; there are never so many tasks."""
MOST: Final = 2_000
"""Guesses at once; a test with more operations under way at once is too large."""


@shared
class Linear:
    """The operations on one object, held against its sequential specification."""

    name: Final[str]
    specification: Final[Specification]
    guesses: Hidden[tuple[Guess, ...]]

    def __init__(self, name: str, specification: Specification, initial: Plain) -> None:
        self.name, self.specification = name, specification
        self.guesses = ((_plain(initial, "the initial state"), ()),)

    async def do(
        self,
        what: str,
        args: tuple[Plain, ...],
        body: Callable[[], Awaitable[Plain]],
        parts: Sequence[tuple[Plain, ...]] = (),
    ) -> Plain:
        """Perform an operation: ``body()``, which the specification knows as ``what`` with
        ``args``. One that is none but several, each at a moment of its own and in any order,
        gives the arguments of its ``parts``, which have the same result, or ``ANY``. Panics (kind
        ``not-linearizable``) if nothing explains the result."""
        await self._call(curtask(), what, args)
        task = curtask().index
        mine = [(task + PART * n, part) for n, part in enumerate(parts or (args,))]
        begun = tuple((number, what, part, False, None) for number, part in mine)
        self.guesses = tuple((state, (*pending, *begun)) for state, pending in self.guesses)
        result = _plain(await body(), f"the result of {what}")
        say("op.return", obj=self.name, what=what, args=repr(args), result=repr(result))
        for number, part in mine:
            self._returned(number, what, part, result)
        return result

    @operation(event="op.call")
    def _call(self, task: Task, what: str, args: tuple[Plain, ...]) -> None:
        """A point of its own: what comes before a call and after it is told apart."""

    def _returned(self, task: int, what: str, args: tuple[Plain, ...], result: Plain) -> None:
        kept = {
            (state, tuple(one for one in pending if one[0] != task))
            for guess in self.guesses
            for state, pending in self._done_in(guess, task)
            if _of(pending, task)[4] == ANY or _same(_of(pending, task)[4], result)
        }
        if not kept:
            raise Panic(
                f"{curtask()}'s {_called(what, args)} on {self.name} returned {result!r}, and no "
                f"order of the operations gives that (in any: {self._expected(task)})",
                kind=KIND,
                culprits=(curtask().name, self.name),
            )
        if len(kept) > MOST:
            raise ScenarioError(f"more than {MOST} ways to explain {self.name}: use fewer CPUs")
        self.guesses = tuple(sorted(kept, key=repr))

    def _done_in(self, guess: Guess, task: int) -> Iterator[Guess]:
        """The guesses that ``guess`` becomes when ``task``'s operation takes effect, and
        before it any of the others."""
        todo, seen = [guess], {guess}
        while todo:
            here = todo.pop()
            if _of(here[1], task)[3]:
                yield here
                continue
            for number in range(len(here[1])):
                for after in self._after(here, number):
                    if after not in seen:
                        seen.add(after)
                        todo.append(after)

    def _after(self, guess: Guess, number: int) -> Iterator[Guess]:
        """What ``guess`` can become when its pending operation of that number takes effect."""
        state, pending = guess
        task, what, args, done, _ = pending[number]
        for effect in () if done else self._effects(state, what, args):
            if effect is not None:
                after, result = effect
                now = (task, what, args, True, result)
                yield after, (*pending[:number], now, *pending[number + 1 :])

    def _effects(self, state: Plain, what: str, args: tuple[Plain, ...]) -> list[Effect]:
        """What the specification lets the operation do."""
        try:
            said = self.specification(state, what, args)
            found = [
                one if one is None else self._checked(what, *one)
                for one in (said if isinstance(said, list) else [said])
            ]
        except (Panic, ScenarioError):
            raise
        except Exception as error:
            raise ScenarioError(
                f"the specification of {self.name} raised {type(error).__name__} on "
                f"{_called(what, args)} in state {state!r}: {error}; it must return the state "
                "after and the result, or None"
            ) from error
        return found

    def _checked(self, what: str, after: Plain, result: Plain) -> Effect:
        return _plain(after, f"the state after {what}"), _plain(
            result, f"the specified result of {what}"
        )

    def _expected(self, task: int) -> str:
        could = {
            repr(_of(pending, task)[4])
            for guess in self.guesses
            for _, pending in self._done_in(guess, task)
        }
        return ", ".join(sorted(could)) or "it cannot return at all"

    def rests(self) -> bool:
        """May everything that is under way wait for ever? So it is if in some guess the
        specification lets none of it take effect, or lets it wait."""
        return any(map(self._all_wait, self.guesses))

    def _all_wait(self, guess: Guess) -> bool:
        return all(
            not done and None in self._effects(guess[0], what, args)
            for _, what, args, done, _ in guess[1]
        )

    def states(self) -> tuple[Plain, ...]:
        """The states of the specification that explain all operations that have returned;
        asked when none is under way."""
        return tuple(dict.fromkeys(state for state, pending in self.guesses if not pending))


def _of(pending: tuple[Pending, ...], task: int) -> Pending:
    return next(one for one in pending if one[0] == task)


def _same(one: Plain, other: Plain) -> bool:
    """``1`` is not ``True``."""
    return one == other and repr(one) == repr(other)


def _called(what: str, args: tuple[Plain, ...]) -> str:
    return f"{what}({', '.join(map(repr, args))})"


def _plain(value: Any, what: str) -> Plain:
    if isinstance(value, tuple):
        return tuple(_plain(one, what) for one in value)
    if value is None or type(value) in (int, bool, str):
        return value
    raise ScenarioError(
        f"{what} is {value!r}, of type {type(value).__name__}: a specification works on whole "
        "numbers, strings, truth values, None, and tuples of those"
    )
