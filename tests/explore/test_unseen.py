"""What tasks share behind the engine's back is refused, in whatever shape it comes."""

from __future__ import annotations

import contextvars
import io
import itertools
import queue
import random
import types
from collections.abc import Callable
from typing import Any

import attrs
import pytest

from kmodel.explore import sample, search
from kmodel.point import operation, pause
from kmodel.shared import Atomic, shared
from kmodel.world import ScenarioError, World

LOG: list[int] = []


class Plain:
    """Keeps what it is told in a list of the module."""

    def note(self) -> None:
        LOG.append(1)


class Slotted:
    __slots__ = ("x",)

    def __init__(self) -> None:
        self.x = 0


@attrs.define
class Open:
    x: int = 0


class Klass:
    x = 0


@shared
class Noted:
    value: Atomic[int]

    def __init__(self) -> None:
        self.value = 0

    @operation(event="noted.read")
    def read(self) -> int:
        return self.value

    def note(self) -> None:
        LOG.append(self.value)


def numbers() -> Any:
    yield from range(10)


async def use(thing: Any) -> None:
    await pause()
    repr(thing)


THINGS: dict[str, Callable[[], Any]] = {
    "random": lambda: random.Random(3),
    "iterator": lambda: iter([10, 20]),
    "generator": numbers,
    "count": itertools.count,
    "queue": queue.SimpleQueue,
    "bytes": io.BytesIO,
    "namespace": types.SimpleNamespace,
    "slots": Slotted,
    "attrs": Open,
    "context": lambda: contextvars.ContextVar("x"),
    "method": Plain,
    "shared method": Noted,
    "bound": lambda: Plain().note,
    "bound of a list": lambda: LOG.append,
}


@pytest.mark.parametrize("thing", THINGS.values(), ids=THINGS)
def test_it_is_refused_before_anything_runs(thing: Callable[[], Any]) -> None:
    def build(world: World) -> None:
        held = thing()
        world.task("A", use, held)
        world.task("B", use, held)

    with pytest.raises(ScenarioError, match="can reach"):
        search(build)


def by_class() -> None:
    Klass.x += 1


def by_function() -> None:
    by_function.x = 1  # type: ignore[attr-defined]


@pytest.mark.parametrize("sets", [by_class, by_function])
def test_what_is_set_on_a_class_or_a_function_is_noticed(sets: Callable[[], None]) -> None:
    async def go() -> None:
        await pause()
        sets()

    def build(world: World) -> None:
        world.task("A", go)
        world.task("B", go)

    with pytest.raises(ScenarioError, match=r"\.x is changed during a run"):
        search(build)


@pytest.mark.parametrize(
    "test", [lambda: True, lambda: False, lambda: 7], ids=["true", "false", "seven"]
)
def test_a_check_returns_text_or_none(test: Callable[[], Any]) -> None:
    def build(world: World) -> None:
        world.task("A", pause)
        world.check("wrong", test)

    with pytest.raises(ScenarioError, match="it must return what is wrong, as text, or None"):
        search(build)


def test_a_guard_that_raises_is_the_scenarios_fault() -> None:
    @shared
    class Door:
        open: Atomic[int]

        def __init__(self) -> None:
            self.open = 0

        @operation(lambda self: 1 // self.open > 0, event="door.pass")
        def enter(self) -> None:
            pass

    async def go(door: Door) -> None:
        await door.enter()

    def build(world: World) -> None:
        world.task("A", go, Door())

    for ask in (search, sample):
        with pytest.raises(ScenarioError, match=r"the guard of door\.pass"):
            ask(build)


@pytest.mark.parametrize("error", [StopIteration, GeneratorExit, BaseException, RuntimeError])
def test_whatever_a_task_raises_is_the_scenarios_fault(error: type[BaseException]) -> None:
    async def go() -> None:
        await pause()
        raise error("no")

    result = search(lambda world: world.task("A", go) and None)
    assert (result.verdict, result.kind) == ("inconclusive", "scenario-error")
    assert error.__name__ in result.message


@pytest.mark.parametrize(
    "wrong",
    [
        {"preemptions": -1},
        {"states": 0},
        {"seconds": -1.0},
        {"seconds": float("nan")},
        {"memory": 0},
        {"order": "foo"},
        {"preemptions": 0, "delays": 5},
        {"symmetric": True, "preemptions": 1},
    ],
)
def test_limits_that_are_none_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"must be|give one"):
        search(lambda world: None, **wrong)


@pytest.mark.parametrize("wrong", [{"runs": 0}, {"max_steps": 0}, {"strategy": "foo"}])
def test_samples_that_are_none_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must be"):
        sample(lambda world: None, **wrong)
