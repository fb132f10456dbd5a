"""The named properties that situations judge.

A property is broken by findings of some kinds, by a check of states that carries its
name, or by a way to hang. Checks of states cost a search something, so a scenario asks
for those that it needs (``Machine.must``). Numbers are those of the kernel facts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import attrs

from kmodel import allocation, shortage
from kmodel.fault import Kernel, Space
from kmodel.param import KernelParams
from kmodel.pmap import checks
from kmodel.pmap.pmap import Pmap
from kmodel.uvmfault import checks as memory

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
NOTHING_HELD: Final = "nothing is held at a wait"
PREALLOCATED: Final = "the kernel's pmap allocates nothing"
RIGHTS: Final = "no right but the mapping's"
BOUNDED_WASTE: Final = "bounded waste"
NOT_STALE: Final = "no stale map data"
INTACT: Final = "pages stay whole"
TIMESTAMPS: Final = "a timestamp tells of every writer"
HARMLESS: Final = "neighbours do no harm"
ONE_RESTART: Final = "bounded refaults"
GRANTED: Final = "bounded refusals"
NO_STORM: Final = "no wake storm"
WOKEN: Final = "a waiter for memory is woken"

Test = Callable[[Kernel, tuple[Space, ...]], str | None]
Prepare = Callable[[Kernel, tuple[Space, ...], int], None]


@attrs.frozen
class Property:
    """The ``numbers`` that the kernel facts give it, if they have it; one sentence; and what
    breaks it: findings of ``kinds``, or ``test``, which says what is wrong with a state.
    ``when`` is that of ``World.check``: ``hang`` asks it of states in which an obliged task can
    stay for ever under strong fairness (weak fairness lets a CPU spin for ever on a mutex that
    others keep taking, and here the question is what they wait for, not who is fast).
    ``prepare`` is called when a scenario asks for it, with the bound that it asks for: ``most``
    if it names none, -1 if there is none to name. ``lacks`` says what a machine would have to
    have for anything to break the property."""

    numbers: tuple[int, ...]
    sentence: str
    kinds: tuple[str, ...] = ()
    test: Test | None = None
    when: str = "always"
    prepare: Prepare | None = None
    most: int = -1
    lacks: Callable[[KernelParams], str] = lambda p: ""


def needs(switch: str) -> Callable[[KernelParams], str]:
    """What a machine lacks in which ``switch`` is off."""
    return lambda p: "" if getattr(p, switch) else f"{switch}=true"


def stock_thread(p: KernelParams) -> str:
    """What it lacks for the thread of the one-page stock."""
    if p.pool_memory == "direct":
        return "a one-page stock, which there is not with a direct map"
    return "" if p.km_lowat else "km_lowat=1 or more"


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


def count_calls(kernel: Kernel, spaces: tuple[Space, ...], most: int) -> None:
    """Property 27 needs to know how many calls there were."""
    for space in spaces:
        space.pmap.calls = 0


def count_failures(kernel: Kernel, spaces: tuple[Space, ...], most: int) -> None:
    """Property 19 needs to know how often in a row pmap_enter failed."""
    for space in spaces:
        space.pmap.failures.bound(most)


PROPERTIES: Final[dict[str, Property]] = {
    NO_LIVELOCK: Property((18,), "no fair run restarts an unfinished fault for ever"),
    ENDS: Property((18,), "every obliged task ends, under weak fairness and lock-grant"),
    JUSTIFIED: Property(
        (11,),
        "ENOMEM leaves uvm_fault only while no page is free beyond the reserve (that swap was full "
        "is what the fault found just before, and is not asked again)",
        kinds=("unjustified-kill",),
    ),
    DIAGNOSED: Property(
        (22,),
        "with the addresses of table pages gone for good, a fault gets an error or is killed: it "
        "does not hang, if everybody gets a turn (strong fairness)",
        test=shortage.exhausted,
        when="hang",
    ),
    NOT_IN_VAIN: Property(
        (20, 21),
        "nobody hangs for ever while pages, kernel addresses and items for all that it needs are "
        "free, if everybody gets a turn (strong fairness)",
        test=shortage.all_is_there,
        when="hang",
    ),
    NOT_FREED: Property(
        (7,),
        "nothing is used after it was freed, or freed twice",
        kinds=("use-after-free", "double-free"),
    ),
    NOT_MAPPED: Property(
        (5,),
        "an address that is only populated never looks mapped: not in the tables, on a page's pv "
        "list, in a table walk, in a TLB or among what is wired",
        test=of_each_pmap(checks.populated_is_mapped),
    ),
    GIVEN_BACK: Property(
        (9,), "at the end every page, address and item is free or where it belongs", kinds=("leak",)
    ),
    ONE_INSTALLER: Property(
        (6,),
        "every table and descriptor that hangs in a slot hangs in one alone, and is not free (to "
        "write over a slot in use is a panic)",
        test=one_installer,
    ),
    LINKED: Property(
        (7,),
        "each table that pmap_populate uses after a window is still linked in its pmap",
        test=of_each_pmap(checks.over_windows),
    ),
    CONSERVED: Property(
        (8,),
        "at the end the items of the pmap pools that are out are linked, cached or kept, and all "
        "that were made are out or free",
        test=conserved,
        when="end",
    ),
    RESIDENT: Property(
        (10,),
        "resident_count is the number of valid descriptors whenever pm_mtx is free",
        test=of_each_pmap(checks.resident_drifts),
    ),
    NO_PANIC: Property(
        (12,),
        "with PMAP_CANFAIL no failed allocation ends in a panic",
        kinds=("panic", "sleep-under-mutex"),
    ),
    NO_SLEEP: Property(
        (1,),
        "no thread gets to where it may sleep with a mutex held, but the one that msleep lets go",
        kinds=("sleep-under-mutex",),
    ),
    NOTHING_HELD: Property(
        (4,),
        "where a fault waits after a failure, or for memory, it holds no lock of any kind and owns "
        "no busy page",
        kinds=("wait-under-lock",),
    ),
    PREALLOCATED: Property(
        (12,),
        "a mapping in the kernel's own pmap takes nothing from a pool",
        test=kernel_allocates,
        lacks=needs("kernel_pmap"),
    ),
    RIGHTS: Property(
        (),
        "while nobody changes a mapping, neither a table walk nor a TLB lets a thread write where "
        "the mapping does not",
        test=of_each_pmap(checks.excess_right),
        lacks=needs("tlb"),
    ),
    BOUNDED_WASTE: Property(
        (27,),
        "each pmap_enter or pmap_populate leaves at most one descriptor that maps nothing and one "
        "table a level, and pmap_destroy leaves none",
        test=of_each_pmap(checks.unbounded_waste),
        prepare=count_calls,
    ),
    NOWAIT: Property(
        (3,),
        "a NOWAIT request for an item of a pool of kernel memory or of the pmap never sleeps",
        test=allocation.nowait_blocks,
        lacks=needs("watch_nowait"),
    ),
    ONE_PLACE: Property(
        (9,), "no page is free and used, or used twice", test=allocation.page_in_two_places
    ),
    ONE_ITEM: Property(
        (8,),
        "no item of a pool is free twice, or free and in the cache of a CPU",
        test=allocation.item_in_two_places,
    ),
    COUNTED: Property(
        (15,),
        "nfail rises when a NOWAIT or LIMITFAIL get returns NULL from the pool proper, and never "
        "else",
        test=allocation.miscounted,
    ),
    PURE: Property(
        (17,),
        "the page daemon never waits for memory, kernel_map, a pool, a kernel address or the lock "
        "of a page's owner",
        test=allocation.impure,
    ),
    SERVED: Property(
        (21,),
        "nobody sleeps for ever for an item of a pool in which one is free, or could be made, if "
        "everybody gets a turn (strong fairness)",
        test=allocation.unserved,
        when="hang",
    ),
    WOKEN: Property(
        (20,),
        "nobody sleeps for ever in uvm_wait while nothing keeps the page daemon from its laps, if "
        "everybody gets a turn (strong fairness)",
        test=allocation.unwoken,
        when="hang",
    ),
    NO_MAP_DEADLOCK: Property(
        (23,),
        "no holder of kernel_map waits for memory while the page daemon waits for kernel_map",
        test=allocation.memory_deadlock,
    ),
    STOCKED: Property(
        (24,),
        "the thread of the one-page stock does not sleep for ever while the stock is empty and "
        "kernel_map has an address, if everybody gets a turn (strong fairness)",
        test=allocation.stock_stuck,
        lacks=stock_thread,
        when="hang",
    ),
    ORDERED: Property(
        (2,),
        "no locks are waited for in a circle, a lock that is only tried not counted",
        kinds=("lock-order",),
    ),
    NOT_STALE: Property(
        (13,),
        "no fault uses what it looked up before a lock was let go, unless the map is unchanged",
        test=memory.stale,
    ),
    INTACT: Property(
        (14,),
        "each page has one owner, is mapped where it belongs, and nothing that a process wrote to "
        "private memory is lost or seen by another",
        test=memory.intact,
    ),
    TIMESTAMPS: Property(
        (16,),
        "a write lock of a map is a new timestamp, and a relock succeeds only without one",
        test=memory.unnoticed,
    ),
    HARMLESS: Property(
        (25,),
        "no process is killed for lack of what its fault spent on neighbours",
        test=memory.robbed,
    ),
    ONE_RESTART: Property(
        (19,),
        "pmap_enter of an address does not fail a thread twice (or more often than m.must says), "
        "nor for lack of more than before, unless the address was unmapped meanwhile",
        test=of_each_pmap(checks.fails_again),
        prepare=count_failures,
        most=1,
    ),
    GRANTED: Property(
        (26,),
        "no thread is refused kernel_map's lock at two tries in a row (or at more than m.must "
        "says)",
        test=allocation.refused,
        prepare=lambda kernel, spaces, most: kernel.km.kernel_map.refusals.bound(most),
        most=1,
    ),
    NO_STORM: Property(
        (28,),
        "while no page is short the page daemon does no lap (or no more than m.must says) before "
        "another fault ends",
        test=allocation.storms,
        prepare=lambda kernel, spaces, most: kernel.physmem.laps.bound(most),
        most=0,
    ),
}


NUMBERS: Final = {
    number: tuple(name for name, one in PROPERTIES.items() if number in one.numbers)
    for number in range(1, 29)
}
"""The kernel facts have 28 properties, by number: which of these stand for each."""
