"""Who let a thread go, told from the log, is who really did; and everything that shows it
shows the same."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable
from pathlib import Path

import attrs
import pytest
from sleepers import NAMES, Woken, random_runs, steered

from kmodel.explain.chronicle import chronicle
from kmodel.log import chrome, sequence
from kmodel.log.grid import lines
from kmodel.log.picture import Picture
from kmodel.log.record import Record
from kmodel.log.timeline import Timeline, timeline
from kmodel.log.tracks import Instant, tracks
from kmodel.log.waker import Wakers
from kmodel.sync.rwlock import POLICIES

# A and B sleep; W wakes A and keeps the interlock; B is woken by V; Z has the interlock
# in between, and lets it go after each of the wakeups
SCHEDULE = "AAA BBB CCC WWW Z W Z V Z VVV ZZZZZ BB AA".replace(" ", "")
WAKES = {"A": ("W", 11), "B": ("V", 18)}


def told(records: Iterable[Record]) -> list[Woken]:
    wakers, found = Wakers(), []
    for record in records:
        waker = wakers.feed(record)
        if waker is not None:
            found.append((record.task or "", record.event, waker.task, waker.step))
    return found


def sleeps(wakes: Iterable[Woken]) -> list[Woken]:
    return [woken for woken in wakes if woken[1] == "chan.woken"]


@pytest.mark.parametrize("policy", POLICIES)
def test_who_let_it_go_is_who_took_it_off_the_queue(policy: str) -> None:
    """In random runs, whoever else released the interlock since."""
    seen = set()
    for records, truth in random_runs(policy, 30, 150):
        assert told(records) == truth
        seen |= {event for _, event, _, _ in truth}
    assert seen == {"chan.woken", "lock.contended", "mutex.enter"}


@pytest.mark.parametrize("policy", POLICIES)
def test_a_cause_is_the_wakeup_or_the_release_itself(policy: str) -> None:
    """Not what the same step did after it, nor who let the interlock go."""
    lets_go = {
        "chan.woken": ("chan.wakeup", "chan.wakeup_one"),
        "lock.contended": ("lock.release",),
        "mutex.enter": ("mutex.leave", "chan.sleep"),
    }
    for records, truth in random_runs(policy, 10, 150):
        causes = [record for record in records if record.cause is not None]
        for record, (_, event, _, step) in zip(causes, truth, strict=True):
            assert record.cause is not None
            cause = records[record.cause]
            assert (record.event, cause.step) == (event, step)
            assert cause.event in lets_go[event]
            assert record.obj in (cause.obj, cause.fields.get("mutex"))


def test_without_causes_wakeups_go_by_the_queue() -> None:
    """The one that has slept longest by wakeup_one, all by wakeup."""
    for records, truth in random_runs("wake-all", 30, 150):
        bare = [attrs.evolve(record, cause=None) for record in records]
        assert sleeps(told(bare)) == sleeps(truth)


def test_who_was_let_go_long_ago_is_not_forgotten() -> None:
    """A million records later."""

    def said(number: int, cpu: int, event: str, cause: int | None = None) -> Record:
        return Record(number, number, cpu, NAMES[cpu], event, cause, "lock", True, {})

    wakers = Wakers()
    wakers.feed(said(0, 1, "lock.release"))
    for number in range(1, 100_000):
        wakers.feed(said(number, 2, "task.pause"))
    found = wakers.feed(said(100_000, 0, "lock.contended", cause=0))
    assert found is not None
    assert (found.task, found.step) == ("B", 0)


def drawn() -> tuple[list[Record], Timeline]:
    records, _ = steered(SCHEDULE)
    return records, timeline(records, NAMES, {})


def woken_at(records: list[Record]) -> dict[str, int]:
    return {record.task or "": record.step for record in records if record.event == "chan.woken"}


def test_arrows_begin_at_the_wakeup() -> None:
    records, found = drawn()
    back = woken_at(records)
    arrows = {
        NAMES[a.taker]: (NAMES[a.giver], a.since) for a in found.arrows if a.until in back.values()
    }
    assert arrows == WAKES
    page = Picture(found, "sleepers").svg()
    text = list(lines(found, 200))
    for taker, (giver, step) in WAKES.items():
        assert f"step {step}: {giver} lets {taker} go, who steps in {back[taker]} (chan)" in page
        (row,) = [line.text for line in text if line.text.split()[:1] == [str(step)]]
        assert " " not in row[row.index("◀") : row.index("●")], "the arrow has no gaps"
    diagram = list(sequence.mermaid(found))
    assert "    c3->>c0: 11: chan" in diagram
    assert "    c4->>c1: 18: chan" in diagram


def test_flows_begin_at_the_wakeup() -> None:
    records, _ = steered(SCHEDULE)
    back = woken_at(records)
    items = list(tracks(records, {}))
    flows = {
        (NAMES[item.track.cpu], item.step, item.args["to step"])
        for item in items
        if isinstance(item, Instant) and item.begins is not None
    }
    assert {(giver, step, back[taker]) for taker, (giver, step) in WAKES.items()} <= flows
    out = io.BytesIO()
    chrome.write(items, NAMES, out)
    starts = [e for e in json.loads(out.getvalue())["traceEvents"] if e["ph"] == "s"]
    assert {(1000 + 64 * 3, 11.5), (1000 + 64 * 4, 18.5)} <= {(e["tid"], e["ts"]) for e in starts}


def test_clocks_of_a_woken_thread_are_after_its_wakeup() -> None:
    records, _ = steered(SCHEDULE)
    rows = list(sequence.shiviz(records, NAMES))[2:]
    clocks = [json.loads(row.partition(" ")[2]) for row in rows[1::2]]
    at = {record.seq: number for number, record in enumerate(r for r in records if r.task)}
    for record in records:
        if record.cause is not None:
            before, after = clocks[at[record.cause]], clocks[at[record.seq]]
            assert all(after[name] >= time for name, time in before.items())


def test_sentences_name_the_waker_of_each_sleeper() -> None:
    records, _ = steered(SCHEDULE)
    text = "\n".join(map(str, chronicle(records).sentences()))
    for taker, (giver, step) in WAKES.items():
        assert f"{taker} sleeps on chan" in text
        assert f"; {giver} wakes it at step {step}, and it goes on at" in text


def test_where_the_log_ends_it_is_said_whom_a_wakeup_woke() -> None:
    """C still sleeps: both wakeups woke others. Cut before A comes back, A has been woken."""
    records, _ = steered(SCHEDULE)
    (asleep,) = chronicle(records).ends()
    assert asleep == (
        "C is asleep on chan since step 8; V's wakeup at step 18, after that, woke another."
    )
    early = [record for record in records if record.step < 14]
    assert chronicle(early).ends() == [
        "A slept on chan from step 2; W woke it at step 11; it has not come back since.",
        "B is asleep on chan since step 5; W's wakeup at step 11, after that, woke another.",
        "C is asleep on chan since step 8; W's wakeup at step 11, after that, woke another.",
    ]


def test_a_record_that_kmodel_did_not_write_has_no_waker(tmp_path: Path) -> None:
    wakers = Wakers()
    for number in (-1, 1 << 31, 1 << 90):
        odd = Record(number, number, number, None, "chan.wakeup", number, None, None, {})
        assert wakers.feed(odd) is None
    assert told([Record(0, 0, 0, "A", "chan.woken", 7, "chan", None, {})]) == []
