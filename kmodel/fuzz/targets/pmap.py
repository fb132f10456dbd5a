"""A pmap against a plain dict: enter, remove, extract, populate, and destroy by the last CPU
that lets go of it."""

from __future__ import annotations

from typing import Any, Final

import attrs

from kmodel import fixes
from kmodel.explore.linear import Effect, Linear, Plain
from kmodel.fuzz.bench import Company, explained, inject, staff
from kmodel.fuzz.target import Target
from kmodel.fuzz.workload import Workload
from kmodel.machine import Machine
from kmodel.panic import Panic
from kmodel.param import PAGE_SIZE, KernelParams
from kmodel.pmap.pmap import ENOMEM, Pmap
from kmodel.pmap.populate import pmap_populate
from kmodel.point import operation
from kmodel.shared import Atomic, shared
from kmodel.world import World

VA: Final = 0x20_0000
ADDRESSES: Final = (VA, VA + PAGE_SIZE, 1 << 30 | VA)
"""One, its neighbour in the same table, and one that shares only the top."""
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
    pmap: Pmap
    refs: References | None
    sure: bool
    company: Company
    linear: Linear
    counts: tuple[int, ...]


def build(world: World, workload: Workload) -> None:
    stock = workload.param("stock")
    p = KernelParams(
        levels=workload.param("levels"),
        vp_stock=stock,
        pted_stock=stock and 8,
        kva_pages=32,
        header_stock=16,
        entry_stock=16,
        km_pages=16,
    )
    machine = Machine(p, fixes.load("wait"), world)
    pmap = machine.process("p").pmap
    with world:
        pools = machine.kernel.pmap_pools
        inject(workload, [pools.pted_pool, pools.vp_pool, pools.headers])
        sure = stock >= PLENTY and not workload.injected
        linear = Linear("pmap", _specified if sure else _may_fail, ())
        refs = References(len(workload.cpus)) if workload.param("destroy") else None
        counts = tuple(len(workload.of_cpu(cpu)) for cpu in range(TARGET.cpus))
        bench = Bench(pmap, refs, not workload.injected, Company(), linear, counts)
    staff(world, workload, perform, bench)
    world.rests = linear.rests
    wrong = explained(linear, lambda: mapped(pmap))
    world.check("mappings", lambda: wrong() if pmap.top else None, when="end")


def mapped(pmap: Pmap) -> tuple[tuple[int, int], ...]:
    """What the tables say of the addresses: (va, page) of those that are mapped."""
    found = [(va, pmap.pmap_vp_lookup(va)[1]) for va in ADDRESSES]
    return tuple((va, pted.pte[0]) for va, pted in found if pted is not None and pted.pte)


async def perform(bench: Bench, cpu: int, held: list[Any], name: str, args: Any) -> None:
    bench.company.come(cpu)
    got = await bench.linear.do(name, args, lambda: _do(bench.pmap, name, *args))
    if got == ENOMEM and bench.sure and name == "enter" and bench.company.alone(cpu):
        raise Panic("pmap_enter failed, and nobody else was near", "invariant")
    bench.company.go(cpu)
    held.append(name)
    if bench.refs is not None and len(held) == bench.counts[cpu] and await bench.refs.drop():
        await bench.pmap.pmap_destroy()


async def _do(pmap: Pmap, name: str, va: int, page: int = 0) -> int | None:
    if name == "enter":
        return ENOMEM if await pmap.pmap_enter(va, page, True, canfail=True) else 0
    if name == "extract":
        return await pmap.pmap_extract(va)
    if name == "populate":
        await pmap_populate(pmap, va)
    else:
        await pmap.pmap_remove(va, va + PAGE_SIZE)
    return None


def _specified(state: Plain, name: str, args: tuple[Plain, ...]) -> Effect:
    """(va, page) of what is mapped."""
    pages = dict(state)
    if name == "extract":
        return state, pages.get(args[0])
    if name == "populate":
        return state, None
    pages.pop(args[0], None)
    if name == "enter":
        pages[args[0]] = args[1]
    return tuple(sorted(pages.items())), 0 if name == "enter" else None


def _may_fail(state: Plain, name: str, args: tuple[Plain, ...]) -> Effect | list[Effect]:
    """Where memory can be short, or the map lock refused, an enter that failed has
    taken a mapping to another page away."""
    done = _specified(state, name, args)
    if name != "enter" or dict(state).get(args[0]) == args[1]:
        return done
    return [done, (tuple(one for one in state if one[0] != args[0]), ENOMEM)]


TARGET = Target(
    name="pmap",
    summary="pmap_enter, remove, extract, populate, destroy against a plain dict",
    build=build,
    params={"stock": (PLENTY, 0), "levels": (3, 4), "destroy": (False, True)},
    operations={
        "enter": (ADDRESSES, (1, 2)),
        "remove": (ADDRESSES,),
        "extract": (ADDRESSES,),
        "populate": (ADDRESSES,),
    },
    fails=(("pted", "PAGES"), ("vp", "LOCK"), ("vp", "RANGE"), ("vp", "ENTRY")),
    most=5,
    preemptions=2,
)
