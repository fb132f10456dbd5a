"""kernel_map and km_alloc against a counter: ranges, the trylock, a slow holder, exhaustion, and
the kernel's page tables, which grow with it.

Left out: the interrupt-safe map and its thread, allocators with a direct map."""

from __future__ import annotations

from typing import Any, Final

import attrs

from kmodel.explore.linear import Effect, Linear, Plain
from kmodel.fuzz.bench import Company, Holdings, inject, staff
from kmodel.fuzz.target import Target
from kmodel.fuzz.workload import Workload
from kmodel.panic import Panic
from kmodel.param import PAGE_SIZE, STOCK_ITEMS, KernelParams
from kmodel.pmap.kernel import KernelPmap
from kmodel.pmap.pools import PmapPools
from kmodel.point import pause
from kmodel.sync.rwlock import POLICIES
from kmodel.table import oracle
from kmodel.vm.cause import Cause
from kmodel.vm.km import KernelMemory, SinglePages
from kmodel.vm.kmap import KERNBASE
from kmodel.vm.physmem import PhysMem
from kmodel.world import World

ENTRIES: Final = 8
"""Map entries in stock: more than are ever out, unless they are made to fail."""


ALL: Final = -1
"""There are page tables for all of kernel_map, or they are not modelled: nothing grows."""


@attrs.frozen
class Bench:
    km: KernelMemory
    pmap: KernelPmap | None
    injected: bool
    company: Company
    holdings: Holdings
    linear: Linear


def build(world: World, workload: Workload) -> None:
    stock = 0 if workload.failing else ENTRIES
    boot = workload.param("tables", ALL)
    p = KernelParams(
        kva_pages=workload.param("kva"),
        rwlock=workload.param("rwlock"),
        npages=64,
        km_pages=4,
        kernel_pmap=boot != ALL,
        kva_boot=max(boot, 0),
    )
    with world:
        km = KernelMemory(p, PhysMem(p))
        kernel = _kernel_pmap(p, km) if p.kernel_pmap else None
        while len(km.entries.free) < stock:
            single = km.entries.allocator
            assert isinstance(single, SinglePages)
            km.physmem.take(1)
            km.entries.prime(single.carve(km.kmpages.take()))
        inject(workload, [km.entries])
        linear = Linear("kernel_map", _Specified(p.kva_pages), 0)
        bench = Bench(km, kernel, bool(workload.failing), Company(), Holdings(), linear)
    staff(world, workload, perform, bench, interrupt=_interrupt, give_back=_give_back)
    world.rests = linear.rests
    world.check("as much is taken as is held", lambda: _leak(bench), when="end", kind="leak")
    if kernel is not None:
        world.check("mappings", lambda: _mappings(bench, kernel), when="end")


def _kernel_pmap(p: KernelParams, km: KernelMemory) -> KernelPmap:
    """The kernel's pmap, where all that must know it finds it."""
    pools = PmapPools(p, km, km.single(STOCK_ITEMS))
    pmap = KernelPmap(p, pools, km.physmem, km.kernel_map.npages)
    pools.kernel = km.pmap = km.kernel_map.pmap = pmap  # type: ignore[misc]
    return pmap


def _mappings(bench: Bench, pmap: KernelPmap) -> str | None:
    """What is held is mapped to its own pages, and nothing else is mapped."""
    held = {n for first, many in bench.holdings.out for n in range(first, first + many)}
    pages = set()
    for n, pted in enumerate(pmap.pteds):
        there = pted.pte is not None
        if there and n + KERNBASE // PAGE_SIZE not in held:
            return f"page {n} of kernel_map is mapped, and nobody holds it"
        if not there and n + KERNBASE // PAGE_SIZE in held:
            return f"page {n} of kernel_map is held, and not mapped"
        if pted.pte is not None:
            pages.add(pted.pte[0])
    return None if len(pages) == len(held) else "two addresses of kernel_map have the same page"


def _leak(bench: Bench) -> str | None:
    km, out = bench.km, bench.holdings
    mapped = km.kernel_map.used.bit_count()
    grown = bench.pmap.taken if bench.pmap else 0
    taken = km.physmem.npages - km.physmem.nfree() - km.kmpages.next - grown
    for what, there in (("pages of kernel_map", mapped), ("physical pages", taken)):
        if there != out.total():
            return f"{there} {what} are taken, and {out.total()} are held"
    if km.entries.nout != len(out.out):
        return f"{km.entries.nout} map entries are out, and {len(out.out)} ranges are held"
    return None


async def perform(bench: Bench, cpu: int, held: list[Any], name: str, args: Any) -> None:
    bench.company.come(cpu)
    if name == "alloc":
        got = await bench.linear.do("alloc", args, lambda: _alloc(bench, held, *args))
        _judge_refusal(bench, cpu, got, args[0])
    elif name == "hold":
        await bench.linear.do("hold", (), lambda: _hold(bench))
    elif held:
        pages = held[0][1]
        await bench.linear.do("free", (pages,), lambda: _free(bench, held))
    bench.company.go(cpu)


async def _interrupt(bench: Bench, cpu: int) -> None:
    """Somebody who wants a map entry for a moment."""
    bench.company.come(~cpu)
    entry = await bench.km.entries.get(False)
    if entry is not None:
        await bench.km.entries.put(entry)
    bench.company.go(~cpu)


async def _give_back(bench: Bench, cpu: int, held: list[Any]) -> None:
    while held:
        await perform(bench, cpu, held, "free", ())


def _judge_refusal(bench: Bench, cpu: int, got: bool, pages: int) -> None:
    if got or bench.injected or not bench.company.alone(cpu):
        return
    if oracle(bench.km.kernel_map, lambda: bench.km.kernel_map.room(pages)):
        raise Panic("km_alloc failed with room to be had, and nobody else near", "invariant")


async def _alloc(bench: Bench, held: list[Any], pages: int, waitok: bool) -> bool:
    va = await bench.km.km_alloc(pages, waitok)
    if isinstance(va, Cause):
        return False
    bench.holdings.note(va // PAGE_SIZE, pages)
    held.append((va, pages))
    return True


async def _free(bench: Bench, held: list[Any]) -> None:
    va, _ = held.pop(0)
    bench.holdings.drop(va // PAGE_SIZE)
    await bench.km.km_free(va)


async def _hold(bench: Bench) -> None:
    """Some other user of the map, who is slow."""
    await bench.km.kernel_map.vm_map_lock()
    await pause()
    await pause()
    await bench.km.kernel_map.vm_map_unlock()


@attrs.frozen
class _Specified:
    """How many pages are taken. Two pages may find no room although there is some (ranges are
    aligned); NOWAIT may fail at any time; nobody waits for ever."""

    capacity: int

    def __call__(self, used: Plain, name: str, args: tuple[Plain, ...]) -> Effect | list[Effect]:
        if name == "hold":
            return used, None
        if name == "free":
            return used - args[0], None
        pages, waitok = args
        fits = used + pages <= self.capacity
        sure = waitok and fits and (pages == 1 or not used)
        could: list[Effect] = [(used + pages, True)] if fits else []
        return could if sure else [*could, (used, False)]


TARGET = Target(
    name="kmap",
    summary="km_alloc and km_free over kernel_map: trylock, slow holders, exhaustion, growth",
    build=build,
    params={"kva": (4, 1, 2, 3), "rwlock": tuple(POLICIES), "tables": (ALL, 0, 1, 2)},
    later=("tables",),
    named={"alloc": ("pages", "waitok")},
    operations={"alloc": ((1, 2), (False, True)), "free": (), "hold": ()},
    fails=(("vmmpekpl", "PAGES"), ("vmmpekpl", "STOCK")),
    most=6,
)
