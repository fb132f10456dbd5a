"""The numbers of a run, from its log alone, are those of the objects themselves."""

from __future__ import annotations

from collections import Counter

import pytest
from kernels import CASES, NO_FAULT, THREAD, steps

from kmodel.case import Case
from kmodel.explore.execution import Execution, Outcome
from kmodel.log.record import Record
from kmodel.log.recorder import Recorder
from kmodel.log.stats import Longest, Stats
from kmodel.vm.pool import Pool

NEVER_REFUSED = ("populate", "intrsafe", "direct", "reserve")
"""Fixes with which eight runs need not show a pool that gave nothing."""


def run(scenario: str, fix: str, seed: int, **params: object) -> tuple[Execution, Recorder, Stats]:
    case = Case.of(scenario, dict(params), fix)
    header = case.header(case.build(), "random", seed, None)
    recorder = Recorder.start(header, keep=True)
    *_, execution = steps(case, recorder, seed)
    assert execution.outcome is not None
    recorder.close(execution.outcome)
    stats = Stats(header.tasks, header.pools)
    for record in recorder.records:
        stats.add(record)
    stats.close(recorder.records[-1])
    return execution, recorder, stats


@pytest.mark.parametrize(("scenario", "fix"), CASES)
def test_pools_agree_with_the_pools(scenario: str, fix: str) -> None:
    failed = 0
    for seed in range(8):
        execution, _, stats = run(scenario, fix, seed)
        if execution.outcome is None or execution.outcome.kind != "done":
            continue
        pools = {thing.name: thing for thing in execution.world.objects if isinstance(thing, Pool)}
        assert set(stats.pools) == set(pools)
        for name, pool in stats.pools.items():
            assert pool.out == pools[name].nout, name
            assert pool.high >= pool.out
            assert sum(pool.failed.values()) == pools[name].fails.nfail
            failed += sum(pool.failed.values())
    assert failed or fix in NEVER_REFUSED or scenario != THREAD


@pytest.mark.parametrize(("scenario", "fix"), CASES)
def test_cpus_add_up_to_the_steps_of_the_run(scenario: str, fix: str) -> None:
    for seed in range(4):
        execution, _, stats = run(scenario, fix, seed)
        taken = Counter(execution.choices)
        assert stats.steps == len(execution.choices)
        for index, cpu in stats.cpus.items():
            assert cpu.busy == taken[index]
            spent = cpu.busy + cpu.asleep + cpu.spinning + cpu.ready + cpu.ended + cpu.stuck
            assert spent == stats.steps, cpu


@pytest.mark.parametrize(("scenario", "fix"), CASES)
def test_faults_have_their_restarts_and_their_waits(scenario: str, fix: str) -> None:
    _, recorder, stats = run(scenario, fix, 7)
    events = Counter(record.event for record in recorder.records)
    assert len(stats.faults) == events["fault.begin"]
    assert stats.faults or scenario in NO_FAULT
    assert sum(fault.refaults for fault in stats.faults) == events["fault.restart"]
    for fault in stats.faults:
        errors = [r.fields["error"] for r in recorder.records if r.event == "fault.end"]
        assert fault.error == 0 or scenario != THREAD
        assert sum(fault.waited.values()) <= fault.steps
        mine = [r for r in recorder.records if r.task == fault.task and "fault." in r.event]
        if fault.error is None:
            assert mine[-1].event != "fault.end"  # it hangs
            continue
        assert fault.error in errors
        steps = [r.step for r in mine]
        assert fault.steps == max(steps) - min(steps)


def lock(*records: Record) -> Stats:
    stats = Stats(("A", "B"), {})
    for record in records:
        stats.add(record)
    return stats


def said(step: int, cpu: int, event: str, result: bool | None = None) -> Record:
    return Record(step, step, cpu, "AB"[cpu], event, None, "l", result, {})


STORY = (
    said(0, 0, "lock.acquire", True),
    said(1, 1, "lock.try", False),
    said(2, 1, "lock.acquire", False),
    said(6, 0, "lock.release"),
    said(8, 1, "lock.contended", True),
    said(9, 0, "task.end"),
)


def test_a_lock_is_summed_up() -> None:
    stats = lock(*STORY)
    end = Record(12, 6, None, None, "run.end", None, None, None, {"outcome": "limit"})
    stats.add(end)
    stats.close(end)
    (found,) = stats.worst_locks()
    assert (found.acquired, found.contended, found.refused) == (2, 1, 1)
    assert found.longest_hold == Longest(6, "A", 0, False)
    assert found.longest_wait == Longest(6, "B", 2, False)
    assert [stats.cpus[1].refused, stats.cpus[1].asleep, stats.cpus[0].ended] == [1, 5, 2]


def test_what_the_log_does_not_see_the_end_of_is_open() -> None:
    stats = lock(*STORY[:3])
    stats.close(None)
    (found,) = stats.worst_locks()
    assert found.longest_hold == Longest(3, "A", 0, True)
    assert found.longest_wait == Longest(1, "B", 2, True)
    assert stats.outcome is None


@pytest.mark.parametrize(("waiting", "kept"), [("", []), ("A at chan.woken c", ["A"])])
def test_an_idle_daemon_is_no_part_of_what_went_wrong(waiting: str, kept: list[str]) -> None:
    """Only the end of a run that hangs says who could not go on."""
    stats = Stats(("A", "B"), {})
    stats.add(Record(0, 0, 0, "A", "chan.sleep", None, "c", None, {"mutex": "m"}))
    end = Record(1, 1, None, None, "run.end", None, None, None, {"outcome": "x"})
    end.fields.update({"waiting": waiting} if waiting else {})
    stats.add(end)
    stats.close(end)
    assert [one.task for one in stats.kept] == kept


def test_whoever_spins_where_the_run_ends_does_so_since_the_mutex_was_taken() -> None:
    """It reached the mutex at step 0; another took it at 2, and nobody ever lets go."""
    stats = lock(said(0, 0, "task.start"), said(2, 1, "mutex.enter"), said(5, 1, "page.free"))
    fields = {"outcome": "deadlock", "waiting": "A at mutex.enter l, B at swap.written s"}
    end = Record(6, 9, None, None, "run.end", None, None, None, fields)
    stats.add(end)
    stats.close(end)
    assert (stats.cpus[0].ready, stats.cpus[0].spinning) == (2, 3)
    assert (stats.locks["l"].contended, stats.locks["l"].longest_wait) == (
        1,
        Longest(3, "A", 2, True),
    )
    assert stats.cpus[1].stuck == 0
    assert Outcome("deadlock", 6).steps == stats.steps


def test_a_fault_is_told_what_it_waited_for() -> None:
    """Waits in the fault count for it, by what was waited for; others do not."""
    told = (
        (0, "lock.acquire", "l", {"result": False}),
        (5, "lock.contended", "l", {"result": True}),
        (6, "fault.begin", "p0", {"va": "0x1000"}),
        (7, "lock.acquire", "l", {"result": False}),
        (10, "lock.contended", "l", {"result": True}),
        (11, "pool.fail", "vp pool", {"why": "map lock refused"}),
        (12, "chan.sleep", "c", {"mutex": "m"}),
        (20, "chan.woken", "c", {}),
        (21, "fault.restart", "p0", {"va": "0x1000"}),
        (22, "chan.sleep", "c", {"mutex": "m"}),
        (23, "chan.woken", "c", {}),
        (30, "fault.end", "p0", {"va": "0x1000", "error": 12}),
    )
    stats = Stats(("A",), {})
    for step, event, obj, fields in told:
        stats.add(Record(step, step, 0, "A", event, None, obj, fields.pop("result", None), fields))
    stats.close(None)
    (fault,) = stats.faults
    assert (fault.space, fault.va, fault.since, fault.steps) == ("p0", "0x1000", 6, 24)
    assert (fault.refaults, fault.error) == (1, 12)
    assert fault.waited == {"l": 2, "c": 7}, "the steps in between, in which it could not go"
    assert fault.failed == {"vp pool: map lock refused": 1}
