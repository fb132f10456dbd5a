"""A paragraph says what the cells say, and changes when they do."""

from __future__ import annotations

from functools import cache
from typing import Any

import attrs

from kmodel.asleep import Asleep
from kmodel.compare import Cell, Judged, cells, judge, units
from kmodel.explore.graph import Limits
from kmodel.paragraph import paragraph


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
    """With its situations."""
    assert paragraph([cell("populate")]).startswith("populate holds in 1 situation.")
    both = [cell("wait"), cell("wait", "fragmented")]
    assert paragraph(both).startswith("wait holds in 1 of 2 situations (fragmented).")
    assert paragraph(both[:1]).startswith("wait holds in none of 1 situation.")


def test_the_worst_cell_is_told_and_where_it_is_so() -> None:
    """In every variant, or in those that something sets apart."""
    whole = cell("wait")
    assert (
        "It is worst in contention, whatever the variant: lost-wakeup: A can never step again"
    ) in paragraph([whole])
    half = whole
    for number in (0, 1):
        good = verdict(whole.variants[number], verdict="holds", kind=None)
        half = changed(half, number, verdict=good)
    assert "worst in contention, with lap=silent: lost-wakeup" in paragraph([half])
    odd = changed(half, 1, verdict=whole.variants[1].verdict)
    assert "worst in contention, in 3 of 4 variants: lost-wakeup" in paragraph([odd])


def test_how_often_a_fault_is_restarted_is_the_most_of_any_variant() -> None:
    """Without bound before a number, and only of what was searched to its end."""
    assert "A fault is restarted without bound in contention." in paragraph([cell("wait")])
    populate = cell("populate")
    assert "A fault is restarted at most 1 time in contention." in paragraph([populate])
    counts = populate.worst.verdict.counts | {"refaults": 7}
    seven = changed(populate, 2, verdict=verdict(populate.variants[2], counts=counts))
    assert "at most 7 times in contention" in paragraph([seven])
    never = cell("wait", "fragmented")
    assert "No fault is ever restarted." in paragraph([never])
    told = paragraph([cell("wait"), never])
    assert "restarted without bound in contention; never in fragmented." in told


def test_who_sleeps_where_holding_what_is_told_without_the_name_of_the_process() -> None:
    """A daemon that waits for work is no news; one that waits for a lock is."""
    told = paragraph([cell("lock-retry")])
    assert "Its faults sleep on kernel_map (holding nothing)." in told
    assert "pagedaemon" not in told
    ways = (Asleep("fault", "p0 amap", ("p0 vm_map",)), Asleep("pagedaemon", "kernel_map", ()))
    told = paragraph([changed(cell("populate"), 0, asleep=ways)])
    assert "amap (holding vm_map)" in told
    assert "The pagedaemon sleeps on kernel_map (holding nothing)." in told


def test_what_is_not_known_is_said() -> None:
    """How far it came."""
    todo = units(["populate"], ["contention"], {"lap": "wakes"})
    found = [judge(unit, Limits(states=1000)) for unit in todo]
    (cut,) = cells(found, todo)
    seen = max(one.verdict.evidence.states for one in found)
    assert f"Undecided in contention ({seen:,} states seen)." in paragraph([cut])
    broken = cell("wait")
    bound = attrs.evolve(broken.worst.verdict.evidence, complete=False, bound="100 states")
    partly = changed(broken, 0, verdict=verdict(broken.variants[0], evidence=bound))
    told = paragraph([partly])
    assert "Not searched to the end in contention (1 of 4 variants)." in told
    assert "A fault is restarted (of what was searched to its end) without bound" in told
