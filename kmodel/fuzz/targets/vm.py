"""The whole machine: faults of several CPUs in one process or two, with any fix."""

from __future__ import annotations

from typing import Any, Final

import attrs

from kmodel import fixes
from kmodel.explore.linear import Effect, Linear, Plain
from kmodel.fault import Kernel, Space
from kmodel.fuzz.bench import inject, staff
from kmodel.fuzz.target import Target
from kmodel.fuzz.workload import Workload
from kmodel.machine import Machine
from kmodel.param import PAGE_SHIFT, PAGE_SIZE, KernelParams
from kmodel.pmap.pte import Slot
from kmodel.point import pause
from kmodel.world import World

VA: Final = 0x20_0000
ADDRESSES: Final = (VA, VA + PAGE_SIZE, 2 * VA)
BEYOND: Final = 1 << 40
"""No process has it: EFAULT."""
EFAULT: Final = 14


@attrs.frozen
class Bench:
    kernel: Kernel
    spaces: tuple[Space, ...]
    linear: Linear


def build(world: World, workload: Workload) -> None:
    fix = fixes.load(workload.param("fix"))
    mine = {
        "lap": workload.param("lap"),
        "rwlock": workload.param("rwlock"),
        "vp_stock": workload.param("tables"),
        "entry_stock": 12,
        "header_stock": 12,
    }
    machine = Machine(KernelParams(**mine | dict(fix.params)), fix, world)
    kernel = machine.kernel
    spaces = tuple(machine.process(f"p{number}") for number in range(2))
    with world:
        pools = kernel.pmap_pools
        inject(workload, [pools.pted_pool, pools.vp_pool, kernel.anons.pool])
        bench = Bench(kernel, spaces, Linear("vm", _specified, ()))
    staff(world, workload, perform, bench)
    world.check("mappings", lambda: _unmapped(bench), when="end")
    machine.finish()


def _unmapped(bench: Bench) -> str | None:
    """What has been faulted is mapped, to the page of its anon; and nothing else is."""
    could = bench.linear.states()
    for number, space in enumerate(bench.spaces):
        for va in ADDRESSES:
            slot, pted = space.pmap.pmap_vp_lookup(va)
            anon = space.map.amap.lookup(va >> PAGE_SHIFT)
            there = (number, va) in could[0]
            if there != (slot is Slot.VALID):
                return f"{space.name}: a page was faulted and is not mapped, or the other way round"
            if there and (
                anon is None or pted is None or pted.pte is None or anon[1] != pted.pte[0]
            ):
                return f"{space.name}: a mapping is not that of the anon"
    return None


async def perform(bench: Bench, cpu: int, held: list[Any], name: str, args: Any) -> None:
    if name == "hold":
        await bench.kernel.km.kernel_map.vm_map_lock()
        await pause()
        await bench.kernel.km.kernel_map.vm_map_unlock()
    else:
        number, va, write = args
        await bench.linear.do(
            "fault", (number, va), lambda: bench.spaces[number].fault(va, bool(write))
        )


def _specified(state: Plain, name: str, args: tuple[Plain, ...]) -> Effect:
    """Which pages of which process have been faulted. Swap is never full here, so a fault may
    take long and cannot fail."""
    if args[1] == BEYOND:
        return state, EFAULT
    return tuple(sorted({*state, args})), 0


TARGET = Target(
    name="vm",
    summary="faults of several CPUs in one process or two, any fix, a slow holder of the map",
    build=build,
    params={
        "fix": tuple(fixes.names()),
        "lap": ("wakes", "silent"),
        "tables": (6, 0, 2),
        "rwlock": ("wake-all", "wake-one-writer", "hand-off"),
    },
    operations={"fault": ((0, 1), (*ADDRESSES, BEYOND), (True, False)), "hold": ()},
    most=4,
    preemptions=1,
    states=15_000,
    fails=(("pted", "PAGES"), ("vp", "LOCK"), ("vp", "RANGE"), ("anonpl", "PAGES")),
    lasting=False,
)
