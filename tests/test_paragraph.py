"""A paragraph says what the cells say, and changes when they do."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import attrs

from kmodel.asleep import Asleep
from kmodel.cell import Cell, cells
from kmodel.compare import Judged, judge, not_begun, units
from kmodel.explore.graph import Limits
from kmodel.paragraph import paragraph as lines


def paragraph(found: list[Cell]) -> str:
    return "\n".join(lines(found))


@cache
def cell(fix: str, situation: str = "contention") -> Cell:
    todo = units([fix], [situation], {"cpus": 1} if situation == "contention" else {})
    (found,) = cells([judge(unit, Limits()) for unit in todo], todo)
    return found


def changed(of: Cell, number: int, **to: Any) -> Cell:
    """With one variant that says something else."""
    variants = list(of.variants)
    variants[number] = attrs.evolve(variants[number], **to)
    return attrs.evolve(of, variants=tuple(variants))


def verdict(judged: Judged, **to: Any) -> Any:
    return attrs.evolve(judged.verdict, **to)


def test_what_holds_is_named() -> None:
    """With its situations, and what does not is counted."""
    assert paragraph([cell("populate")]).startswith("populate, of 1 situation: holds in 1 (cont")
    both = [cell("wait"), cell("wait", "fragmented")]
    told = "wait, of 2 situations: holds in 1 (fragmented) and breaks in 1."
    assert paragraph(both).startswith(told)
    assert paragraph(both[:1]).startswith("wait, of 1 situation: breaks in 1.")


def test_the_worst_cell_is_told_and_where_it_is_so() -> None:
    """In every variant, or in those that something sets apart."""
    whole = cell("wait")
    told = "Worst in contention, whatever the variant: lost-wakeup: A can never step again"
    assert told in paragraph([whole])
    half = whole
    for number in (0, 1):
        good = verdict(whole.variants[number], verdict="holds", kind=None)
        half = changed(half, number, verdict=good)
    assert "Worst in contention, with lap=silent: lost-wakeup" in paragraph([half])
    odd = changed(half, 1, verdict=whole.variants[1].verdict)
    assert "Worst in contention, in 3 of 4 variants: lost-wakeup" in paragraph([odd])


def test_each_kind_is_told_with_all_its_situations() -> None:
    """In a line of its own."""
    twice = [cell("wait"), attrs.evolve(cell("wait"), situation="teardown")]
    told = "Breaks: lost-wakeup in contention and teardown; livelock in contention and teardown."
    assert told in lines(twice)


def test_how_often_a_fault_is_restarted_is_the_most_of_any_variant() -> None:
    """Without bound before a number."""
    assert "Restarts of one fault: without bound in contention." in paragraph([cell("wait")])
    populate = cell("populate")
    assert "Restarts of one fault: at most 1 time in contention." in paragraph([populate])
    counts = populate.worst.verdict.counts | {"refaults": 7}
    seven = changed(populate, 2, verdict=verdict(populate.variants[2], counts=counts))
    assert "at most 7 times in contention" in paragraph([seven])
    never = cell("wait", "fragmented")
    assert "Restarts: no fault is ever restarted." in paragraph([never])
    told = paragraph([cell("wait"), never])
    assert "without bound in contention; never in fragmented." in told


def cut(judged: Judged, **counts: Any) -> Any:
    """Its verdict, as if the search had ended early with these counts."""
    bound = attrs.evolve(judged.verdict.evidence, complete=False, bound="100 states")
    return verdict(judged, evidence=bound, counts=counts)


def test_what_was_seen_before_a_search_ended_early_is_a_lower_bound() -> None:
    """It counts, also a livelock; only all variants together show that there is no more."""
    never = cell("wait", "fragmented")
    three = changed(never, 0, verdict=cut(never.variants[0], refaults=3))
    assert "Restarts of one fault: at least 3 times in fragmented." in paragraph([three])
    none = changed(never, 0, verdict=cut(never.variants[0], refaults=0))
    assert "Restarts of one fault: not known in fragmented." in paragraph([none])
    uncounted = changed(never, 0, verdict=cut(never.variants[0]))
    assert "Restarts of one fault: not known in fragmented." in paragraph([uncounted])
    found = changed(never, 0, verdict=cut(never.variants[0], refaults=None))
    assert "Restarts of one fault: without bound in fragmented." in paragraph([found])
    wait = cell("wait")
    for number, judged in enumerate(wait.variants):
        wait = changed(wait, number, verdict=cut(judged))
    assert "Restarts of one fault: without bound in contention." in paragraph([wait])


def test_who_sleeps_where_with_which_locks_is_told_without_the_name_of_the_process() -> None:
    """A daemon that waits for work is no news; one that waits for a lock is."""
    told = paragraph([whole := cell("lock-retry")])
    assert "Asleep: a fault on kernel_map (holding no lock)." in told
    cut_short = changed(whole, 0, verdict=cut(whole.variants[0]))
    assert "Asleep, as far as seen: a fault on kernel_map" in paragraph([cut_short])
    assert "pagedaemon" not in told
    ways = (Asleep("fault", "p0 amap", ("p0 vm_map",)), Asleep("pagedaemon", "kernel_map", ()))
    told = paragraph([changed(cell("populate"), 0, asleep=ways)])
    assert "amap (holding vm_map)" in told
    assert "; pagedaemon on kernel_map (holding no lock)." in told


def test_what_sleepers_have_in_hand_is_told_by_the_most_of_each_kind() -> None:
    """Of all that sleep in one place; one page is no pages."""
    (told,) = re.findall("Asleep.*", paragraph([cell("populate")]))
    assert "kernel_map (holding no lock; in hand up to 2 pages and 1 pted)" in told
    ways = (
        Asleep("fault", "p0 amap", (), (("pted", 1), ("vp", 1))),
        Asleep("fault", "p1 amap", (), (("pages", 1), ("vp", 2))),
    )
    told = paragraph([changed(cell("lock-retry"), 0, asleep=ways)])
    assert "amap (holding no lock; in hand up to 1 page, 1 pted and 2 vp)" in told


def test_what_there_was_no_time_for_is_no_search_that_saw_nothing() -> None:
    """All such cells in one."""
    todo = units(["populate"], ["contention", "kva"], {"lap": "wakes"})
    found = cells([not_begun(unit) for unit in todo], todo)
    assert lines(found)[1:] == ("Not known: there was no time for contention and kva.",)


def test_what_is_not_known_is_said() -> None:
    """How far it came."""
    todo = units(["populate"], ["contention"], {"lap": "wakes"})
    found = [judge(unit, Limits(states=1000)) for unit in todo]
    (undecided,) = cells(found, todo)
    seen = max(one.verdict.evidence.states for one in found)
    told = lines([undecided])
    assert told[0] == "populate, of 1 situation: is undecided in 1."
    assert told[1] == f"Not known: undecided in contention ({seen:,} states seen)."
    assert "never" not in paragraph([undecided])
    broken = cell("wait")
    partly = changed(broken, 0, verdict=cut(broken.variants[0]))
    told = "there may be worse in variants that were not searched to the end, of"
    assert f"Not known: {told} contention (1 of 4)." in lines([partly])
    good = verdict(partly.variants[0], verdict="inconclusive", kind=None)
    told = "Worst in contention, so far in 3 of 4 variants: lost-wakeup"
    assert told in paragraph([changed(partly, 0, verdict=good)])


def test_what_was_searched_and_says_nothing_is_told_as_that() -> None:
    """There is no more to see of it."""
    holds = cell("populate")
    vacuous = verdict(holds.variants[0], verdict="inconclusive", kind="vacuous")
    told = lines([changed(holds, 0, verdict=vacuous)])
    assert told[1] == "Not known: undecided in contention (vacuous)."
