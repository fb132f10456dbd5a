"""The locks and channels of ``kmodel.sync`` against a sequential specification.

Where the kernel says in which order those that wait get in (a mutex that parks them: as they
came), that is asked too. Left out: the other locks' order, of which the kernel says nothing;
non-blocking accounts and clocks, which the targets above use."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any, Final

import attrs

from kmodel.explore.linear import Effect, Linear, Plain
from kmodel.fuzz.bench import Company, staff
from kmodel.fuzz.target import Target
from kmodel.fuzz.waiting import Line, Wanted
from kmodel.fuzz.workload import Workload
from kmodel.panic import Panic
from kmodel.shared import shared
from kmodel.sync.channel import Channel
from kmodel.sync.mutex import Mutex
from kmodel.sync.parking import ParkingMutex
from kmodel.sync.rwlock import POLICIES, RwLock, rwlock
from kmodel.world import World

MUTEXES: Final = {"mutex": Mutex, "parking mutex": ParkingMutex}


@shared
class Tokens:
    """A number of tokens that one may have to sleep for: msleep as it is meant to be used."""

    mtx: Mutex
    chan: Channel
    left: int  # mtx

    def __init__(self) -> None:
        self.mtx, self.chan = Mutex("tokens.mtx"), Channel("tokens", lambda: self.left > 0)
        self.left = 0

    async def take(self) -> None:
        await self.mtx.enter()
        while not self.left:
            await self.chan.msleep(self.mtx)
        self.left -= 1
        await self.mtx.leave()

    async def give(self, everybody: bool) -> None:
        await self.mtx.enter()
        self.left += 2 if everybody else 1
        if everybody:
            await self.chan.wakeup()
        else:
            await self.chan.wakeup_one()
        await self.mtx.leave()


@attrs.frozen
class Bench:
    lock: Mutex | RwLock
    aside: Mutex
    tokens: Tokens
    company: Company
    wanted: Wanted
    linear: Linear


def build(world: World, workload: Workload) -> None:
    kind = workload.param("lock")
    with world:
        spun = MUTEXES.get(kind)
        lock = spun("lock", tried=True) if spun else rwlock("lock", kind)
        if isinstance(lock, ParkingMutex):
            Line().watch(lock)
        linear = Linear("locks", _exact if spun else _free_to_refuse, (-1, (), 0))
        bench = Bench(lock, Mutex("aside"), Tokens(), Company(), Wanted(), linear)
    staff(world, workload, perform, bench, interrupt=_interrupt)
    world.rests = linear.rests
    if isinstance(lock, RwLock):
        tasks = {
            cpu: next(t for t in world.tasks if t.name == f"cpu{cpu}") for cpu in workload.cpus
        }
        world.check("nobody sleeps in vain", lambda: bench.wanted.in_vain(lock, tasks))
    world.check("all is let go", lambda: _left(lock), when="end", kind="leak")


def _left(lock: Mutex | RwLock) -> str | None:
    holder = lock.owner if isinstance(lock, Mutex) else lock.writer or lock.readers
    return "the lock is held, and nobody holds it" if holder else None


async def perform(bench: Bench, cpu: int, held: list[Any], name: str, args: Any) -> None:
    write = bool(args[0]) if name in ("section", "try") else True
    if isinstance(bench.lock, Mutex):
        write = True
    bench.company.come(cpu)
    if name == "section":
        await _section(bench, cpu, write)
    elif name == "try":
        await _try(bench, cpu, write)
    elif name in ("upgrade", "downgrade"):
        await _changed(bench, cpu, name == "downgrade")
    elif name == "misuse":
        await _misuse(bench, cpu, *args)
    else:
        await bench.linear.do(name, args, lambda: _tokens(bench, name, args))
    bench.company.go(cpu)


async def _tokens(bench: Bench, name: str, args: Any) -> None:
    if name == "take":
        await bench.tokens.take()
    else:
        await bench.tokens.give(*args)


async def _interrupt(bench: Bench, cpu: int) -> None:
    """A device that wakes whoever waits for a token, though it brings none."""
    bench.company.come(~cpu)
    await bench.tokens.mtx.enter()
    await bench.tokens.chan.wakeup()
    await bench.tokens.mtx.leave()
    bench.company.go(~cpu)


async def _section(bench: Bench, cpu: int, write: bool) -> None:
    await _get(bench, cpu, write)
    await bench.linear.do("leave", (cpu,), lambda: _leave(bench.lock))


async def _get(bench: Bench, cpu: int, write: bool) -> None:
    bench.wanted.come(cpu, write)
    await bench.linear.do("enter", (cpu, write), lambda: _enter(bench.lock, write))
    bench.wanted.go(cpu)


async def _try(bench: Bench, cpu: int, write: bool) -> None:
    got = await bench.linear.do("try", (cpu, write), lambda: _enter_try(bench.lock, write))
    if got:
        await bench.linear.do("leave", (cpu,), lambda: _leave(bench.lock))
    elif bench.company.alone(cpu):
        raise Panic("a try was refused, and nobody else was near", "invariant")


async def _changed(bench: Bench, cpu: int, down: bool) -> None:
    """In, and from there to the other kind of holder; a mutex has one kind."""
    lock = bench.lock
    await _get(bench, cpu, down or isinstance(lock, Mutex))
    if isinstance(lock, RwLock):
        if down:
            await bench.linear.do("downgrade", (cpu,), lock.downgrade)
        else:
            await bench.linear.do("upgrade", (cpu,), lock.upgrade_try)
    await bench.linear.do("leave", (cpu,), lambda: _leave(lock))


async def _misuse(bench: Bench, cpu: int, what: str) -> None:
    """What the kernel's own assertions must refuse."""
    if what == "again":
        await _get(bench, cpu, True)
        await bench.linear.do("misuse", (what,), lambda: _refused(_enter(bench.lock, True)))
        await bench.linear.do("leave", (cpu,), lambda: _leave(bench.lock))
    elif what == "stray":
        await bench.linear.do("misuse", (what,), lambda: _refused(_leave(bench.lock)))
    elif isinstance(bench.lock, RwLock):
        await bench.aside.enter()
        await bench.linear.do("misuse", (what,), lambda: _refused(_enter(bench.lock, True)))
        await bench.aside.leave()


async def _refused(body: Awaitable[None]) -> bool:
    try:
        await body
    except Panic:
        return True
    return False


async def _enter(lock: Mutex | RwLock, write: bool) -> None:
    await (lock.enter() if isinstance(lock, Mutex) else lock.enter(write))


async def _enter_try(lock: Mutex | RwLock, write: bool) -> bool:
    return await (lock.enter_try() if isinstance(lock, Mutex) else lock.enter_try(write))


async def _leave(lock: Mutex | RwLock) -> None:
    await (lock.leave() if isinstance(lock, Mutex) else lock.exit())


def _exact(state: Plain, name: str, args: tuple[Plain, ...]) -> Effect | list[Effect]:
    """(writer, readers, tokens). A try takes what is free."""
    writer, readers, tokens = state
    if name == "take":
        return ((writer, readers, tokens - 1), None) if tokens else None
    if name == "give":
        return (writer, readers, tokens + (2 if args[0] else 1)), None
    if name == "misuse":
        return state, True
    if name == "upgrade":  # refused only for the sake of other readers
        alone = readers == args
        return ((args[0], (), tokens), True) if alone else (state, False)
    if name == "downgrade":
        return (-1, args, tokens), None
    if name == "leave":
        if writer == args[0]:
            return (-1, readers, tokens), None
        return (writer, tuple(one for one in readers if one != args[0]), tokens), None
    cpu, write = args
    free = writer == -1 and not (write and readers)
    told = True if name == "try" else None
    if free and write:
        return (cpu, readers, tokens), told
    if free:
        return (writer, tuple(sorted((*readers, cpu))), tokens), told
    return (state, False) if name == "try" else None


def _free_to_refuse(state: Plain, name: str, args: tuple[Plain, ...]) -> Effect | list[Effect]:
    """Of a sleeping lock: a try may be refused for the sake of one that waits."""
    effect = _exact(state, name, args)
    if name == "try" and not isinstance(effect, list):
        return [effect, (state, False)]
    return effect


YES_NO = (True, False)
TARGET = Target(
    name="locks",
    summary="mutexes, sleeping locks of each policy, channels: what is held excludes whom",
    build=build,
    params={"lock": (*MUTEXES, *POLICIES)},
    named={"section": ("write",), "try": ("write",), "give": ("all",), "misuse": ("how",)},
    operations={
        "section": (YES_NO,),
        "try": (YES_NO,),
        "upgrade": (),
        "downgrade": (),
        "give": (YES_NO,),
        "take": (),
        "misuse": (("stray", "again", "asleep"),),
    },
    most=6,
)
