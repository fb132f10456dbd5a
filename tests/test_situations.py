"""Every situation, explored within small bounds, and what each cell says and why."""

from __future__ import annotations

from functools import cache

import pytest
from stories import judged

from kmodel import fixes, situations
from kmodel.case import Case
from kmodel.compare import left_out, units
from kmodel.judge import Judge

THREAD = ("wait", "lock-retry", "populate")


@cache
def cell(situation: str, fix: str, **params: object) -> Judge:
    found = situations.load(situation)
    variant = found.combinations()[0] | params
    return judged(found.scenario, fix, situation, **variant)


def kinds(situation: str, fix: str, **params: object) -> dict[str, str]:
    """Property -> what breaks it, or the verdict."""
    searched = cell(situation, fix, **params)
    assert searched.graph.complete
    verdicts = {name: searched.cell((name,)) for name in situations.load(situation).properties}
    return {name: verdict.kind or verdict.verdict for name, verdict in verdicts.items()}


@pytest.mark.parametrize("name", situations.names())
def test_a_situation_is_whole(name: str) -> None:
    """Its scenario is there, its parameters are right in every variant, and each of its
    properties is always judged or asked for by the scenario."""
    from kmodel.properties import PROPERTIES

    situation = situations.load(name)
    assert situation.summary
    assert situation.combinations()
    todo = units(list(THREAD), [name], {})
    assert bool(todo) == (name != "intrsafe-full")
    for unit in todo[:1]:
        world = Case.of(situation.scenario, unit.variant, unit.fix, name).build()
        asked = {check.name for check in world.checks}
        tests = {one for one in situation.properties if PROPERTIES[one].test is not None}
        assert tests <= asked


def test_a_cell_that_cannot_be_is_left_out_with_its_reason() -> None:
    """No unit is made for it, and the reason is one sentence."""
    assert units(["wait"], ["intrsafe-full"], {}) == []
    assert left_out(["wait"], ["contention", "intrsafe-full"]) == [
        {
            "fix": "wait",
            "situation": "intrsafe-full",
            "reason": "only intrsafe takes table pages from the interrupt-safe map",
        }
    ]
    assert situations.load("intrsafe-full").cannot("intrsafe") is None


def test_the_threads_situation_comes_first() -> None:
    """And without --situation or --all it is the only one."""
    assert tuple(situations.names()[: len(situations.THREAD)]) == situations.THREAD
    assert set(situations.ORDER) <= set(situations.names())


@pytest.mark.parametrize("fix", THREAD)
def test_without_swap_a_refusal_kills_whatever_the_fix(fix: str) -> None:
    """The swap test comes before the fix is asked, and without swap it is always true."""
    assert kinds("contention-no-swap", fix, cpus=1) == {
        "justified kill": "unjustified-kill",
        "no refault livelock": "holds",
        "ends": "holds",
    }


@pytest.mark.parametrize("touch", ["fresh", "swapped"])
def test_out_of_memory_with_swap_nobody_is_killed_and_a_lost_bell_can_hang_all(touch: str) -> None:
    """Pages are written out until the fault has what it needs; whoever asks for the daemon
    while it runs may wait for ever, as README's findings say."""
    assert kinds("oom-swap", "wait", touch=touch) == {
        "justified kill": "holds",
        "nobody waits for what is there": "lost-wakeup",
        "ends": "deadlock",
    }
    assert cell("oom-swap", "wait", touch=touch).longest["kills"] == 0


def test_out_of_memory_without_room_on_swap_one_is_killed() -> None:
    """Alone, a process is killed only for what is really short."""
    assert kinds("oom", "wait", cpus=1, npages=13) == {"justified kill": "holds", "ends": "holds"}
    assert cell("oom", "wait", cpus=1, npages=13).longest["kills"] == 1


def test_memory_that_a_kill_gave_back_is_not_looked_at_by_the_next_one() -> None:
    """Between a failed allocation and the swap test another process died: the second one is
    killed although pages are free by then."""
    assert kinds("oom", "populate") == {"justified kill": "unjustified-kill", "ends": "holds"}


def test_a_swapped_page_is_waited_for_without_a_look_at_swap() -> None:
    """uvm_wait("flt_noram1"): nobody is killed, and memory never comes."""
    found = kinds("oom", "wait", touch="swapped", cpus=1, npages=13)
    assert found == {"justified kill": "holds", "ends": "deadlock"}


@pytest.mark.parametrize(
    ("fix", "stays", "exits"),
    [
        ("wait", "deadlock", "lost-wakeup"),
        ("lock-retry", "livelock", "holds"),
        ("populate", "deadlock", "deadlock"),
    ],
)
def test_exhausted_addresses_are_told_to_nobody(fix: str, stays: str, exits: str) -> None:
    """For good, each fix waits in its own way. If an exit gives tables back, who retries has
    them; who sleeps for memory may miss it, and so may a request that pool_put overlooks."""
    assert kinds("kva", fix, other="stays") == {
        "KVA exhaustion is diagnosed": stays,
        "nobody waits for what is there": "holds",
    }
    assert kinds("kva", fix, other="exits") == {
        "KVA exhaustion is diagnosed": "holds",
        "nobody waits for what is there": exits,
    }


@pytest.mark.parametrize("other", ["stays", "exits"])
@pytest.mark.parametrize("fix", ["intrsafe", "direct"])
def test_tables_that_are_not_in_kernel_map_do_not_miss_its_addresses(fix: str, other: str) -> None:
    """They come from somewhere else, and nobody waits."""
    assert set(kinds("kva", fix, other=other).values()) == {"holds"}
    assert cell("kva", fix, other=other).longest["refaults"] == 0


@pytest.mark.parametrize(
    ("other", "told", "in_vain"),
    [("stays", "deadlock", "holds"), ("exits", "holds", "lost-wakeup")],
)
def test_a_full_interrupt_safe_map_is_taken_for_a_lack_of_memory(
    other: str, told: str, in_vain: str
) -> None:
    """The fault sleeps for memory, as with kernel_map's addresses, and no lap helps."""
    assert kinds("intrsafe-full", "intrsafe", other=other) == {
        "KVA exhaustion is diagnosed": told,
        "nobody waits for what is there": in_vain,
    }


def test_a_table_in_another_cpus_cache_is_there_and_cannot_be_had() -> None:
    """The process that exits puts its tables where only its own CPU looks."""
    assert kinds("kva", "refill", other="exits", pool_cache=1) == {
        "KVA exhaustion is diagnosed": "holds",
        "nobody waits for what is there": "deadlock",
    }


@pytest.mark.parametrize(
    ("fix", "how"), [("direct", {}), ("page-wrapper", {"pool_memory": "direct"})]
)
def test_scattered_pages_are_no_table_in_a_direct_map(fix: str, how: dict[str, str]) -> None:
    """Memory is plentiful, a pair never comes, and the fault is told to wait for memory."""
    found = kinds("fragmented", fix, cpus=1, **how)
    assert found["justified kill"] == "holds"
    assert found["no refault livelock"] == "livelock"
    assert found["ends"] == "deadlock", "a wakeup would not help, so none was lost"


@pytest.mark.parametrize("fix", THREAD)
def test_scattered_pages_are_no_trouble_where_tables_have_addresses(fix: str) -> None:
    """The two pages of a table lie anywhere, and nothing fails."""
    assert set(kinds("fragmented", fix).values()) == {"holds"}
    assert cell("fragmented", fix).longest["refaults"] == 0


@pytest.mark.parametrize(
    ("fix", "ends"), [("wait", "lost-wakeup"), ("lock-retry", "holds"), ("populate", "holds")]
)
@pytest.mark.parametrize("rounds", [1, 0])
def test_an_address_that_comes_and_goes_breaks_nothing_of_its_own(
    fix: str, ends: str, rounds: int
) -> None:
    """What is left is what ``wait`` does under contention."""
    assert kinds("churn", fix, rounds=rounds, lap="silent") == {
        "no use after free": "holds",
        "populated is not mapped": "holds",
        "no refault livelock": "holds",
        "ends": ends,
    }


@pytest.mark.parametrize(
    ("fix", "ends"), [("wait", "lost-wakeup"), ("lock-retry", "holds"), ("populate", "holds")]
)
def test_an_exit_gives_everything_back_whoever_goes_last(fix: str, ends: str) -> None:
    """Every table, descriptor, anon and page, and none of them early."""
    assert kinds("teardown", fix, cpus=1, lap="silent") == {
        "no use after free": "holds",
        "no leak": "holds",
        "ends": ends,
    }


def test_two_that_lock_and_unlock_the_map_can_refuse_each_other_for_ever() -> None:
    """lock-retry needs no third thread to livelock: each one's lock is the other's refusal."""
    assert kinds("teardown", "lock-retry")["ends"] == "livelock"


def test_every_fix_has_a_cell_or_a_reason_in_every_situation() -> None:
    """Nothing is missing in silence."""
    todo = units(fixes.names(), situations.names(), {})
    have = {(unit.fix, unit.situation) for unit in todo}
    have |= {(one["fix"], one["situation"]) for one in left_out(fixes.names(), situations.names())}
    assert have == {(fix, name) for fix in fixes.names() for name in situations.names()}
