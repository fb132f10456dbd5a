"""Memory of a process and of the child that it forks, against a plain dict of values: threads of
both add to it and read it, before the fork, during it and after it.

A fork takes each page as it is at some moment of its own. Left out: wired memory and partial
unmapping (the model refuses both with a fork), objects, short memory and swap (target vm).
"""

from __future__ import annotations

from typing import Any, Final

import attrs

from kmodel import fixes
from kmodel.explore.linear import Effect, Linear, Plain
from kmodel.fault import Space
from kmodel.fuzz.bench import inject, staff
from kmodel.fuzz.target import Target
from kmodel.fuzz.workload import Workload
from kmodel.machine import Machine
from kmodel.param import PAGE_SIZE, KernelParams
from kmodel.shared import Hidden, shared
from kmodel.table import observe
from kmodel.world import World

VA: Final = 0x20_0000
ADDRESSES: Final = (VA, VA + PAGE_SIZE)
PARENT, CHILD = 0, 1


@shared
class Forked:
    """Has somebody begun to fork, and is the child there?"""

    begun: Hidden[bool]
    there: Hidden[bool]

    def __init__(self) -> None:
        self.begun = self.there = False

    def first(self) -> bool:
        """Am I the one who forks?"""
        before, self.begun = observe(self.begun), True
        return not before

    def done(self) -> None:
        self.there = True


@attrs.frozen
class Bench:
    spaces: tuple[Space, Space]
    forked: Forked
    linear: Linear


def build(world: World, workload: Workload) -> None:
    fix = fixes.load("populate")
    p = KernelParams(
        uvm_fault=workload.param("uvm_fault"),
        rwlock=workload.param("rwlock"),
        vp_stock=6,
        entry_stock=12,
        header_stock=12,
        anon_stock=4,
        km_pages=16,
        kmem_pages=24,
    )
    machine = Machine(p, fix, world)
    parent = machine.process("parent")
    if workload.param("touched"):
        for va in ADDRESSES:
            machine.resident(parent, va, mapped=True)
    child = machine.child(parent, "child")
    machine.watch_contents()
    with world:
        inject(workload, [machine.kernel.anons.pool])
        linear = Linear("memory", _specified, ())
        bench = Bench((parent, child), Forked(), linear)
    staff(world, workload, perform, bench)
    machine.finish()


async def perform(bench: Bench, cpu: int, held: list[Any], name: str, args: Any) -> None:
    if name == "fork":
        if bench.forked.first():
            each = [(va,) for va in ADDRESSES]
            await bench.linear.do("fork", (), lambda: _fork(bench), each)
    elif args[0] == PARENT or observe(bench.forked.there):
        await bench.linear.do(name, args, lambda: _do(bench.spaces[args[0]], name, *args[1:]))


async def _fork(bench: Bench) -> None:
    parent, child = bench.spaces
    await parent.fork(child)
    bench.forked.done()


async def _do(space: Space, name: str, va: int) -> int:
    return await (space.add(va, 1) if name == "add" else space.load(va))


def _specified(state: Plain, name: str, args: tuple[Plain, ...]) -> Effect:
    """(process, address) -> its value, where it is not 0."""
    values = dict(state)
    told = None
    if name == "fork":
        values[CHILD, args[0]] = values.get((PARENT, args[0]), 0)
    else:
        told = 0
        if name == "add":
            values[args] = values.get(args, 0) + 1
        else:
            told = values.get(args, 0)
    return tuple(sorted((at, value) for at, value in values.items() if value)), told


TARGET = Target(
    name="fork",
    summary="fork, and adds and loads by threads of parent and child: copy on write",
    build=build,
    params={
        "uvm_fault": ("1.165", "1.171", "1.173"),
        "touched": (True, False),
        "rwlock": ("wake-all", "wake-one-writer", "hand-off"),
    },
    operations={
        "fork": (),
        "add": ((PARENT, CHILD), ADDRESSES),
        "load": ((PARENT, CHILD), ADDRESSES),
    },
    fails=(("anonpl", "PAGES"),),
    lasting=False,
    most=5,
    preemptions=2,
    states=15_000,
)
