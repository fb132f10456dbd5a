"""The decision matrix: its units, its cells, and what one unit may take over from another."""

from __future__ import annotations

import gc
from functools import cache
from typing import Any

import attrs
import pytest
from breaks import breaks

from kmodel import compare, fixes, situations, story
from kmodel.cell import Cell, cells, stops
from kmodel.cli.compare import status
from kmodel.compare import Judged, Unit, adopt, judge, units
from kmodel.explore.graph import Graph, Limits
from kmodel.explore.tree import Divergence
from kmodel.properties import ENDS, NO_LIVELOCK
from kmodel.settings import UsageError

VARIANTS = [
    {"lap": "wakes", "rwlock": "wake-all"},
    {"lap": "wakes", "rwlock": "wake-one-writer"},
    {"lap": "silent", "rwlock": "wake-all"},
    {"lap": "silent", "rwlock": "wake-one-writer"},
]
SMALL = {"cpus": 1}


def work(*chosen: str, given: dict[str, Any] | None = None) -> list[Unit]:
    return units(list(chosen), ["contention"], SMALL | (given or {}))


def judged_all(todo: list[Unit]) -> list[Judged]:
    return [judge(unit, Limits()) for unit in todo]


@cache
def matrix() -> tuple[Cell, ...]:
    """All fixes with one CPU that faults."""
    todo = work(*fixes.names())
    return tuple(cells(judged_all(todo), todo))


def cell(fix: str) -> Cell:
    return next(one for one in matrix() if one.fix == fix)


# what there is to do


def test_a_unit_for_each_fix_and_variant() -> None:
    """In the order of the fixes, then of the variants."""
    found = work("wait", "populate")
    assert [(unit.fix, unit.variant) for unit in found] == [
        (fix, variant) for fix in ("wait", "populate") for variant in VARIANTS
    ]


def test_a_judged_units_graph_is_free_at_once() -> None:
    """Without the cycle collector, which may come much later: else the next unit of the same
    process has that much less memory."""
    todo = work("wait")[0]
    gc.collect()
    before = [one for one in gc.get_objects() if isinstance(one, Graph)]
    gc.disable()
    try:
        judged = judge(todo, Limits())
        after = [one for one in gc.get_objects() if isinstance(one, Graph)]
    finally:
        gc.enable()
    assert judged.complete
    assert len(after) == len(before)


def test_what_is_given_is_not_varied() -> None:
    """What the user sets takes the place of the variants, also a value that is none of them."""
    found = work("wait", given={"lap": "silent"})
    assert [unit.variant for unit in found] == VARIANTS[2:]
    given = {"lap": "silent", "rwlock": "hand-off"}
    assert [unit.variant for unit in work("wait", given=given)] == [given]


def test_what_a_fix_leaves_open_is_varied_too() -> None:
    """Each variant of the situation with each of the fix; one that is given is none."""
    found = [unit.variant for unit in work("daemon-refill")]
    flavours = [{"daemon_refill": "waitok"}, {"daemon_refill": "trylock"}]
    assert found == [where | how for where in VARIANTS for how in flavours]
    found = [unit.variant for unit in work("daemon-refill", given={"daemon_refill": "trylock"})]
    assert found == [where | flavours[1] for where in VARIANTS]


def test_a_fix_cannot_be_taken_out_of_itself() -> None:
    """What makes a kernel the fix that it is cannot be set to something else; its sizes can."""
    with pytest.raises(UsageError, match="pool_memory=direct: fix 'intrsafe' is the one with"):
        work("intrsafe", given={"pool_memory": "direct"})
    assert work("page-wrapper", given={"page_cache": 1})
    assert work("wait", given={"pool_memory": "direct"})


def test_a_story_is_loaded_once_for_all_its_units() -> None:
    """Else the hundreds of cases of a whole matrix take seconds before the first is judged."""
    story._loaded.cache_clear()
    work("wait", "populate", "direct")
    assert story._loaded.cache_info().misses == 1


def test_what_cannot_be_is_refused_before_anything_is_judged() -> None:
    """A value that no machine can have is an error of the user, not an empty table."""
    with pytest.raises(UsageError, match="lap"):
        work("wait", given={"lap": "x"})


def test_everything_is_every_fix_and_situation() -> None:
    """And each situation judges properties that there are."""
    from kmodel.properties import PROPERTIES

    assert compare.everything() == (fixes.names(), situations.names())
    for name in situations.names():
        situation = situations.load(name)
        assert set(situation.properties) <= set(PROPERTIES)
        assert situation.combinations()


# what comes of it


@breaks("no refault livelock", "ends")
def test_the_matrix_answers_the_question() -> None:
    """Fix by fix, property by property."""
    found = {
        one.fix: {name: (one.on(name).verdict, one.on(name).kind) for name in (NO_LIVELOCK, ENDS)}
        for one in matrix()
    }
    assert found["wait"][NO_LIVELOCK] == ("violated", "livelock")
    assert found["wait"][ENDS] == ("violated", "lost-wakeup")
    assert found["lock-retry"][NO_LIVELOCK] == ("violated", "livelock")
    assert found["lock-retry"][ENDS] == ("violated", "livelock")
    assert found["populate"] == {NO_LIVELOCK: ("holds", None), ENDS: ("holds", None)}


def test_the_worst_variant_is_the_headline() -> None:
    """No variant of a cell is worse than the one in front."""
    for one in matrix():
        worst = one.worst.verdict.badness()
        assert all(worst <= judged.verdict.badness() for judged in one.variants)
        own = fixes.load(one.fix).combinations()
        expected = [where | how for where in VARIANTS for how in own]
        assert [judged.unit.variant for judged in one.variants] == expected


def test_a_cells_document_is_the_worst_verdict_with_all_variants() -> None:
    """The verdict document's keys, and under ``variants`` each one whole."""
    document = cell("wait").document()
    plain = cell("wait").worst.verdict.document()
    assert {key: document[key] for key in plain} == plain
    assert set(document) - set(plain) == {"properties", "variants", "complete", "bounds"}
    assert set(document["properties"]) == {NO_LIVELOCK, ENDS}
    assert [v["variant"] for v in document["variants"]] == VARIANTS
    for variant in document["variants"]:
        own = {"variant", "properties", "asleep", "complete", "states", "seconds"}
        assert set(variant) == set(plain) | own
        for key in ("complete", "states", "seconds"):
            assert variant[key] == variant["evidence"][key]
        assert {"who": "fault", "at": "&uvmexp.free", "holds": (), "in_hand": {}} in variant[
            "asleep"
        ]
        assert variant["params"]["lap"] == variant["variant"]["lap"]
        assert variant["situation"] == "contention"


def test_each_variant_has_its_random_runs() -> None:
    """Means beside the most of any run, and no mean above it."""
    for one in matrix():
        for judged in one.variants:
            counts = judged.verdict.counts
            assert counts["random"]["runs"] == compare.RANDOM_RUNS
            most = counts["refaults"]
            assert most is None or counts["random"]["mean_refaults"] <= most


def test_cells_are_in_the_order_asked_for_however_they_finish() -> None:
    """Processes finish as they like."""
    todo = work("populate", "wait")
    done = [judged for one in matrix() for judged in one.variants]
    shuffled = [judged for judged in reversed(done) if judged.unit.fix in ("populate", "wait")]
    found = cells(shuffled, todo)
    assert [one.fix for one in found] == ["populate", "wait"]
    assert all([v.unit.variant for v in one.variants] == VARIANTS for one in found)


def test_unfinished_variants_are_missing() -> None:
    """After Ctrl-C the cells show what there is."""
    todo = work("populate", "wait")
    first = cell("populate").variants[:1]
    (found,) = cells(list(first), todo)
    assert found.variants == first


def plain(judged: Judged) -> Any:
    """Its document, but for how long it took."""
    documents = [judged.verdict, *judged.properties.values()]
    return [
        one.document() | {"evidence": attrs.asdict(attrs.evolve(one.evidence, seconds=0.0))}
        for one in documents
    ]


def test_what_is_taken_over_is_what_a_search_would_have_found() -> None:
    """Word for word, with replays of its own kernel; and only from a unit that cannot differ."""
    todo = work("lock-retry")
    one, other = (unit for unit in todo if unit.variant["rwlock"] == "wake-all")
    first = judge(one, Limits())
    assert "lap" not in first.asked.kernel, "its page daemon never does a lap"
    assert first.asked.would_be(*kernel_of(other))
    assert plain(adopt(other, first)) == plain(judge(other, Limits()))
    assert adopt(other, first).verdict.replay != first.verdict.replay
    kernel, fix = kernel_of(other)
    assert not first.asked.would_be(attrs.evolve(kernel, rwlock="hand-off"), fix)


def test_a_policy_that_no_lock_shows_may_be_the_other() -> None:
    """While one thread at a time sleeps for a lock, and all of them want to write, both
    policies let in and wake the same. It is said whose search it was."""
    one, other = (unit for unit in work("wait") if unit.variant["lap"] == "silent")
    first, second = judge(one, Limits()), judge(other, Limits())
    assert first.asked.policies == second.asked.policies == ("wake-all", "wake-one-writer")
    assert first.asked.would_be(*kernel_of(other))
    taken = adopt(other, first)
    assert plain(taken) == plain(second)
    assert taken.asleep == second.asleep
    assert taken.searched == one
    (found,) = cells([taken], [other])
    assert found.document()["variants"][0]["searched"]["variant"] == one.variant


def test_a_fix_that_is_never_called_may_be_any_fix() -> None:
    """Without swap the fault is killed before: all kernels that are built alike are one."""
    todo = units(["wait", "cause", "refill", "direct"], ["contention-no-swap"], SMALL)
    first = judge(todo[0], Limits())
    like = [unit for unit in todo if unit.case().like(todo[0].case(first.asked))]
    assert "after_failure" not in first.asked.fix
    assert {unit.fix for unit in like} == {"wait", "refill"}, "cause and direct are other kernels"
    assert plain(adopt(like[-1], first)) == plain(judge(like[-1], Limits()))


def kernel_of(unit: Unit) -> tuple[Any, Any]:
    return unit.case().kernel, fixes.load(unit.fix)


def test_a_replay_that_is_another_run_is_not_taken_over() -> None:
    """The runs that show it are run again; here of a unit that does differ."""
    todo = work("wait")
    with pytest.raises(Divergence, match="the recorded schedule lets task"):
        adopt(todo[2], judge(todo[0], Limits()))


def test_a_parameter_of_one_story_is_left_out_of_the_others() -> None:
    """A word that no scenario knows is an error all the same."""
    found = units(["wait"], ["contention", "fragmented"], {"faults": 2, "cpus": 1})
    assert {unit.situation: unit.given for unit in found} == {
        "contention": {"faults": 2, "cpus": 1},
        "fragmented": {"cpus": 1},
    }
    with pytest.raises(UsageError, match="fualts"):
        units(["wait"], ["contention", "fragmented"], {"fualts": 2})


def test_what_boot_has_no_room_for_is_told_of_every_situation_before_anything_is_searched() -> None:
    """Each has its own needs."""
    with pytest.raises(UsageError) as refused:
        units(["populate"], ["contention", "oom-swap", "kva"], {"npages": 12})
    first, second = str(refused.value).splitlines()
    assert first == "In oom-swap: Parameters that cannot be: no page left at boot; raise npages"
    assert second.startswith("In kva: Parameters that cannot be: no room at boot for a page-table ")


def test_what_ended_searches_early_is_told_once_a_reason() -> None:
    """Seconds that a variant happened to have say nothing when the time was common."""
    (one, *_) = cell("wait").variants
    bounds = (
        *("4.77389 s (a third of them kept for judging)", "250000 states", "none"),
        *("4.1 s (a third of them kept for judging)", "250000 states; judging: out of time"),
        *("64 MiB of memory", "not begun: no time was left"),
    )
    many = [
        attrs.evolve(
            one,
            verdict=attrs.evolve(
                one.verdict,
                evidence=attrs.evolve(one.verdict.evidence, bound=bound, complete=bound == "none"),
            ),
        )
        for bound in bounds
    ]
    assert stops(many) == [
        ("no time was left", 3),
        ("250,000 states", 1),
        ("64 MiB of memory", 1),
        ("not begun: no time was left", 1),
    ]


# the exit status


def cut_short() -> Cell:
    todo = units(["populate"], ["contention"], {"lap": "wakes"})
    return cells([judge(todo[0], Limits(states=100))], todo)[0]


@pytest.mark.parametrize("check", [False, True])
def test_the_status_says_whether_all_is_decided(check: bool) -> None:
    """0 once each cell is; 4 if one is not, or there is none; with --check 1 on a violation."""
    holds, broken, open_ = cell("populate"), cell("wait"), cut_short()
    assert open_.worst.verdict.verdict == "inconclusive"
    assert status([holds], check) == 0
    assert status([holds, broken], check) == (1 if check else 0)
    assert status([holds, open_], check) == 4
    assert status([broken, open_], check) == (1 if check else 4)
    assert status([], check) == 4
