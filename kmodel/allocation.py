"""What must hold of the kernel's allocators, as tests of single states.

Each takes the kernel and its processes, and returns what is wrong, or ``None``. Numbers are
those of the kernel facts.
"""

from __future__ import annotations

from collections.abc import Iterator

from kmodel.fault import Kernel, Space
from kmodel.point import Task
from kmodel.vm.kmstock import THREAD, KmStock
from kmodel.vm.physmem import DAEMON
from kmodel.vm.pool import Pool


def pools(kernel: Kernel) -> tuple[Pool, ...]:
    """Every pool of this machine."""
    mine = kernel.pmap_pools
    return mine.vp_pool, mine.pted_pool, mine.headers, kernel.km.entries, kernel.anons.pool


def waits_for(kernel: Kernel, task: Task) -> str | None:
    """What ``task`` is asleep for, if it is asleep for anything of the allocators'."""
    mem, km = kernel.physmem, kernel.km
    if task in mem.uvmexp_free.sleepers or task in mem.pla.sleepers:
        return "memory"
    if km.kernel_map.lock.asleep(task):
        return "the lock of kernel_map"
    if task in km.kernel_map.freed.sleepers:
        return "an address of kernel_map"
    if task in km.kmpages.chan.sleepers:
        return "the stock of one-page addresses"
    for pool in pools(kernel):
        if task in pool.waiters.sleepers:
            return f"an item of the {pool.name}"
    return None


def sleepers(kernel: Kernel) -> Iterator[Task]:
    """Everybody who is asleep for something of the allocators'."""
    mem, km = kernel.physmem, kernel.km
    yield from (*mem.uvmexp_free.sleepers, *mem.pla.sleepers, *km.kmpages.chan.sleepers)
    yield from (*km.kernel_map.lock.sleeping(), *km.kernel_map.freed.sleepers)
    for pool in pools(kernel):
        yield from pool.waiters.sleepers


def nowait_blocks(kernel: Kernel, spaces: tuple[Space, ...]) -> str | None:
    """Property 3. It knows of requests only if the machine has ``watch_nowait``."""
    section = kernel.km.nowait
    for task in sleepers(kernel):
        if section is not None and section in task.cpu.held:
            return f"{task} asked with NOWAIT, and sleeps for {waits_for(kernel, task)}"
    return None


def page_in_two_places(kernel: Kernel, spaces: tuple[Space, ...]) -> str | None:
    """Property 9, but for pages that are nowhere, which only the end of a run can tell."""
    seen: dict[int, str] = {}
    for page, place in _places(kernel, spaces):
        other = seen.setdefault(page, place)
        if other != place:
            return f"page {page} is {other}, and {place}"
    return None


def _places(kernel: Kernel, spaces: tuple[Space, ...]) -> Iterator[tuple[int, str]]:
    mem, km = kernel.physmem, kernel.km
    for page in range(mem.npages):
        if mem.free >> page & 1:
            yield page, "on the free list"
    for page in mem.buffers:
        yield page, "in the buffer cache"
    for cpu, magazines in enumerate(km.cache.magazines):
        for page in (*magazines[0], *magazines[1]):
            yield page, f"in the page cache of CPU {cpu}"
    for first, pages in enumerate(km.backing):
        for page in pages or ():
            yield page, f"behind range {first} of kernel_map"
    for entry in (entry for space in spaces for entry in space.map.entries):
        for address, anon in entry.anons.members.used:
            if anon.page is not None:
                yield anon.page, f"anon {address:#x} of {entry.anons.name}"
        uobj = entry.uobj
        if uobj is None:
            continue
        for index, there in uobj.memq.used:
            yield there.page, f"page {index} of {uobj.name}"
    if isinstance(km.kmpages, KmStock):
        for cell, behind in enumerate(km.kmpages.behind):
            if behind is not None:
                yield behind, f"behind single page {cell} of kernel_map"


def item_in_two_places(kernel: Kernel, spaces: tuple[Space, ...]) -> str | None:
    """Property 8, but for items that are lost, which only the end of a run can tell."""
    for pool in pools(kernel):
        idle = (*pool.free, *(item for _, item in pool.given), *_cached(pool))
        twice = next((item for n, item in enumerate(idle) if item in idle[:n]), None)
        if twice is not None:
            return f"{pool.name}: item {twice:#x} can be given out twice"
        if len(_cached(pool)) > pool.nout:
            return f"{pool.name}: more items lie in caches than are out"
    return None


def _cached(pool: Pool) -> tuple[int, ...]:
    """The items in the caches of CPUs and in the depot, which count as out."""
    if pool.cache is None:
        return ()
    lists = [one for pair in pool.cache.lists for one in pair]
    return tuple(item for one in (*lists, *pool.cache.depot) for item in one)


def miscounted(kernel: Kernel, spaces: tuple[Space, ...]) -> str | None:
    """Property 15."""
    for pool in pools(kernel):
        if pool.fails.amiss:
            return f"{pool.name}: nfail is {-pool.fails.amiss:+} off the NULLs that were given"
    return None


def impure(kernel: Kernel, spaces: tuple[Space, ...]) -> str | None:
    """Property 17."""
    for task in sleepers(kernel):
        if task.name == DAEMON:
            what = waits_for(kernel, task)
            only = ", which only it can free" if what == "memory" else ""
            return f"the page daemon waits for {what}{only}"
    for lock in (entry.anons.lock for space in spaces for entry in space.map.entries):
        if any(task.name == DAEMON for task in lock.sleeping()):
            return f"the page daemon waits for {lock.name}, the lock of a page's owner"
    return None


def unwoken(kernel: Kernel, spaces: tuple[Space, ...]) -> str | None:
    """Property 20: the page daemon could run, and wake who is in uvm_wait."""
    asleep = kernel.physmem.uvmexp_free.sleepers
    if not asleep or impure(kernel, spaces):
        return None
    return f"{asleep[0]} waits for memory, and nothing keeps the page daemon from waking it"


def unserved(kernel: Kernel, spaces: tuple[Space, ...]) -> str | None:
    """Property 21. Of pools whose pages are single ones nobody waits for a page: who may
    sleep does so in their allocator."""
    for pool in pools(kernel):
        if pool.requests and pool.free:
            return f"{pool.requests[0]} waits for an item of the {pool.name}, and one is free"
    pool = kernel.pmap_pools.vp_pool
    if pool.requests and _makes_table(kernel):
        return f"{pool.requests[0]} waits for an item of the {pool.name}, and one could be made"
    return None


def _makes_table(kernel: Kernel) -> bool:
    """Would a table page be had that is asked for now, the map's lock being free?"""
    km, mine, mem = kernel.km, kernel.pmap_pools, kernel.physmem
    small = km.kmpages.free or (km.entries.free and mine.headers.free)
    return bool(small) and mine.memory.room() and mem.nfree() > mem.reserve_kernel + 2


def memory_deadlock(kernel: Kernel, spaces: tuple[Space, ...]) -> str | None:
    """Property 23: only the page daemon makes pages free while everybody waits."""
    lock, mem = kernel.km.kernel_map.lock, kernel.physmem
    if not any(task.name == DAEMON for task in lock.sleeping()):
        return None
    for holder in (*lock.readers, *((lock.writer,) if lock.writer else ())):
        if holder in mem.uvmexp_free.sleepers or holder in mem.pla.sleepers:
            return f"{holder} holds kernel_map and waits for memory; the page daemon for the map"
    return None


def stock_stuck(kernel: Kernel, spaces: tuple[Space, ...]) -> str | None:
    """Property 24: the thread is asleep, the stock is empty, and the map has an address."""
    km = kernel.km
    if not isinstance(km.kmpages, KmStock) or km.kmpages.free:
        return None
    asleep = (*km.kmpages.km_proc.sleepers, *km.kmpages.chan.sleepers)
    free = km.kernel_map.lock.free(True) and km.kernel_map.find(1) is not None
    if not free or not any(task.name == THREAD for task in asleep):
        return None
    return "the one-page stock is empty, kernel_map has room, and the thread sleeps"


def refused(kernel: Kernel, spaces: tuple[Space, ...]) -> str | None:
    """Property 26."""
    found = kernel.km.kernel_map.refusals.broken()
    if found is None:
        return None
    return f"{found[0]}'s tries of kernel_map's lock were refused {found[2]} times in a row"


def storms(kernel: Kernel, spaces: tuple[Space, ...]) -> str | None:
    """Property 28."""
    found = kernel.physmem.laps.broken()
    if found is None:
        return None
    laps = "a lap" if found[2] == 1 else f"{found[2]} laps"
    return f"the {found[0]} did {laps} with no page short, and no fault ended meanwhile"
