"""Who holds what and who is asleep, told from the log, is what it really was."""

from __future__ import annotations

import pytest
from kernels import CASES, THREAD, steps

from kmodel.case import Case
from kmodel.explore.execution import Execution
from kmodel.log.record import Header, Record
from kmodel.log.recorder import Recorder
from kmodel.log.spans import Span, Spans
from kmodel.sync.mutex import Mutex
from kmodel.sync.rwlock import RwLock


def holders(execution: Execution) -> set[tuple[str, str]]:
    """(task, lock) of every lock that is held."""
    found = set()
    for thing in execution.world.objects:
        if isinstance(thing, Mutex) and thing.owner:
            found.add((thing.owner.name, thing.name))
        elif isinstance(thing, RwLock):
            owners = [*thing.readers, *([thing.writer] if thing.writer else [])]
            found |= {(task.name, thing.name) for task in owners}
    return found


def asleep(execution: Execution) -> set[str]:
    """Who waits to be woken, or to run after that."""
    events = {task.name: op for task, op in zip(execution.world.tasks, execution.pending)}
    return {
        name
        for name, op in events.items()
        if op and op[0].event in ("lock.contended", "chan.woken")
    }


@pytest.mark.parametrize("rwlock", ["wake-all", "wake-one-writer"])
@pytest.mark.parametrize(("scenario", "fix"), CASES)
def test_spans_agree_with_the_objects_after_each_step(scenario: str, fix: str, rwlock: str) -> None:
    seen = set()
    for seed in range(6):
        case = Case.of(scenario, {"rwlock": rwlock}, fix)
        tasks = tuple(task.name for task in case.build().tasks)
        recorder = Recorder.start(Header(scenario=scenario, tasks=tasks), keep=True)
        spans, fed = Spans(), 0
        for execution in steps(case, recorder, seed):
            for record in recorder.records[fed:]:
                spans.feed(record)
            fed = len(recorder.records)
            held = {(s.task, s.obj) for s in spans.open() if s.kind == "hold"}
            assert held == holders(execution), execution.choices
            waiting = {tasks[cpu] for cpu in range(len(tasks)) if spans.waiting(cpu)}
            assert waiting == asleep(execution)
            seen |= {span.kind for span in spans.open()}
    assert {"hold", "fault"} <= seen
    assert {"wait", "sleep"} <= seen or scenario != THREAD


def feed(*records: Record) -> list[Span]:
    spans = Spans()
    return [ended for record in records for ended in spans.feed(record)] + spans.open()


def said(step: int, cpu: int, event: str, obj: str, **more: object) -> Record:
    cause = more.pop("cause", None)
    assert cause is None or isinstance(cause, int)
    return Record(step, step, cpu, "AB"[cpu], event, cause, obj, more.pop("result", None), more)


def test_a_spin_is_told_by_its_cause_and_begins_where_the_mutex_was_reached() -> None:
    ended = feed(
        said(0, 0, "mutex.enter", "m"),
        said(1, 1, "task.start", ""),
        said(4, 0, "mutex.leave", "m"),
        said(6, 1, "mutex.enter", "m", cause=4),
        said(8, 1, "mutex.leave", "m"),
    )
    assert [(s.kind, s.task, s.since, s.until) for s in ended] == [
        ("hold", "A", 0, 4),
        ("spin", "B", 1, 6),
        ("hold", "B", 6, 8),
    ]


def test_a_wait_goes_on_while_a_woken_thread_is_refused_again() -> None:
    ended = feed(
        said(1, 0, "lock.acquire", "l", result=False, write=True),
        said(5, 0, "lock.contended", "l", result=False, write=True),
        said(9, 0, "lock.contended", "l", result=True, write=True),
    )
    assert [(s.kind, s.since, s.until, s.write) for s in ended] == [
        ("wait", 1, 9, True),
        ("hold", 9, None, True),
    ]
    assert ended[0].steps(99) == 8
    assert ended[1].steps(99) == 90


def test_a_record_that_fits_nothing_ends_nothing() -> None:
    assert (
        feed(
            said(1, 0, "lock.release", "l"),
            said(2, 0, "chan.woken", "c"),
            said(3, 1, "fault.end", "p0"),
            said(4, 1, "lock.try", "l", result=False),
            Record(5, 5, None, None, "run.end", None, None, None, {}),
        )
        == []
    )


def test_a_sleeping_lock_is_let_go_after_the_sleep_begins() -> None:
    """rwsleep: its holder is on the queue first, and releases then."""
    spans = Spans()
    spans.feed(said(0, 0, "lock.acquire", "l", result=True, write=True))
    spans.feed(said(1, 0, "chan.sleep", "c", mutex="l"))
    assert [span.task for span in spans.holders("l")] == ["A"]
    (held,) = spans.feed(said(2, 0, "lock.release", "l"))
    assert (held.kind, held.until) == ("hold", 2)
    assert spans.holders("l") == []
