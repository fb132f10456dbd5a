"""A log told in sentences, from its records alone."""

from __future__ import annotations

from string import Formatter
from typing import Any

from kmodel.explain.chronicle import Chronicle, chronicle
from kmodel.explain.deeds import ANSWERS, DEEDS
from kmodel.log.record import Record
from kmodel.log.vocabulary import words

NAMES = ("A", "B", "K")


def told(*events: tuple[int, str, dict[str, Any]]) -> Chronicle:
    """The story of events, a step each: (CPU, event, fields)."""
    records = [
        Record.of(
            {"step": step, "seq": step, "cpu": cpu, "task": NAMES[cpu], "event": event} | more
        )
        for step, (cpu, event, more) in enumerate(events)
    ]
    return chronicle(records)


def lock(cpu: int, how: str, obj: str, result: bool | None = None, **more: Any) -> Any:
    fields = {"obj": obj} if result is None else {"obj": obj, "result": result}
    return cpu, f"lock.{how}", fields | more


def text(found: Chronicle) -> str:
    return "\n".join(map(str, found.sentences()))


def test_a_wait_says_who_ended_it() -> None:
    found = told(
        lock(0, "acquire", "amap", True),
        lock(1, "acquire", "amap", False),
        lock(0, "release", "amap"),
        lock(1, "contended", "amap", True, cause=2),
    )
    said = "B waits for amap from step 1; A wakes it at step 2, and it goes on at 3."
    assert text(found) == said


def test_the_release_that_wakes_a_writer_need_not_be_the_last_readers() -> None:
    """Nobody is said to have let the lock go whom another reader outlasts."""
    found = told(
        lock(0, "acquire", "map", True, write=False),
        lock(2, "acquire", "map", True, write=False),
        lock(1, "acquire", "map", False, write=True),
        lock(0, "release", "map"),
        lock(2, "release", "map"),
        lock(1, "contended", "map", True, write=True, cause=3),
    )
    assert text(found) == "B waits for map from step 2; A wakes it at step 3, and it goes on at 5."


def test_a_spin_is_told_by_the_steps_in_which_another_held_the_mutex() -> None:
    mutex = {"obj": "m"}
    found = told(
        (1, "task.start", {}),
        (0, "mutex.enter", mutex),
        (0, "mutex.leave", mutex),
        (0, "mark", {"text": "the mutex is free"}),
        (0, "mutex.enter", mutex),
        (0, "page.free", {}),
        (0, "mutex.leave", mutex),
        (1, "mutex.enter", mutex | {"cause": 6}),
    )
    said = "B spins for m in steps 2, 5-6; A lets it go at step 6, and it goes on at 7."
    assert said in text(found)


def test_a_refused_try_says_who_held_it_and_what_came_of_it() -> None:
    found = told(
        lock(2, "acquire", "kernel_map", True),
        lock(0, "try", "kernel_map", False),
        (0, "pool.fail", {"obj": "vp pool", "why": "map lock refused"}),
        (0, "pmap.fail", {"obj": "p0 pmap", "va": "0x1", "error": "ENOMEM"}),
    )
    assert text(found) == (
        "For A the try of kernel_map is refused at step 1 (held by K (since step 0)), then vp pool "
        "gives nothing at step 2 (map lock refused), so p0 pmap fails with ENOMEM at step 3."
    )


def test_a_deadlock_has_its_cycle() -> None:
    found = told(
        lock(0, "acquire", "map", True),
        lock(1, "acquire", "amap", True),
        lock(0, "acquire", "amap", False),
        lock(1, "acquire", "map", False),
    )
    assert found.ends() == [
        "A is asleep on amap since step 2; it is held by B (since step 1).",
        "B is asleep on map since step 3; it is held by A (since step 0).",
        "A waits for B, B waits for A: a cycle.",
    ]


def test_a_lost_wakeup_has_the_missed_pair() -> None:
    wakeup = (1, "chan.wakeup", {"obj": "&free"})
    sleep = (0, "chan.sleep", {"obj": "&free", "mutex": "m"})
    (missed,) = told(wakeup, sleep).ends()
    assert missed.endswith("the last wakeup was B's at step 0, before it slept.")
    (woken,) = told(sleep, wakeup).ends()
    assert woken.endswith("B woke it at step 1; it has not come back since.")
    (never,) = told(sleep).ends()
    assert never.endswith("nobody ever woke it.")


def test_a_leak_says_who_dropped_it() -> None:
    def item(event: str, which: str) -> tuple[int, str, dict[str, Any]]:
        return 0, event, {"obj": "vp pool", "item": which}

    found = told(
        item("pool.get", "0xa"), item("pool.get", "0xb"), item("pool.put", "0xb"),
        item("pool.get", "0xc"), (0, "pmap.table", {"item": "0xc"}),
    )  # fmt: skip
    (dropped,) = found.dropped("vp pool")
    assert dropped == ("A took 0xa from vp pool at step 0; no record gives it back or links it.")


def test_of_what_the_log_does_not_say_is_in_use_nobody_is_accused() -> None:
    found = told((0, "pool.get", {"obj": "pted pool", "item": "0xa"}))
    assert found.dropped("pted pool") == [
        "A took 0xa from pted pool at step 0; no record gives it back; it may be in use."
    ]


def test_what_happens_again_is_told_once() -> None:
    turn = [
        lock(2, "acquire", "kernel_map", True),
        lock(0, "try", "kernel_map", False),
        lock(2, "release", "kernel_map"),
    ]
    (said,) = told(*turn * 50).sentences()
    assert str(said).endswith("So again at steps 4, 7, 10 and 46 times more.")


def test_what_failed_before_a_sleep_is_no_reason_of_what_fails_after() -> None:
    def none(why: str) -> tuple[int, str, dict[str, Any]]:
        return 0, "page.fail", {"why": why}

    sleep, woken = (
        (0, "chan.sleep", {"obj": "c", "mutex": "m"}),
        (0, "chan.woken", {"obj": "c", "mutex": "m"}),
    )
    assert text(told(none("reserve_kernel"), sleep, woken, none("not side by side"))) == (
        "For A no page is given at step 0 (reserve_kernel).\n"
        "A sleeps on c at step 1, and it goes on at 2.\n"
        "For A no page is given at step 3 (not side by side)."
    )
    got = (0, "page.alloc", {"pages": "1"})
    assert " so " not in text(told(none("not side by side"), got, none("reserve_kernel")))
    assert ", so " in text(told(none("x"), (0, "pool.fail", {"obj": "p", "why": "y"})))


def test_of_a_lock_that_is_free_it_is_said_who_let_it_go() -> None:
    found = told(
        lock(0, "acquire", "amap", True),
        lock(1, "acquire", "amap", False),
        lock(0, "release", "amap"),
    )
    assert found.ends() == [
        "B is asleep on amap since step 1; nobody holds it; A let it go at step 2, and B has "
        "not had it since."
    ]


def test_who_sleeps_on_a_channel_is_in_no_cycle() -> None:
    """A sleeper waits for nobody's lock, though a channel be called like one."""
    found = told(
        lock(0, "acquire", "map", True),
        lock(1, "acquire", "chan", True),
        (0, "chan.sleep", {"obj": "chan", "mutex": "m"}),
        lock(1, "acquire", "map", False),
    )
    assert not [said for said in found.ends() if "cycle" in said]


def test_a_spinning_deadlock_has_its_cycle() -> None:
    found = told(
        (0, "mutex.enter", {"obj": "one"}),
        (1, "mutex.enter", {"obj": "two"}),
    )
    end = {"outcome": "deadlock", "waiting": "A at mutex.enter two, B at mutex.enter one"}
    found.feed(Record.of({"step": 2, "seq": 2, "event": "run.end"} | end))
    assert found.ends() == [
        "A spins for two since step 1; it is held by B (since step 1).",
        "B spins for one since step 1; it is held by A (since step 0).",
        "A waits for B, B waits for A: a cycle.",
    ]


def test_where_the_records_stop_no_more_is_said_than_they_know() -> None:
    found = told(
        lock(0, "acquire", "map", True),
        lock(1, "acquire", "amap", True),
        lock(0, "acquire", "amap", False),
        lock(1, "acquire", "map", False),
        (2, "task.end", {}),
    )
    assert found.so_far() == [
        "A is asleep on amap since step 2, holding map; it is held by B (since step 1).",
        "B is asleep on map since step 3, holding amap; it is held by A (since step 0).",
        "K has ended, at step 4.",
    ]


def test_a_mark_that_an_event_of_its_step_says_is_not_told() -> None:
    """Before or after the event; by where it is said, not by what it says."""

    def at(step: int, cpu: int, event: str, **more: Any) -> Record:
        row = {"step": step, "seq": 0, "cpu": cpu, "task": NAMES[cpu], "event": event}
        return Record.of(row | more)

    found = chronicle(
        [
            at(0, 0, "mark", text="a fault was restarted"),
            at(0, 0, "fault.restart", obj="p0", va="0x1"),
            at(1, 0, "lock.try", obj="map", result=False),
            at(1, 0, "mark", text="a get was refused"),
            at(2, 0, "lock.try", obj="map", result=True),
            at(2, 0, "mark", text="the map was had"),
            at(3, 1, "fault.restart", obj="p0", va="0x2"),
            at(4, 0, "mark", text="another step"),
        ]
    )
    assert text(found) == (
        "A begins its fault at 0x1 anew, at step 0.\n"
        "For A the try of map is refused at step 1.\n"
        "A at step 2: the map was had.\n"
        "B begins its fault at 0x2 anew, at step 3.\n"
        "A at step 4: another step."
    )


def test_the_check_that_a_run_ends_with_is_told_at_its_end() -> None:
    """And not among what happened too; another one is."""
    wrong = [
        (0, "inv.violation", {"property": "few", "text": "too many"}),
        (0, "inv.violation", {"property": "all", "text": "not all"}),
    ]
    found = told(*wrong)
    found.feed(Record.of({"step": 2, "seq": 2, "event": "run.end", "property": "all"}))
    assert text(found) == "At step 0 a check fails: too many."


def test_one_that_is_woken_in_vain_is_told_by_whom_and_who_was_first() -> None:
    """One release wakes two, and one of them finds the lock taken again."""
    found = told(
        lock(0, "acquire", "amap", True),
        lock(1, "acquire", "amap", False),
        lock(2, "acquire", "amap", False),
        lock(0, "release", "amap"),
        lock(1, "contended", "amap", True, cause=3),
        lock(2, "contended", "amap", False, cause=3),
    )
    assert text(found).splitlines()[-1] == (
        "A's release at step 3 wakes K in vain: at step 5 amap is not free (it is held by B "
        "(since step 4))."
    )


def test_a_story_of_locks_alone_tells_who_held_which() -> None:
    """And the wakeup that found nobody. Where more has happened, these are left out."""
    few = [
        lock(0, "acquire", "one", True),
        lock(1, "acquire", "two", True),
        (1, "chan.wakeup", {"obj": "c"}),
        lock(0, "release", "one"),
    ]
    assert list(map(str, told(*few).happened())) == [
        "A holds one from step 0 to 3.",
        "B takes two at step 1 and keeps it.",
        "B wakes c at step 2: nobody sleeps there.",
    ]
    found = told(*few)
    assert list(map(str, found.happened())) == list(map(str, found.happened()))
    faults = [(0, "fault.begin", {"obj": f"p{n}", "va": "0x1"}) for n in "abcdef"]
    assert all(" faults at " in str(one) for one in told(*faults, *few).happened())


def test_the_wakeup_that_a_sleeper_missed_is_always_told() -> None:
    """However much has happened besides; not his own, nor that of another channel."""
    faults = [(0, "fault.begin", {"obj": f"p{n}", "va": "0x1"}) for n in "abcdef"]
    wake, sleep = (1, "chan.wakeup", {"obj": "c"}), (0, "chan.sleep", {"obj": "c", "mutex": "m"})
    end = Record.of({"step": 9, "seq": 9, "event": "run.end", "outcome": "deadlock"})
    missed = told(*faults, wake, sleep)
    missed.feed(end)
    assert "B wakes c at step 6: nobody sleeps there." in text(missed)
    for other in (1, "chan.wakeup", {"obj": "d"}), (0, "chan.wakeup", {"obj": "c"}):
        none = told(*faults, other, sleep)
        none.feed(end)
        assert "nobody sleeps there" not in text(none)


def test_paging_is_told() -> None:
    """Out, written, given back, and in again; that swap is not full is no news."""
    found = told(
        (2, "swap.full", {"obj": "swap", "result": False}),
        (2, "page.out", {"obj": "p0", "va": "0x1", "page": 7}),
        (1, "swap.written", {"obj": "swap"}),
        (1, "page.free", {"pages": "7"}),
        (0, "page.in", {"obj": "p0", "va": "0x1", "page": 9}),
        (2, "swap.full", {"obj": "swap", "result": True}),
        (0, "proc.exit", {"obj": "p0", "result": True}),
    )
    assert text(found).splitlines() == [
        "K begins to page out page 7 of p0 at 0x1, at step 1.",
        "B sees a write to swap done at step 2.",
        "B frees page 7 at step 3.",
        "A reads page 9 of p0 at 0x1 back from swap, at step 4.",
        "K finds that swap is full, at step 5.",
        "A leaves p0 at step 6, the last of its threads.",
    ]


def test_what_is_told_of_a_record_names_fields_that_it_has() -> None:
    """By the schema, so that no sentence has a hole."""
    known = {word.event: {field.name for field in word.fields} for word in words()}
    for event, text in [
        *((event, text) for event, (_, text) in DEEDS.items()),
        *((event, text) for (event, _), (_, text) in ANSWERS.items()),
    ]:
        named = {name for _, name, _, _ in Formatter().parse(text) if name}
        assert named <= known[event] | {"task", "step"}, event
