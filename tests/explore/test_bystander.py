"""Safety counterexamples have the fewest tasks, then preemptions, then steps."""

from __future__ import annotations

from enumeration import TooMany, searched
from programs import build, program
from switches import runs
from toys import Counter

from kmodel.explore.bystander import participants
from kmodel.explore.graph import NOWHERE, Graph
from kmodel.explore.lasso import Paths, easiest
from kmodel.explore.preemption import forced
from kmodel.panic import Panic
from kmodel.world import World


def steppers(graph: Graph, choices: bytes) -> set[int]:
    """Who steps of its own accord."""
    state, at = 0, 0
    while at < len(choices):
        able = [task for task, to in enumerate(graph.succ[state]) if to != NOWHERE]
        if len(able) != 1 or not forced(graph, state, able[0]):
            break
        state, at = graph.succ[state][choices[at]], at + 1
    return set(choices[at:])


def test_panics_of_random_programs_are_shown_with_the_fewest_tasks(fuzz_seed: int) -> None:
    """As few as in any of all their schedules."""
    compared = fewer = 0
    for seed in range(fuzz_seed + 730_000, fuzz_seed + 730_400):
        tried = program(seed)
        try:
            every = list(runs(lambda tried=tried: build(tried), 200))
        except TooMany:
            continue
        graph = searched(build(tried))
        for violation in graph.violations:
            shown = easiest(Paths(graph), violation)
            least = min(len(set(r.choices)) for r in every if r.where == violation.message)
            assert len(steppers(graph, shown)) == least, seed
            compared, fewer = compared + 1, fewer + (least < len(tried.tasks))
    assert compared > 30
    assert fewer > 10


def counters() -> World:
    """Two raise it one after the other with a switch; a third alone does it, in many steps,
    and a fourth has nothing to do with it."""
    with World() as world:
        counter, other = Counter(), Counter()

    async def seen() -> None:
        if await counter.reached(2):
            raise Panic("two")

    async def one() -> None:
        await counter.up()

    async def several() -> None:
        for _ in range(5):
            await other.up()
        await counter.up()
        await counter.up()
        await seen()

    async def looker() -> None:
        await seen()

    async def idle() -> None:
        await other.up()

    for task in (one, one, several, looker, idle):
        world.task(f"{task.__name__}{len(world.tasks)}", task)
    return world


def test_one_task_with_more_steps_comes_before_three_with_fewer() -> None:
    """And nobody else steps."""
    graph = searched(counters())
    (violation,) = graph.violations
    assert steppers(graph, easiest(Paths(graph), violation)) == {2}


def test_who_must_be_there_is() -> None:
    """A set of tasks that is given is part of each."""
    graph = searched(counters())
    (group,) = participants(graph, range(len(graph)), {1})
    assert group.tasks == {1}
    assert 0 in group.states
    assert len(group.states) < len(graph)


def test_what_is_checked_at_the_end_needs_all_that_must_end() -> None:
    """Fewer tasks never come to an end; a background task need not step."""
    with World() as world:
        counter = Counter()

    async def up() -> None:
        await counter.up()

    world.task("a", up)
    world.task("b", up)
    world.task("k", up, obliged=False)
    world.check("none", lambda: "some" if counter.count else None, when="end")
    graph = searched(world)
    shown = easiest(Paths(graph), graph.violations[0])
    assert steppers(graph, shown) == {0, 1}
