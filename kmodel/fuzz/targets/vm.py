"""The whole machine against a plain dict: threads of two processes fault, unmap, map, protect,
wire and exit, with any fix, with memory or without.

In which order the operations take effect is anybody's; that some order explains all results
and the address spaces at the end is not. Left out: fork, files and their truncation (target
fork).
"""

from __future__ import annotations

from typing import Any, Final

import attrs

from kmodel import fixes
from kmodel.explore.linear import Linear, Plain
from kmodel.fault import Kernel, Space
from kmodel.fuzz.bench import inject, staff
from kmodel.fuzz.daemon import Daemon
from kmodel.fuzz.process import ADDRESSES, BEYOND, FRESH, STAYS, VA, may_kill, specified
from kmodel.fuzz.target import Target, Why
from kmodel.fuzz.workload import Workload
from kmodel.machine import Machine
from kmodel.param import PAGE_SHIFT, PAGE_SIZE, PROT_NONE, PROT_READ, PROT_WRITE, KernelParams
from kmodel.pmap.pmap import ENOMEM
from kmodel.pmap.pte import Slot
from kmodel.point import pause
from kmodel.world import World

IDLE: Final = 6
"""Pages of a process that does nothing: more than a workload needs, so that where swap has
room nobody need wait for ever."""
SHORT: Final[dict[str, dict[str, Any]]] = {
    "plenty": {},
    "short": {"pageout": True},
    "gone": {"pageout": True, "swap_used": 100},
}
"""Memory: as much as is wanted; one page, and more once they have been written to swap; one
page, and swap is full."""


@attrs.frozen
class Bench:
    kernel: Kernel
    spaces: tuple[Space, ...]
    exits: bool
    counts: tuple[int, ...]
    linear: Linear


def build(world: World, workload: Workload) -> Why:
    fix, memory = fixes.load(workload.param("fix")), workload.param("memory")
    mine = {
        "lap": workload.param("lap"),
        "rwlock": workload.param("rwlock"),
        "vp_stock": workload.param("tables"),
        "entry_stock": 12,
        "header_stock": 12,
        "anon_stock": 4 if memory == "plenty" else 12,
        "km_pages": 16,
        "kmem_pages": 24,
    }
    machine = Machine(KernelParams(**mine | SHORT[memory] | dict(fix.params)), fix, world)
    kernel, threads = machine.kernel, len(workload.cpus)
    spaces = tuple(machine.process(f"p{number}", threads=threads) for number in range(2))
    if memory != "plenty":
        _squeeze(machine)
    with world:
        daemon = Daemon(machine.physmem, machine.params.lap)
        daemon.watch()
        pools = kernel.pmap_pools
        inject(workload, [pools.pted_pool, pools.vp_pool, kernel.anons.pool])
        linear = Linear("vm", specified if memory != "gone" else may_kill, (FRESH, FRESH))
        counts = tuple(len(workload.of_cpu(cpu)) for cpu in range(TARGET.cpus))
        bench = Bench(kernel, spaces, workload.param("exit"), counts, linear)
    staff(world, workload, perform, bench, interrupt=_interrupt)
    world.check("mappings", lambda: _wrong(bench), when="end")
    machine.finish()
    return daemon.why


def _squeeze(machine: Machine) -> None:
    """Leave one page that anybody may have; the rest of memory is somebody else's for good."""
    idle, mem = machine.process("idle"), machine.physmem
    for page in range(IDLE):
        machine.resident(idle, VA + page * PAGE_SIZE)
    mem.others += len(mem.take(mem.nfree() - mem.reserve_kernel - 2))


def _wrong(bench: Bench) -> str | None:
    """What some order of the operations left must be there, and nothing else."""
    told = [_differs(bench, state) for state in bench.linear.states()]
    return None if None in told else told[0]


def _differs(bench: Bench, state: Plain) -> str | None:
    for space, (pages, *_) in zip(bench.spaces, state):
        # of a process that is gone nothing may be left, and "no leak" asks that
        for va in ADDRESSES if space.map.entries else ():
            wrong = _page(bench, space, va, dict(pages).get(va))
            if wrong:
                return f"{space.name}: {wrong}"
    return None


def _page(bench: Bench, space: Space, va: int, page: tuple[int, bool] | None) -> str | None:
    """What is wrong with the page at ``va``, of which (rights, wired) is specified."""
    anon, pageout = space.map.amap.lookup(va >> PAGE_SHIFT), bench.kernel.p.pageout
    slot, pted = space.pmap.pmap_vp_lookup(va)
    mapped = pted if slot is Slot.VALID else None
    if (anon is None) != (page is None):
        return "a page is there that nobody touched, or the other way round"
    if anon is None or page is None:
        return "a page is mapped that nobody touched" if mapped else None
    rights, wired = page
    if anon.wired is not wired or (wired and (anon.queued or anon.page is None)):
        return "a page is wired that nobody wired, or may be written out although it is"
    if mapped is None:
        return "a page was faulted and is not mapped" if rights and (wired or not pageout) else None
    if mapped.pte != (anon.page, bool(rights & PROT_WRITE)) or not rights:
        return "a mapping is not that of the anon, with its rights"
    if mapped.wired and not wired:
        return "a mapping is wired, and its page is not"
    return "a page is mapped and on no queue" if pageout and not (wired or anon.queued) else None


async def perform(bench: Bench, cpu: int, held: list[Any], name: str, args: Any) -> None:
    if name == "hold":
        await bench.kernel.km.kernel_map.vm_map_lock()
        await pause()
        await bench.kernel.km.kernel_map.vm_map_unlock()
    elif args[0] not in [dead for done, dead in held if done == "killed"]:
        # a mapping is wired, and then its page faulted in
        parts = [(*args, True), (*args, False)] if name == "wire" else ()
        space = bench.spaces[args[0]]
        got = await bench.linear.do(name, args, lambda: _do(space, name, *args[1:]), parts)
        if got == ENOMEM and name == "fault":
            held.append(("killed", args[0]))
    held.append((name, None))
    if bench.exits and sum(dead is None for _, dead in held) == bench.counts[cpu]:
        for space in bench.spaces:
            await space.exit()


async def _do(space: Space, name: str, *args: Any) -> int:
    if name == "fault":
        return await space.fault(*args)
    if name == "wire":
        return await space.mlock(*args)
    if name == "munmap":
        await space.munmap(VA, VA + PAGE_SIZE)
    elif name == "protect":
        await space.mprotect(STAYS, *args)
    elif name == "unwire":
        await space.munlock(STAYS)
    else:
        await space.mmap()
    return 0


async def _interrupt(bench: Bench, cpu: int) -> None:
    """A driver that maps a page for a moment, which takes a descriptor."""
    pool = bench.kernel.pmap_pools.pted_pool
    item = await pool.get(False)
    if item is not None:
        await pool.put(item)


TARGET = Target(
    name="vm",
    summary="faults, munmap, mmap, mprotect, mlock, exit, short memory and swap, any fix",
    build=build,
    params={
        "fix": tuple(fixes.names()),
        "memory": tuple(SHORT),
        "exit": (False, True),
        "lap": ("wakes", "silent"),
        "tables": (6, 0, 2),
        "rwlock": ("wake-all", "wake-one-writer", "hand-off"),
    },
    named={
        "fault": ("process", "va", "write"),
        "munmap": ("process",),
        "mmap": ("process",),
        "protect": ("process", "prot"),
        "wire": ("process", "va"),
        "unwire": ("process",),
    },
    operations={
        "fault": ((0, 1), (*ADDRESSES, BEYOND), (True, False)),
        "munmap": ((0, 1),),
        "mmap": ((0, 1),),
        "protect": ((0, 1), (PROT_READ, PROT_NONE, PROT_READ | PROT_WRITE)),
        "wire": ((0, 1), ADDRESSES),
        "unwire": ((0, 1),),
        "hold": (),
    },
    most=4,
    preemptions=1,
    states=15_000,
    fails=(("pted", "PAGES"), ("vp", "LOCK"), ("vp", "RANGE"), ("anonpl", "PAGES")),
    lasting=False,
)
