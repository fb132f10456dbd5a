"""The named properties that situations judge.

A property is broken by findings of some kinds, by a check of states that carries its
name, or by a way to hang. Checks of states cost a search something, so a scenario asks
for those that it needs (``Machine.must``). Numbers are those of the kernel facts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import attrs

from kmodel import allocation
from kmodel.fault import Kernel, Space
from kmodel.param import KernelParams
from kmodel.pmap import checks
from kmodel.pmap.pmap import Pmap
from kmodel.pmap.pools import PmapPools
from kmodel.settings import UsageError
from kmodel.uvmfault import checks as memory
from kmodel.world import World

NO_LIVELOCK: Final = "no refault livelock"
ENDS: Final = "ends"
JUSTIFIED: Final = "justified kill"
DIAGNOSED: Final = "KVA exhaustion is diagnosed"
NOT_IN_VAIN: Final = "nobody waits for what is there"
NOT_FREED: Final = "no use after free"
NOT_MAPPED: Final = "populated is not mapped"
GIVEN_BACK: Final = "no leak"
NOWAIT: Final = "NOWAIT never blocks"
ONE_PLACE: Final = "each page is in one place"
ONE_ITEM: Final = "each item is in one place"
COUNTED: Final = "nfail counts each NULL"
PURE: Final = "page daemon purity"
SERVED: Final = "a pool's waiter is served"
NO_MAP_DEADLOCK: Final = "no memory deadlock through kernel_map"
STOCKED: Final = "the one-page stock is refilled"
ORDERED: Final = "lock order is acyclic"
ONE_INSTALLER: Final = "one installer per slot"
LINKED: Final = "no use after free over windows"
CONSERVED: Final = "pool conservation"
RESIDENT: Final = "resident count exact"
NO_PANIC: Final = "no panic with CANFAIL"
NO_SLEEP: Final = "no sleep under a mutex"
NOTHING_HELD: Final = "no lock is held at a wait"
PREALLOCATED: Final = "the kernel's pmap allocates nothing"
RIGHTS: Final = "no right but the mapping's"
BOUNDED_WASTE: Final = "bounded waste"
NOT_STALE: Final = "no stale map data"
INTACT: Final = "pages stay whole"
TIMESTAMPS: Final = "a timestamp tells of every writer"
HARMLESS: Final = "neighbours do no harm"

Test = Callable[[Kernel, tuple[Space, ...]], str | None]


@attrs.frozen
class Property:
    """One sentence, and what breaks it: findings of ``kinds``, or ``test``, which says what
    is wrong with a state. ``when`` is that of ``World.check``: ``hang`` asks it of states
    in which an obliged task can stay for ever under strong fairness (weak fairness lets a
    CPU spin for ever on a mutex that others keep taking, and here the question is what
    they wait for, not who is fast). ``prepare`` is called when a scenario asks for it.
    ``lacks`` says what a machine would have to have for anything to break the property."""

    sentence: str
    kinds: tuple[str, ...] = ()
    test: Test | None = None
    when: str = "always"
    prepare: Callable[[tuple[Space, ...]], None] | None = None
    lacks: Callable[[KernelParams], str] = lambda p: ""


def needs(switch: str) -> Callable[[KernelParams], str]:
    """What a machine lacks in which ``switch`` is off."""
    return lambda p: "" if getattr(p, switch) else f"{switch}=true"


def stock_thread(p: KernelParams) -> str:
    """What it lacks for the thread of the one-page stock."""
    if p.pool_memory == "direct":
        return "a one-page stock, which there is not with a direct map"
    return "" if p.km_lowat else "km_lowat=1 or more"


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


def of_each_pmap(test: Callable[[Pmap], str | None]) -> Test:
    """``test`` asked of every process's pmap."""

    def ask(kernel: Kernel, spaces: tuple[Space, ...]) -> str | None:
        return next(filter(None, (test(space.pmap) for space in spaces)), None)

    return ask


def one_installer(kernel: Kernel, spaces: tuple[Space, ...]) -> str | None:
    """Property 6: no table and no descriptor hangs in two slots, or in one while it is free."""
    return checks.one_installer(space.pmap for space in spaces)


def conserved(kernel: Kernel, spaces: tuple[Space, ...]) -> str | None:
    """Property 8, at the end: items are free, linked, in caches, or kept by a thread."""
    return checks.conservation(kernel.pmap_pools, tuple(space.pmap for space in spaces))


def kernel_allocates(kernel: Kernel, spaces: tuple[Space, ...]) -> str | None:
    """Property 12: what hangs in the kernel's own pmap was there before, and is no pool's."""
    pmap = kernel.pmap_pools.kernel
    return checks.foreign(pmap) if pmap is not None else None


def count_calls(spaces: tuple[Space, ...]) -> None:
    """Property 27 needs to know how many calls there were."""
    for space in spaces:
        space.pmap.calls = 0


PROPERTIES: Final[dict[str, Property]] = {
    NO_LIVELOCK: Property("no fair run restarts an unfinished fault for ever"),
    ENDS: Property("every obliged task ends, under weak fairness and lock-grant"),
    JUSTIFIED: Property(
        "ENOMEM leaves uvm_fault only while no page is free beyond the reserve (that swap was full "
        "is what the fault found just before, and is not asked again)",
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
        "an address that is only populated never looks mapped: not in the tables, on a page's pv "
        "list, in a table walk or in a TLB",
        test=of_each_pmap(checks.populated_is_mapped),
    ),
    GIVEN_BACK: Property(
        "at the end every page, address and item is free or where it belongs", kinds=("leak",)
    ),
    ONE_INSTALLER: Property(
        "every table and descriptor that hangs in a slot hangs in one alone, and is not free (to "
        "write over a slot in use is a panic)",
        test=one_installer,
    ),
    LINKED: Property(
        "each table that pmap_populate uses after a window is still linked in its pmap",
        test=of_each_pmap(checks.over_windows),
    ),
    CONSERVED: Property(
        "at the end the items of the pmap pools that are out are linked, cached or kept, and all "
        "that were made are out or free",
        test=conserved,
        when="end",
    ),
    RESIDENT: Property(
        "resident_count is the number of valid descriptors whenever pm_mtx is free",
        test=of_each_pmap(checks.resident_drifts),
    ),
    NO_PANIC: Property(
        "with PMAP_CANFAIL no failed allocation ends in a panic",
        kinds=("panic", "sleep-under-mutex"),
    ),
    NO_SLEEP: Property(
        "no thread gets to where it may sleep with a mutex held, but the one that msleep lets go",
        kinds=("sleep-under-mutex",),
    ),
    NOTHING_HELD: Property(
        "where a fault waits after a failure it holds no lock of any kind (whether it owns a busy "
        "page is not looked at)",
        kinds=("wait-under-lock",),
    ),
    PREALLOCATED: Property(
        "a mapping in the kernel's own pmap takes nothing from a pool",
        test=kernel_allocates,
        lacks=needs("kernel_pmap"),
    ),
    RIGHTS: Property(
        "while nobody changes a mapping, neither a table walk nor a TLB lets a thread write where "
        "the mapping does not",
        test=of_each_pmap(checks.excess_right),
        lacks=needs("tlb"),
    ),
    BOUNDED_WASTE: Property(
        "each pmap_enter or pmap_populate leaves at most one descriptor that maps nothing and one "
        "table a level, and pmap_destroy leaves none",
        test=of_each_pmap(checks.unbounded_waste),
        prepare=count_calls,
    ),
    NOWAIT: Property(
        "a NOWAIT request for an item of a pool of kernel memory or of the pmap never sleeps",
        test=allocation.nowait_blocks,
        lacks=needs("watch_nowait"),
    ),
    ONE_PLACE: Property(
        "no page is free and used, or used twice", test=allocation.page_in_two_places
    ),
    ONE_ITEM: Property(
        "no item of a pool is free twice, or free and in the cache of a CPU",
        test=allocation.item_in_two_places,
    ),
    COUNTED: Property(
        "nfail rises when a NOWAIT or LIMITFAIL get returns NULL from the pool proper, and never "
        "else",
        test=allocation.miscounted,
    ),
    PURE: Property(
        "the page daemon never waits for memory, kernel_map, a pool or a kernel address",
        test=allocation.impure,
    ),
    SERVED: Property(
        "nobody sleeps for ever for an item of a pool in which one is free, if everybody gets a "
        "turn (strong fairness)",
        test=allocation.unserved,
        when="hang",
    ),
    NO_MAP_DEADLOCK: Property(
        "no holder of kernel_map waits for memory while the page daemon waits for kernel_map",
        test=allocation.memory_deadlock,
    ),
    STOCKED: Property(
        "the thread of the one-page stock does not sleep for ever while the stock is empty and "
        "kernel_map has an address, if everybody gets a turn (strong fairness)",
        test=allocation.stock_stuck,
        lacks=stock_thread,
        when="hang",
    ),
    ORDERED: Property(
        "no locks are waited for in a circle, a lock that is only tried not counted",
        kinds=("lock-order",),
    ),
    NOT_STALE: Property(
        "no fault uses what it looked up before a lock was let go, unless the map is unchanged",
        test=memory.stale,
    ),
    INTACT: Property(
        "each page has one owner, is mapped where it belongs, and nothing that a process wrote to "
        "private memory is lost or seen by another",
        test=memory.intact,
    ),
    TIMESTAMPS: Property(
        "a write lock of a map is a new timestamp, and a relock succeeds only without one",
        test=memory.unnoticed,
    ),
    HARMLESS: Property(
        "no process is killed for lack of what its fault spent on neighbours", test=memory.robbed
    ),
}


def add_check(name: str, world: World, kernel: Kernel, spaces: tuple[Space, ...]) -> None:
    """Have ``world`` checked for the property called ``name``, which has a test of states.
    ``UsageError`` where nothing in this machine could break it."""
    found = PROPERTIES[name]
    test = found.test
    if test is None:
        raise ValueError(f"{name!r} needs no check of its own: it is always judged")
    lacks = found.lacks(kernel.p)
    if lacks:
        raise UsageError(
            f"{name!r} would hold of this machine whatever it does: to be broken it takes {lacks}. "
            "Say so with --set, or in the story's @scenario(...)."
        )
    if found.prepare is not None:
        found.prepare(spaces)
    world.check(name, lambda: test(kernel, spaces), when=found.when)
