"""Memory of a process and of the child that it forks, against a plain dict of values: threads of
both add to it and read it, before the fork, during it and after it. There may be a file in it,
private or shared, that loses its page meanwhile (truncation).

A fork takes each page as it is at some moment of its own. Left out: wired memory and partial
unmapping (the model refuses both with a fork), short memory, swap and mprotect (target vm),
that what was written to a shared file is there again once its page was freed (nothing is
written back).
"""

from __future__ import annotations

from functools import partial
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
from kmodel.vm.object import UvmObject
from kmodel.world import World

VA: Final = 0x20_0000
FILE: Final = 2 * VA
"""Where a file may be: this page, of a mapping of its own, is the file's page 1, which holds 1."""
ADDRESSES: Final = (VA, VA + PAGE_SIZE, FILE)
PARENT, CHILD = 0, 1
BOTH: Final = -1
"""Whose memory a shared file is."""


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
    machine: Machine
    spaces: tuple[Space, Space]
    file: UvmObject | None
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
        for va in ADDRESSES[:2]:
            machine.resident(parent, va, mapped=True)
    mapped = workload.param("file", "none")
    file = None
    if mapped != "none":
        file = machine.object(2, name="file")
        machine.map_object(parent, FILE - PAGE_SIZE, file, private=mapped == "private")
    child = machine.child(parent, "child")
    machine.watch_contents()
    with world:
        inject(workload, [machine.kernel.anons.pool])
        linear = Linear("memory", partial(_specified, mapped), ())
        bench = Bench(machine, (parent, child), file, Forked(), linear)
    staff(world, workload, perform, bench)
    machine.finish()


async def perform(bench: Bench, cpu: int, held: list[Any], name: str, args: Any) -> None:
    if name == "fork":
        if bench.forked.first():
            each = [(va,) for va in ADDRESSES]
            await bench.linear.do("fork", (), lambda: _fork(bench), each)
    elif name == "cut":
        if bench.file is not None:
            cut = bench.machine.cut_short
            await bench.linear.do("cut", (), partial(cut, bench.file, 1))
    elif args[0] == PARENT or observe(bench.forked.there):
        await bench.linear.do(name, args, lambda: _do(bench.spaces[args[0]], name, *args[1:]))


async def _fork(bench: Bench) -> None:
    parent, child = bench.spaces
    await parent.fork(child)
    bench.forked.done()


async def _do(space: Space, name: str, va: int) -> int:
    return await (space.add(va, 1) if name == "add" else space.load(va))


def _specified(file: str, state: Plain, name: str, args: tuple[Plain, ...]) -> Effect:
    """(process, address) -> its value, where it has one of its own and it is not 0."""
    values: dict[tuple[int, int], int] = dict(state)
    told = None
    if name == "cut":
        values.pop((BOTH, FILE), None)
    elif name == "fork":
        va = args[0]
        values.pop((CHILD, va), None)
        if (PARENT, va) in values:
            values[CHILD, va] = values[PARENT, va]
    else:
        process, va = args
        in_file = file != "none" and va == FILE
        of = (BOTH if in_file and file == "shared" else process, va)
        value = values.get(of, int(in_file))
        if name == "add":
            values[of] = value + 1
        told = 0 if name == "add" else value
    return tuple(sorted((at, value) for at, value in values.items() if value)), told


TARGET = Target(
    name="fork",
    summary="fork, adds and loads by threads of parent and child, a file: copy on write",
    build=build,
    params={
        "uvm_fault": ("1.165", "1.171", "1.173"),
        "touched": (True, False),
        "rwlock": ("wake-all", "wake-one-writer", "hand-off"),
        "file": ("none", "private", "shared"),
    },
    later=("file",),
    named={"add": ("process", "va"), "load": ("process", "va")},
    operations={
        "fork": (),
        "add": ((PARENT, CHILD), ADDRESSES),
        "load": ((PARENT, CHILD), ADDRESSES),
        "cut": (),
    },
    fails=(("anonpl", "PAGES"),),
    lasting=False,
    most=5,
    preemptions=2,
    states=15_000,
)
