"""Who holds what and who is asleep, told from the log, is what it really was."""

from __future__ import annotations

import pytest
from kernels import CASES, NO_FAULT, THREAD, steps

from kmodel.case import Case
from kmodel.explore.coroutine import goes
from kmodel.explore.execution import Execution
from kmodel.log.record import Header, Record
from kmodel.log.recorder import Recorder
from kmodel.log.span import DOES, Span
from kmodel.log.spans import Spans
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
    assert "hold" in seen
    assert "fault" in seen or scenario in NO_FAULT
    assert {"wait", "sleep"} <= seen or scenario != THREAD


def unable(execution: Execution) -> dict[int, str]:
    """Who cannot step, and at what: a mutex that another holds, or anything else."""
    return {
        task: op[0].event
        for task, op in enumerate(execution.pending)
        if op is not None and not goes(op)
    }


@pytest.mark.parametrize("rwlock", ["wake-all", "wake-one-writer"])
def test_a_cpu_is_kept_in_exactly_those_steps_in_which_it_could_not_go(rwlock: str) -> None:
    spun = slept = ready = 0
    for seed, (scenario, fix) in enumerate(CASES):
        case = Case.of(scenario, {"rwlock": rwlock}, fix)
        tasks = tuple(task.name for task in case.build().tasks)
        recorder = Recorder.start(Header(scenario=scenario, tasks=tasks), keep=True)
        spans, fed, since = Spans(), 0, dict[int, int]()
        blocked: dict[int, set[int]] = {cpu: set() for cpu in range(len(tasks))}
        for step, execution in enumerate(steps(case, recorder, seed)):
            cpu, ended = execution.choices[-1], list[Span]()
            again = spans.waiting(cpu)
            for record in recorder.records[fed:]:
                ended += spans.feed(record)
            fed = len(recorder.records)
            ended += [again] if again and again not in ended else []
            told = {
                at
                for at in range(since.get(cpu, -1) + 1, step)
                for span in ended
                if span.kind in DOES and span.keeps(at)
            }
            assert told == blocked[cpu], (scenario, fix, tasks[cpu], ended)
            spun += any(span.kind == "spin" for span in ended)
            slept += any(span.kind in ("wait", "sleep") for span in ended)
            ready += sum(not part[0] for s in ended if s.kind in DOES for part in s.parts(step))
            since[cpu], blocked[cpu] = step, set()
            for task in unable(execution):
                blocked[task].add(step + 1)
    assert min(spun, slept, ready) > 20


def feed(*records: Record) -> list[Span]:
    spans = Spans()
    return [ended for record in records for ended in spans.feed(record)] + spans.open()


def said(step: int, cpu: int, event: str, obj: str, **more: object) -> Record:
    cause = more.pop("cause", None)
    assert cause is None or isinstance(cause, int)
    return Record(step, step, cpu, "AB"[cpu], event, cause, obj, more.pop("result", None), more)


def test_a_thread_that_sleeps_with_a_sleeping_lock_is_asleep_once_that_is_let_go() -> None:
    """rwsleep: on the queue first, then the lock is released, and only then it sleeps."""
    began = [said(0, 0, "lock.acquire", "amap", result=True, write=True)]
    began += [said(1, 0, "chan.sleep", "page", mutex="amap")]
    assert [(span.kind, span.obj) for span in feed(*began)] == [("hold", "amap")]
    released = [*began, said(2, 0, "lock.release", "amap")]
    assert [(span.kind, span.obj) for span in feed(*released)] == [
        ("hold", "amap"),
        ("sleep", "page"),
    ]


def test_an_upgraded_lock_is_held_for_writing_from_then_on() -> None:
    """And for reading again once it is downgraded; a refused one changes nothing."""
    steps = [
        said(0, 0, "lock.acquire", "map", result=True, write=False),
        said(1, 0, "lock.upgrade", "map", result=False),
        said(2, 0, "lock.upgrade", "map", result=True),
        said(3, 0, "lock.downgrade", "map"),
        said(4, 0, "lock.release", "map"),
    ]
    holds = [(span.write, span.since, span.until) for span in feed(*steps)]
    assert holds == [(False, 0, 2), (True, 2, 3), (False, 3, 4)]


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
    assert list(ended[1].parts(99)) == [(True, 2, 5), (False, 5, 6)]
    assert ended[1].steps(99) == 3


def test_a_mutex_that_was_free_is_not_spun_for_before_another_takes_it() -> None:
    ended = feed(
        said(1, 1, "task.start", ""),
        said(3, 0, "mutex.enter", "m"),
        said(4, 0, "mutex.leave", "m"),
        said(6, 0, "mutex.enter", "m"),
        said(8, 0, "mutex.leave", "m"),
        said(9, 1, "mutex.enter", "m", cause=8),
    )
    (spun,) = [s for s in ended if s.kind == "spin"]
    assert (spun.since, spun.until, spun.kept) == (3, 9, [(4, 5), (7, 9)])
    assert list(spun.parts(99)) == [(True, 4, 5), (False, 5, 7), (True, 7, 9)]
    assert spun.steps(99) == 3, "the mutex was free in steps 5 and 6"


def test_who_was_woken_is_ready_and_no_longer_asleep() -> None:
    ended = feed(
        said(1, 0, "chan.sleep", "c", mutex="m"),
        said(4, 1, "chan.wakeup", "c"),
        said(9, 0, "chan.woken", "c", cause=4),
    )
    assert list(ended[0].parts(99)) == [(True, 2, 5), (False, 5, 9)]
    still = feed(said(1, 0, "chan.sleep", "c", mutex="m"), said(4, 1, "chan.wakeup", "c"))
    assert still[0].ready_since == 5
    assert list(still[0].parts(8)) == [(True, 2, 5), (False, 5, 8)]


def test_who_was_woken_spins_while_its_interlock_is_held() -> None:
    ended = feed(
        said(1, 0, "chan.sleep", "c", mutex="m"),
        said(2, 1, "mutex.enter", "m"),
        said(4, 1, "chan.wakeup", "c"),
        said(6, 1, "mutex.leave", "m"),
        said(9, 0, "chan.woken", "c", mutex="m", cause=4),
    )
    told = [(s.kind, list(s.parts(99))) for s in ended if s.kind in DOES]
    assert told == [
        ("sleep", [(True, 2, 5)]),
        ("spin", [(True, 5, 7), (False, 7, 9)]),
    ]


def test_a_refused_retry_lies_between_two_sleeps() -> None:
    (wait, _) = feed(
        said(1, 0, "lock.acquire", "l", result=False, write=True),
        said(3, 1, "lock.release", "l"),
        said(5, 0, "lock.contended", "l", result=False, write=True, cause=3),
        said(7, 1, "lock.release", "l"),
        said(9, 0, "lock.contended", "l", result=True, write=True, cause=7),
    )
    assert list(wait.parts(99)) == [(True, 2, 4), (False, 4, 5), (True, 6, 8), (False, 8, 9)]


def end(waiting: str) -> Record:
    return Record(9, 9, None, None, "run.end", None, None, None, {"waiting": waiting})


def test_who_never_goes_on_is_named_by_the_end_of_the_run() -> None:
    found = feed(
        said(0, 0, "mutex.enter", "one"),
        said(1, 1, "task.start", ""),
        said(2, 1, "mutex.enter", "two, or three"),
        end("A at mutex.enter two, or three, B at buffer.take buffer"),
    )
    assert [(s.kind, s.task, s.obj, s.since, s.until) for s in found if s.kind != "hold"] == [
        ("spin", "A", "two, or three", 2, None),
        ("stuck", "B", "buffer.take buffer", 2, None),
    ]
    assert not [s for s in feed(said(0, 0, "task.start", ""), end("nonsense")) if s.until is None]


def test_an_operation_of_a_story_s_own_was_waited_for_if_something_let_it_go() -> None:
    ended = feed(
        said(2, 0, "buffer.put", "b"),
        said(5, 1, "buffer.take", "b"),
        said(7, 0, "buffer.put", "b", cause=5),
    )
    assert [(s.kind, s.task, s.obj, s.since, s.until) for s in ended] == [
        ("stuck", "A", "buffer.put b", 2, 7)
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
