"""The whole machine against a plain dict: threads of two processes fault, unmap, map and exit,
with any fix, with memory or without.

In which order the operations take effect is anybody's; that some order explains all results
and the address spaces at the end is not. Left out: fork (target fork), wiring, files and their
truncation; the model has no mprotect.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final

import attrs

from kmodel import fixes
from kmodel.explore.linear import Effect, Linear, Plain
from kmodel.fault import Kernel, Space
from kmodel.fuzz.bench import inject, staff
from kmodel.fuzz.target import Target, Why
from kmodel.fuzz.workload import Workload
from kmodel.machine import Machine
from kmodel.param import PAGE_SHIFT, PAGE_SIZE, KernelParams
from kmodel.pmap.pmap import ENOMEM
from kmodel.pmap.pte import Slot
from kmodel.point import pause
from kmodel.shared import Hidden, shared
from kmodel.sync.mutex import Mutex
from kmodel.uvmfault.flt import EFAULT
from kmodel.vm.physmem import PhysMem
from kmodel.world import World

VA: Final = 0x20_0000
ADDRESSES: Final = (VA, VA + PAGE_SIZE, 2 * VA)
"""The first is the one that is unmapped and mapped."""
BEYOND: Final = 1 << 40
"""No process has it: EFAULT."""
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


ASKED_IN_VAIN: Final = "the page daemon was asked while it ran, and does not look"
SILENT_LAP: Final = "a lap without a shortage wakes nobody"


@shared
class Daemon:
    """Remembers whether somebody asked the page daemon while it was not asleep, since it last
    woke those who wait for memory: with that the kernel can lose a wakeup."""

    mem: Final[PhysMem]
    silent: Final[bool]
    asleep: Hidden[bool]
    missed: Hidden[bool]

    def __init__(self, mem: PhysMem, lap: str) -> None:
        self.mem, self.silent = mem, lap == "silent"
        self.asleep = self.missed = False

    def watch(self) -> None:
        """Called while the world is built. The channels stay the objects that they are. All of
        this happens with fpageqlock held."""
        daemon, waiters = self.mem.pagedaemon, self.mem.uvmexp_free
        vars(daemon)["msleep"] = partial(self._sleep, daemon.msleep)
        vars(daemon)["wakeup"] = partial(self._asked, daemon.wakeup)
        vars(waiters)["wakeup"] = partial(self._woken, waiters.wakeup)

    async def _sleep(self, msleep: Callable[[Mutex], Awaitable[None]], mutex: Mutex) -> None:
        self.asleep = True
        await msleep(mutex)

    async def _asked(self, wakeup: Callable[[], Awaitable[None]]) -> None:
        self.missed = self.missed or not self.asleep
        self.asleep = False
        await wakeup()

    async def _woken(self, wakeup: Callable[[], Awaitable[None]]) -> None:
        await wakeup()
        self.missed = False

    def why(self) -> str:
        """By which known flaw a thread waits for memory for ever, if by one."""
        if self.missed:
            return ASKED_IN_VAIN
        short = self.mem.nfree() + self.mem.paging < self.mem.freetarg
        return SILENT_LAP if self.silent and not short else ""


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
        linear = Linear("vm", _specified if memory != "gone" else _may_kill, ((), ()))
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
    told = [_differs(bench, {*state[0]}) for state in bench.linear.states()]
    return None if None in told else told[0]


def _differs(bench: Bench, touched: set[tuple[int, int]]) -> str | None:
    for number, space in enumerate(bench.spaces):
        # of a process that is gone nothing may be left, and "no leak" asks that
        for va in ADDRESSES if space.map.entries else ():
            anon = space.map.amap.lookup(va >> PAGE_SHIFT)
            slot, pted = space.pmap.pmap_vp_lookup(va)
            if (anon is not None) != ((number, va) in touched):
                return f"{space.name}: a page is there that nobody touched, or the other way round"
            if slot is not Slot.VALID:
                if anon is not None and not bench.kernel.p.pageout:
                    return f"{space.name}: a page was faulted and is not mapped"
            elif anon is None or pted is None or pted.pte != (anon.page, True):
                return f"{space.name}: a mapping is not that of the anon, to read and write"
    return None


async def perform(bench: Bench, cpu: int, held: list[Any], name: str, args: Any) -> None:
    if name == "hold":
        await bench.kernel.km.kernel_map.vm_map_lock()
        await pause()
        await bench.kernel.km.kernel_map.vm_map_unlock()
    elif args[0] not in [dead for done, dead in held if done == "killed"]:
        got = await bench.linear.do(name, args, lambda: _do(bench.spaces[args[0]], name, *args[1:]))
        if got == ENOMEM:
            held.append(("killed", args[0]))
    held.append((name, None))
    if bench.exits and sum(dead is None for _, dead in held) == bench.counts[cpu]:
        for space in bench.spaces:
            await space.exit()


async def _do(space: Space, name: str, *args: Any) -> int:
    if name == "fault":
        return await space.fault(*args)
    if name == "munmap":
        await space.munmap(VA, VA + PAGE_SIZE)
    else:
        await space.mmap()
    return 0


async def _interrupt(bench: Bench, cpu: int) -> None:
    """A driver that maps a page for a moment, which takes a descriptor."""
    pool = bench.kernel.pmap_pools.pted_pool
    item = await pool.get(False)
    if item is not None:
        await pool.put(item)


def _specified(state: Plain, name: str, args: tuple[Plain, ...]) -> Effect:
    """Which addresses of which process have been touched, and which processes have their hole. A
    fault maps with all rights of the mapping, whichever it needs itself. Pages can be had in the
    end, so it may take long and cannot fail."""
    touched, holes = {*state[0]}, {*state[1]}
    number = args[0]
    if name == "fault":
        va = args[1]
        if va == BEYOND or (va == VA and number in holes):
            return state, EFAULT
        touched.add((number, va))
    elif name == "munmap":
        touched.discard((number, VA))
        holes.add(number)
    else:
        holes.discard(number)
    return (tuple(sorted(touched)), tuple(sorted(holes))), 0


def _may_kill(state: Plain, name: str, args: tuple[Plain, ...]) -> Effect | list[Effect]:
    """With swap full, whoever needs a page can be killed instead: the page may be in its amap
    by then, and unmapped."""
    done = _specified(state, name, args)
    if name != "fault" or done is None or done[1]:
        return done
    return [done, (state, ENOMEM), (done[0], ENOMEM)]


TARGET = Target(
    name="vm",
    summary="faults, munmap, mmap, exit, short memory and swap, any fix, a slow holder of the map",
    build=build,
    params={
        "fix": tuple(fixes.names()),
        "memory": tuple(SHORT),
        "exit": (False, True),
        "lap": ("wakes", "silent"),
        "tables": (6, 0, 2),
        "rwlock": ("wake-all", "wake-one-writer", "hand-off"),
    },
    operations={
        "fault": ((0, 1), (*ADDRESSES, BEYOND), (True, False)),
        "munmap": ((0, 1),),
        "mmap": ((0, 1),),
        "hold": (),
    },
    most=4,
    preemptions=1,
    states=15_000,
    fails=(("pted", "PAGES"), ("vp", "LOCK"), ("vp", "RANGE"), ("anonpl", "PAGES")),
    lasting=False,
)
