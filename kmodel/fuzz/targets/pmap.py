"""A pmap against a plain dict: enter, remove, protect, unwire, extract, populate, protection
by page, and destroy by the last CPU that lets go of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import attrs

from kmodel import fixes
from kmodel.explore.linear import Effect, Linear, Plain
from kmodel.fuzz.bench import Company, explained, inject, staff
from kmodel.fuzz.target import Target
from kmodel.fuzz.workload import Workload
from kmodel.machine import Machine
from kmodel.panic import Panic
from kmodel.param import PAGE_SIZE, PROT_NONE, PROT_READ, KernelParams
from kmodel.pmap.pmap import ENOMEM, Pmap
from kmodel.pmap.populate import pmap_populate
from kmodel.point import operation
from kmodel.shared import Atomic, shared
from kmodel.sync.rwlock import RwLock, rwlock
from kmodel.table import oracle
from kmodel.world import World

VA: Final = 0x20_0000
ADDRESSES: Final = (VA, VA + PAGE_SIZE, 1 << 30 | VA)
"""One, its neighbour in the same table, and one that shares only the top."""
PAGES: Final = (1, 2)
POPULATED: Final = (0, False, False)
"""The descriptor is there, and maps nothing."""
PLENTY: Final = 11
"""Tables and descriptors in stock with which nothing can fail."""


@shared
class References:
    """pm_refs: who drops the last one destroys."""

    count: Atomic[int]

    def __init__(self, count: int) -> None:
        self.count = count

    @operation(event="task.pause")
    def drop(self) -> bool:
        self.count -= 1
        return self.count == 0


@attrs.frozen
class Bench:
    """``owner``: who protects a page everywhere holds its owner's lock, as the kernel does, and
    so does (shared) who enters it. Only there if somebody does that."""

    pmap: Pmap
    owner: RwLock | None
    refs: References | None
    sure: bool
    company: Company
    linear: Linear
    counts: tuple[int, ...]
    wrong: Callable[[], str | None]


def build(world: World, workload: Workload) -> None:
    stock = workload.param("stock")
    by_page = any(one.name == "page_protect" for one in workload.operations)
    p = KernelParams(
        levels=workload.param("levels"),
        vp_stock=stock,
        pted_stock=stock and 8,
        kva_pages=32,
        header_stock=16,
        entry_stock=16,
        km_pages=16,
        pv_lists=by_page,
    )
    machine = Machine(p, fixes.load("wait"), world)
    pmap = machine.process("p").pmap
    with world:
        pools = machine.kernel.pmap_pools
        inject(workload, [pools.pted_pool, pools.vp_pool, pools.headers])
        sure = stock >= PLENTY and not workload.failing
        linear = Linear("pmap", _specified if sure else _may_fail, ())
        refs = References(len(workload.cpus)) if workload.param("destroy") else None
        counts = tuple(len(workload.of_cpu(cpu)) for cpu in range(TARGET.cpus))
        owner = rwlock("owner", p.rwlock) if by_page else None
        explains = explained(linear, lambda: mapped(pmap))
        bench = Bench(pmap, owner, refs, not workload.failing, Company(), linear, counts, explains)
    staff(world, workload, perform, bench, interrupt=_interrupt)
    world.rests = linear.rests
    world.check("mappings", lambda: explains() if pmap.top else None, when="end")
    world.check("pv lists", lambda: _listed(pmap) if pmap.top else None, when="end")
    if refs is not None:
        world.check("destroyed", lambda: _there(pmap), when="end", kind="leak")
    if sure:
        # an enter that fails leaves it wrong, as the kernel's does
        world.check("resident_count is exact", lambda: _counted(pmap), when="end")


def mapped(pmap: Pmap) -> Plain:
    """What the tables say of the addresses: (va, (page, writable, wired))."""
    found = [(va, pmap.pmap_vp_lookup(va)[1]) for va in ADDRESSES]
    return tuple(
        (va, (*pted.pte, pted.wired) if pted.pte else POPULATED) for va, pted in found if pted
    )


def _listed(pmap: Pmap) -> str | None:
    """Each page is listed where it is mapped, and nowhere else."""
    pv = pmap.pools.pv
    if pv is None:
        return None
    listed = sorted((va, page) for page in PAGES for _, va, _ in pv.lists[page])
    there = [(va, pte[0]) for va, pte in mapped(pmap) if pte != POPULATED]
    return None if listed == there else f"listed is {listed!r}, and mapped {there!r}"


def _there(pmap: Pmap) -> str | None:
    return "the last reference was dropped, and the tables are there" if pmap.top else None


def _counted(pmap: Pmap) -> str | None:
    return None if pmap.exact else "resident_count is not the number of valid descriptors"


async def perform(bench: Bench, cpu: int, held: list[Any], name: str, args: Any) -> None:
    bench.company.come(cpu)
    owner = bench.owner if name in ("enter", "page_protect") else None
    if owner is not None:
        await owner.enter(name == "page_protect")
    # mappings go one by one
    parts = [(*args, va) for va in ADDRESSES] if name == "page_protect" else ()
    got = await bench.linear.do(name, args, lambda: _do(bench.pmap, name, *args), parts)
    if owner is not None:
        await owner.exit()
    if got == ENOMEM and bench.sure and name == "enter" and bench.company.alone(cpu):
        raise Panic("pmap_enter failed, and nobody else was near", "invariant")
    bench.company.go(cpu)
    held.append(name)
    if bench.refs is not None and len(held) == bench.counts[cpu] and await bench.refs.drop():
        _judge_end(bench)
        await bench.pmap.pmap_destroy()


def _judge_end(bench: Bench) -> None:
    """Nobody else comes any more, and what is there is about to go."""
    if oracle(bench.pmap, lambda: bench.wrong() is not None):
        raise Panic("what is about to be destroyed is what no order gives", "invariant")


async def _interrupt(bench: Bench, cpu: int) -> None:
    """A driver that maps a page for a moment, which takes a descriptor."""
    bench.company.come(~cpu)
    pool = bench.pmap.pools.pted_pool
    item = await pool.get(False)
    if item is not None:
        await pool.put(item)
    bench.company.go(~cpu)


async def _do(pmap: Pmap, name: str, *args: Any) -> int | None:
    if name == "enter":
        va, page, write, wired = args
        return ENOMEM if await pmap.pmap_enter(va, page, write, canfail=True, wired=wired) else 0
    if name == "extract":
        return await pmap.pmap_extract(*args)
    if name == "populate":
        await pmap_populate(pmap, *args)
    elif name == "remove":
        await pmap.pmap_remove(args[0], args[0] + PAGE_SIZE)
    elif name == "protect":
        await pmap.pmap_protect(args[0], args[0] + PAGE_SIZE, args[1])
    elif name == "unwire":
        await pmap.pmap_unwire(*args)
    else:
        await pmap.pools.pmap_page_protect(*args)
    return None


def _specified(state: Plain, name: str, args: tuple[Plain, ...]) -> Effect:
    """va -> (page, writable, wired). What is only populated has a descriptor, and stays."""
    ptes = dict(state)
    va = args[2] if name == "page_protect" else args[0]
    now = ptes.get(va)
    page, write, wired = now or POPULATED
    if name == "extract":
        return state, page or None
    if name == "enter":
        if (page, write) != args[1:3]:  # of a mapping that is there the wiring is not looked at
            ptes[va] = args[1:]
    elif name == "populate":
        ptes.setdefault(va, POPULATED)
    elif page and (name != "page_protect" or page == args[0]):
        if name == "unwire":
            ptes[va] = (page, write, False)
        elif name == "remove" or args[1] == PROT_NONE:
            del ptes[va]
        else:
            ptes[va] = (page, False, wired)
    return tuple(sorted(ptes.items())), 0 if name == "enter" else None


def _may_fail(state: Plain, name: str, args: tuple[Plain, ...]) -> Effect | list[Effect]:
    """Where memory can be short, or the map lock refused, an enter that failed has
    taken another mapping away. What is populated needs nothing more, and cannot fail."""
    done = _specified(state, name, args)
    page, write, _ = dict(state).get(args[0], (None, None, None))
    if name != "enter" or page == POPULATED[0] or (page, write) == args[1:3]:
        return done
    return [done, (tuple(one for one in state if one[0] != args[0]), ENOMEM)]


YES_NO = (True, False)
TARGET = Target(
    name="pmap",
    summary="pmap_enter, remove, protect, unwire, extract, populate, destroy against a plain dict",
    build=build,
    params={"stock": (PLENTY, 0), "levels": (3, 4), "destroy": (False, True)},
    named={
        "enter": ("va", "page", "write", "wired"),
        "remove": ("va",),
        "protect": ("va", "prot"),
        "unwire": ("va",),
        "extract": ("va",),
        "populate": ("va",),
        "page_protect": ("page", "prot"),
    },
    operations={
        "enter": (ADDRESSES, PAGES, YES_NO, (False, True)),
        "remove": (ADDRESSES,),
        "protect": (ADDRESSES, (PROT_READ, PROT_NONE)),
        "unwire": (ADDRESSES,),
        "extract": (ADDRESSES,),
        "populate": (ADDRESSES,),
        "page_protect": (PAGES, (PROT_READ, PROT_NONE)),
    },
    fails=(("pted", "PAGES"), ("vp", "LOCK"), ("vp", "RANGE"), ("vp", "ENTRY")),
    makes=("enter",),
    most=5,
    preemptions=2,
    states=10_000,
)
