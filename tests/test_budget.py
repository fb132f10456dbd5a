"""How time is shared: rounds, who is next, what is kept, and that processes change nothing."""

from __future__ import annotations

import signal
from typing import Any

import attrs
import pytest

from kmodel import budget
from kmodel.asked import Asked
from kmodel.budget import Budget, Job, judge_all, rounds
from kmodel.compare import Judged, Unit, units
from kmodel.explore.graph import Limits

SMALL = {"cpus": 1}


def work(*fixes: str, where: str = "contention", **given: Any) -> list[Unit]:
    return units(list(fixes), [where], SMALL | given)


def all_of(one: Budget, jobs: int = 1) -> list[Judged]:
    list(judge_all(one, jobs))
    return one.results()


def said(judged: list[Judged]) -> list[Any]:
    """What was found, but for how long it took."""
    return [
        one.verdict.document() | {"evidence": (one.verdict.evidence.states, one.complete)}
        for one in judged
    ]


def test_each_round_has_more_states_and_the_last_what_is_allowed() -> None:
    """Fixed numbers: no clock decides them."""
    assert rounds(2_000_000) == [1_000, 750_000, 2_000_000]
    assert rounds(100) == [100]
    assert rounds(1_000) == [1_000]
    assert rounds(1_001) == [1_000, 1_001]


def test_all_have_a_round_before_any_has_its_second(monkeypatch: pytest.MonkeyPatch) -> None:
    """And who is broken comes after who is not."""
    monkeypatch.setattr(budget, "ROUNDS", (5_000,))
    todo = work("wait", "populate", lap="silent", rwlock="wake-all", cpus=2)
    shared = Budget(todo, Limits(states=40_000))
    order: list[tuple[str, int]] = []
    while job := shared.next():
        order.append((job.unit.fix, job.limits.states))
        shared.done(job, job.do())
    assert order == [("wait", 5000), ("populate", 5000), ("populate", 40000), ("wait", 40000)]
    assert all(judged.complete for judged in shared.results())


def test_each_cell_has_a_first_variant_judged_and_broken_ones_can_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """So that little time decides many cells; of those, the one that costs less is next."""
    monkeypatch.setattr(Asked, "searched", lambda *_: None)  # as if each lock showed its policy
    todo = work("wait", "populate", "lock-retry", lap="wakes")
    shared = Budget(todo, Limits())
    order: list[str] = []
    while job := shared.next():
        order.append(f"{job.unit.fix} {job.unit.variant['rwlock']}")
        shared.done(job, job.do())
    first, second = "wake-all", "wake-one-writer"
    assert order == [
        *(f"wait {first}", f"populate {first}", f"lock-retry {first}"),
        *(f"populate {second}", f"lock-retry {second}", f"wait {second}"),
    ]


def test_what_is_found_does_not_depend_on_the_rounds_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One round or two: word for word the same."""
    todo = work("lock-retry", "populate", lap="wakes", rwlock="wake-all", cpus=2)
    at_once = said(all_of(Budget(todo, Limits(states=45_000))))
    monkeypatch.setattr(budget, "ROUNDS", (10_000,))
    assert said(all_of(Budget(todo, Limits(states=45_000)))) == at_once


def test_two_processes_judge_like_one() -> None:
    """A unit is a pure function of plain data."""
    todo = work("lock-retry", "wait", lap="wakes")
    assert said(all_of(Budget(todo, Limits()), 2)) == said(all_of(Budget(todo, Limits())))


def test_a_unit_is_searched_once_for_all_that_it_cannot_differ_from(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The others take it over: here those of another lap, which none asks for, and of another
    policy, which no lock shows with one CPU that faults."""
    searched: list[Unit] = []
    judge = budget.judge
    monkeypatch.setattr(
        budget, "judge", lambda unit, limits: searched.append(unit) or judge(unit, limits)
    )
    todo = work("lock-retry", "populate")
    found = all_of(Budget(todo, Limits()))
    assert sorted(unit.fix for unit in searched) == ["lock-retry", "populate"]
    assert [judged.unit for judged in found] == todo


def test_without_time_nothing_is_decided() -> None:
    """Each unit says so; none is missing."""
    todo = work("wait")
    shared = Budget(todo, Limits(seconds=0.0))
    found = all_of(shared)
    assert [judged.unit for judged in found] == todo
    for judged in found:
        assert judged.verdict.verdict == "inconclusive"
        assert judged.verdict.evidence.bound == "not begun: no time was left"
        assert set(judged.properties) == set(judged.unit.properties)


def judged(verdict: str, bound: str, states: int = 125) -> Judged:
    """A unit's result that says so."""
    (one, *_) = work("wait")
    begun = budget.not_begun(one)
    evidence = attrs.evolve(begun.verdict.evidence, bound=bound, complete=bound == "none")
    told = attrs.evolve(begun.verdict, verdict=verdict, evidence=evidence)
    return attrs.evolve(begun, verdict=told, states=states)


def test_a_verdict_that_was_found_stands() -> None:
    """A later round that the clock cut short takes nothing back; one that ended does."""
    broken, cut = judged("violated", "125 states"), judged("inconclusive", "1 s")
    cut_broken = judged("violated", "1 s")
    assert cut_broken.better(judged("inconclusive", "125 states"))
    assert not cut.better(broken)
    assert not cut_broken.better(broken)
    assert judged("violated", "none").better(broken)
    assert judged("holds", "none").better(judged("inconclusive", "125 states"))
    assert judged("violated", "1000 states", 1000).better(broken)


def test_memory_that_is_short_ends_the_rounds_of_a_unit() -> None:
    """A larger round would need more of it."""
    todo = work("wait", lap="wakes", rwlock="wake-all")
    shared = Budget(todo, Limits())
    job = shared.next()
    assert isinstance(job, Job)
    shared.done(job, judged("inconclusive", "64 MiB of memory", job.limits.states))
    assert shared.over(0)
    assert shared.next() is None


def test_two_variants_of_a_cell_are_searched_together_only_if_nothing_else_is_left() -> None:
    """The first may spare the second."""
    todo = work("wait", "populate", rwlock="wake-all")
    shared = Budget(todo, Limits())
    jobs = [shared.next() for _ in range(5)]
    assert [job and job.number for job in jobs] == [0, 2, 1, 3, None]


def test_the_threads_question_is_answered_first() -> None:
    """Through all its rounds, before anything else has its first."""
    todo = units(["direct", "populate"], ["churn", "contention"], SMALL | {"lap": "wakes"})
    shared = Budget(todo, Limits())
    order: list[tuple[str, str]] = []
    while job := shared.next():
        order.append((job.unit.fix, job.unit.situation))
        shared.done(job, judged("inconclusive", f"{job.limits.states} states", job.limits.states))
    rounds_of_it = 2 * len(rounds(shared.limits.states))
    assert order[:rounds_of_it] == [("populate", "contention")] * rounds_of_it
    assert ("populate", "contention") not in order[rounds_of_it:]


def test_of_equally_open_cells_the_cheap_ones_come_first() -> None:
    """What their first variants cost tells."""
    todo = work("direct", "intrsafe", lap="wakes")
    shared = Budget(todo, Limits())
    order: list[int] = []
    while job := shared.next():
        order.append(job.number)
        one = judged("holds", "none")
        states = 1000 if job.unit.fix == "direct" else 10
        evidence = attrs.evolve(one.verdict.evidence, states=states)
        shared.done(job, attrs.evolve(one, verdict=attrs.evolve(one.verdict, evidence=evidence)))
    assert order == [0, 2, 3, 1]


def test_a_ctrl_c_is_for_the_process_that_shows_results() -> None:
    """The others never hear of it, from their start; this one does again."""
    with budget.processes(1) as pool:
        there = pool.apply(signal.pthread_sigmask, (signal.SIG_BLOCK, []))
        assert signal.SIGINT in there
        assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])


def test_what_need_only_be_taken_over_is_not_left_for_later() -> None:
    """It costs next to nothing, also where the cell is broken already."""
    todo = units(["cause", "direct"], ["contention-no-swap"], SMALL | {"rwlock": "wake-all"})
    shared = Budget(todo, Limits())
    order: list[tuple[int, bool]] = []
    while job := shared.next():
        order.append((job.number, job.known is not None))
        shared.done(job, job.do())
    assert order == [(0, False), (1, True), (2, False), (3, True)]
