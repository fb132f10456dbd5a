"""What a thread has in hand where it sleeps, as its steps and the state show it."""

from __future__ import annotations

from typing import Any

import pytest

from kmodel.asleep import Asleep, asleep
from kmodel.compare import units
from kmodel.explore.drive import drive
from kmodel.explore.graph import Limits, Search
from kmodel.hand import Hand


def after(*said: tuple[str, dict[str, Any]]) -> Hand:
    hand = Hand()
    for event, fields in said:
        hand = hand.after(event, fields)
    return hand


def got(pool: str, item: int) -> tuple[str, dict[str, Any]]:
    return "pool.get", {"obj": f"{pool} pool", "item": hex(item)}


def put(pool: str, item: int) -> tuple[str, dict[str, Any]]:
    return "pool.put", {"obj": f"{pool} pool", "item": hex(item)}


def pages(*numbers: int) -> tuple[str, dict[str, Any]]:
    return "page.alloc", {"pages": " ".join(map(str, numbers))}


def left(hand: Hand, items: tuple[int, ...] = (), there: tuple[int, ...] = ()) -> dict[str, int]:
    return dict(hand.without(set(items), set(there)))


def test_what_is_taken_is_in_hand_until_it_is_given_back_or_in_place() -> None:
    """An item by its address; a table that was linked is in hand no more, whoever frees it."""
    both = (got("pted", 0x10), got("vp", 0x20))
    assert left(after(*both)) == {"pted": 1, "vp": 1}
    assert left(after(*both, put("pted", 0x10))) == {"vp": 1}
    assert left(after(*both, ("pmap.table", {"item": "0x20"}))) == {"pted": 1}
    assert left(after(*both), items=(0x10,)) == {"vp": 1}
    assert left(after(*both, ("fault.begin", {}))) == {}


def test_pages_are_in_hand_until_they_are_behind_a_range_or_a_pools() -> None:
    """A page that the pool of map entries took for itself on the way is none of them."""
    assert left(after(pages(8, 9))) == {"pages": 2}
    entry = (pages(8, 9), pages(12), got("vmmpekpl", 0x30))
    assert left(after(*entry)) == {"pages": 2}
    assert left(after(*entry, ("kva.alloc", {}))) == {}
    assert left(after(pages(8, 9), ("page.free", {"pages": "8 9"}))) == {}
    assert left(after(pages(8), got("pted", 0x10))) == {"pted": 1}
    assert left(after(pages(8)), there=(8,)) == {}


def sleeping(fix: str, situation: str = "contention", **given: Any) -> tuple[Asleep, ...]:
    unit = units([fix], [situation], given)[0]
    search = Search(unit.case().build(), Limits())
    drive(search)
    return asleep(search.graph)


@pytest.mark.parametrize(
    ("fix", "hands"),
    [
        ("wait", []),
        ("populate", [{"pages": 2, "pted": 1}]),
        ("refill", [{"pages": 2, "pted": 1}]),
        ("reserve", [{"pages": 2, "pted": 1}, {"pages": 2, "pted": 1, "vp": 1}]),
    ],
)
def test_who_waits_for_a_table_page_has_in_hand_what_its_fix_took_before(
    fix: str, hands: list[dict[str, int]]
) -> None:
    """populate a descriptor, reserve the first table page too, each with the new one's pages."""
    found = [dict(one.in_hand) for one in sleeping(fix, cpus=1) if one.at == "kernel_map"]
    assert sorted(map(sorted, found)) == sorted(map(sorted, hands))
    assert all(hand in hands for hand in found)


def test_what_others_freed_meanwhile_is_in_nobodys_hand() -> None:
    """The anon that a fault put in place goes with the mapping, when that is unmapped."""
    found = [dict(one.in_hand) for one in sleeping("populate", "churn") if one.in_hand]
    assert found
    assert not any("anonpl" in hand for hand in found)
