"""The named properties that situations judge.

A property is broken by findings of some kinds, by a check of states that carries its
name, or by a way to hang. Checks of states cost a search something, so a scenario asks
for those that it needs (``Machine.must``). Numbers are those of the kernel facts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

import attrs

from kmodel.fault import Kernel, Space
from kmodel.param import PAGE_SHIFT
from kmodel.pmap.pools import PmapPools
from kmodel.pmap.pte import Pted, Slot, Vp
from kmodel.world import World

NO_LIVELOCK: Final = "no refault livelock"
ENDS: Final = "ends"
JUSTIFIED: Final = "justified kill"
DIAGNOSED: Final = "KVA exhaustion is diagnosed"
NOT_IN_VAIN: Final = "nobody waits for what is there"
NOT_FREED: Final = "no use after free"
NOT_MAPPED: Final = "populated is not mapped"
GIVEN_BACK: Final = "no leak"

Test = Callable[[Kernel, tuple[Space, ...]], str | None]


@attrs.frozen
class Property:
    """One sentence, and what breaks it: findings of ``kinds``, or ``test``, which says what
    is wrong with a state. ``when`` is that of ``World.check``: ``hang`` asks it of states
    in which an obliged task can stay for ever under strong fairness (weak fairness lets a
    CPU spin for ever on a mutex that others keep taking, and here the question is what
    they wait for, not who is fast)."""

    sentence: str
    kinds: tuple[str, ...] = ()
    test: Test | None = None
    when: str = "always"


def exhausted(kernel: Kernel, spaces: tuple[Space, ...]) -> str | None:
    """Property 22: pages there are, and for a table page neither address nor item."""
    if _table_page(kernel.pmap_pools) or not kernel.physmem.plentiful():
        return None
    return "no address is left for a table page, and no fault is told so"


def _table_page(pools: PmapPools) -> bool:
    """Is a table page, or an address for one, anywhere? In another CPU's cache too: it is
    there, though nobody can get at it."""
    cache = pools.vp_pool.cache
    return pools.memory.room() or bool(pools.vp_pool.free or (cache and cache.held()))


def all_is_there(kernel: Kernel, spaces: tuple[Space, ...]) -> str | None:
    """Properties 20 and 21: nothing is short that a fault could need."""
    mem, pools = kernel.physmem, kernel.pmap_pools
    singles = kernel.km.kmpages.free or (pools.pted_pool.free and kernel.anons.pool.free)
    if _table_page(pools) and singles and mem.nfree() >= mem.freetarg:
        return "pages, kernel addresses and items are free, and somebody hangs all the same"
    return None


def populated_is_mapped(kernel: Kernel, spaces: tuple[Space, ...]) -> str | None:
    """Property 5: what looks an address up must not take a zero descriptor for a mapping."""
    for space in spaces:
        for va, pted in _descriptors(space):
            if not pted.pte and space.pmap.pmap_vp_lookup(va)[0] is Slot.VALID:
                return f"{space.name}: {va:#x} is populated, and looks mapped"
    return None


def _descriptors(space: Space) -> Iterator[tuple[int, Pted]]:
    """Every descriptor that is linked, with its address."""
    first = 4 - space.kernel.p.levels
    work: list[tuple[int, int, Vp]] = [(first, 0, space.pmap.top)] if space.pmap.top else []
    while work:
        level, base, table = work.pop()
        for index, child in table.slots.used:
            va = base | index << (PAGE_SHIFT + 9 * (3 - level))
            if isinstance(child, Pted):
                yield va, child
            else:
                work.append((level + 1, va, child))


PROPERTIES: Final[dict[str, Property]] = {
    NO_LIVELOCK: Property("no fair run restarts an unfinished fault for ever"),
    ENDS: Property("every obliged task ends, under weak fairness and lock-grant"),
    JUSTIFIED: Property(
        "ENOMEM leaves uvm_fault only while no page is free beyond the reserve and none can be "
        "paged out",
        kinds=("unjustified-kill",),
    ),
    DIAGNOSED: Property(
        "with the addresses of table pages gone for good, a fault gets an error or is killed: it "
        "does not hang, if everybody gets a turn (strong fairness)",
        test=exhausted,
        when="hang",
    ),
    NOT_IN_VAIN: Property(
        "nobody hangs for ever while pages, kernel addresses and items for all that it needs are "
        "free, if everybody gets a turn (strong fairness)",
        test=all_is_there,
        when="hang",
    ),
    NOT_FREED: Property(
        "nothing is used after it was freed, or freed twice",
        kinds=("use-after-free", "double-free"),
    ),
    NOT_MAPPED: Property(
        "an address that is only populated never looks mapped", test=populated_is_mapped
    ),
    GIVEN_BACK: Property(
        "at the end every page, address and item is free or where it belongs", kinds=("leak",)
    ),
}


def add_check(name: str, world: World, kernel: Kernel, spaces: tuple[Space, ...]) -> None:
    """Have ``world`` checked for the property called ``name``, which has a test of states."""
    found = PROPERTIES[name]
    test = found.test
    if test is None:
        raise ValueError(f"{name!r} needs no check of its own: it is always judged")
    world.check(name, lambda: test(kernel, spaces), when=found.when)
