"""What must hold of page tables in every state: the tests behind the named properties.

Each looks at whole pmaps, with no lock, as somebody outside of the run; ``None`` is all well.
"""

from __future__ import annotations

from collections.abc import Iterable

from kmodel.pmap.kernel import KernelPmap
from kmodel.pmap.pmap import Pmap
from kmodel.pmap.pools import PmapPools
from kmodel.pmap.pte import Pted, Slot, Vp
from kmodel.vm.pool import Pool


def populated_is_mapped(pm: Pmap) -> str | None:
    """A populated slot is no mapping for whatever looks it up: the tables, the page's pv list,
    the hardware's walk, a TLB, the count of what is wired (for the other, ``resident_drifts``)."""
    zero = {va: item for _, va, item in pm.linked() if isinstance(item, Pted) and not item.pte}
    for va in zero:
        if pm.pmap_vp_lookup(va)[0] is Slot.VALID:
            return f"{pm.name}: {va:#x} is populated, and looks mapped"
        if zero[va].wired:
            return f"{pm.name}: {va:#x} is populated, and counts as wired"
    for page, mappings in enumerate(pm.pools.pv.lists if pm.pools.pv else ()):
        if any(pted is zero.get(va) for of, va, pted in mappings if of is pm):
            return f"{pm.name}: a populated address is on the pv list of page {page}"
    if pm.mmu is not None:
        known = (("a table walk finds", pm.mmu.walk), ("a TLB remembers", pm.mmu.tlb))
        for where, entries in known:
            for va, page, _ in entries:
                if pm.pmap_vp_lookup(va)[0] is not Slot.VALID:
                    return f"{pm.name}: {where} page {page} at {va:#x}, which is not mapped"
    return None


def excess_right(pm: Pmap) -> str | None:
    """While nobody changes a mapping, the hardware may do no more with it than it says."""
    if pm.mmu is None or pm.pm_mtx.owner is not None:
        return None
    for va, page, write in (*pm.mmu.walk, *pm.mmu.tlb):
        pv = pm.pools.pv
        if write and not (pv is not None and pv.mtx[page].owner is not None):
            _, pted = pm.pmap_vp_lookup(va)
            if pted is None or pted.pte != (page, True):
                return f"{pm.name}: the hardware may write page {page} at {va:#x}, and should not"
    return None


def one_installer(pmaps: Iterable[Pmap]) -> str | None:
    """Every table and descriptor hangs in one slot of one pmap, and is in use."""
    seen: dict[Vp | Pted, str] = {}
    for pm in pmaps:
        for _, va, item in pm.linked():
            place = f"{pm.name} at {va:#x}"
            if item in seen:
                return f"{item.name} hangs in two places: {seen[item]}, and {place}"
            if not item.live:
                return f"{item.name} hangs in {place}, and lies in its pool"
            seen[item] = place
    return None


def over_windows(pm: Pmap) -> str | None:
    """What a thread has read of the tables, and will use after a window, is still linked."""
    if not pm.window:
        return None
    linked = {item for _, _, item in pm.linked()}
    for task, vp in pm.window:
        if vp not in linked:
            return f"{pm.name}: {task} will use {vp.name} after its window, and it is not linked"
    return None


def resident_drifts(pm: Pmap) -> str | None:
    """resident_count equals the number of valid descriptors."""
    if pm.exact:
        return None
    return f"resident_count of {pm.name} differs from its number of valid descriptors"


def foreign(kernel: KernelPmap) -> str | None:
    """Nothing hangs in the kernel's own pmap that was not its own at boot."""
    own = {*kernel.tables, *kernel.pteds}
    for _, va, item in kernel.linked():
        if item not in own:
            return f"{kernel.name}: {item.name}, of a pool, hangs there at {va:#x}"
    return None


def conservation(pools: PmapPools, pmaps: tuple[Pmap, ...]) -> str | None:
    """At quiescence: what is out of a pool is linked, in a cache, or kept by a thread; what is
    free is free once; and all of it are the items that the pool's pages have."""
    items = [item for pm in pmaps for _, _, item in pm.linked()]
    kept = [item for mine in pools.reserved for item in mine]
    for pool, kind in ((pools.vp_pool, Vp), (pools.pted_pool, Pted)):
        if kind is Pted and pools.inline:
            continue
        linked = sum(isinstance(item, kind) for item in items)
        held = sum(isinstance(item, kind) for item in kept)
        wrong = _conserved(pool, linked, held)
        if wrong:
            return wrong
    pages = pools.memory.held() // 2
    made = pools.vp_pool.nout + len(pools.vp_pool.free)
    if made != pages:
        return f"{pools.vp_pool.name}: {made} items are out or free, and {pages} were made"
    return None


def _conserved(pool: Pool, linked: int, held: int) -> str | None:
    cached = pool.cache.held() if pool.cache else 0
    if len(set(pool.free)) != len(pool.free):
        return f"{pool.name}: an item is free twice"
    if pool.nout != linked + cached + held:
        return (
            f"{pool.name}: {pool.nout} items are out; {linked} are linked, {cached} in caches, "
            f"{held} kept by threads"
        )
    return None


def waste(pm: Pmap) -> tuple[int, int]:
    """(descriptors that map nothing, tables with nothing valid below), without the top one."""
    items = list(pm.linked())
    valid = [va for _, va, item in items if isinstance(item, Pted) and item.pte]
    below = [(level, va) for level, va, item in items if isinstance(item, Vp)][1:]
    empty = 0
    for level, base in below:
        size = 1 << 12 + 9 * (4 - level)
        empty += not any(base <= va < base + size for va in valid)
    return sum(isinstance(item, Pted) and not item.pte for _, _, item in items), empty


def unbounded_waste(pm: Pmap) -> str | None:
    """Each call of pmap_enter or pmap_populate leaves at most one descriptor that maps nothing
    and one table a level; pmap_destroy leaves none. (No bound in calls that fail would do: what
    an enter that succeeds has linked is left over by the next remove.)"""
    if pm.calls < 0:
        return None
    descriptors, tables = waste(pm)
    if descriptors > pm.calls or tables > pm.calls * (pm.levels - 1):
        return (
            f"{pm.name}: {descriptors} descriptors and {tables} tables map nothing, after "
            f"{pm.calls} calls that could leave some"
        )
    return None


def fails_again(pm: Pmap) -> str | None:
    """Property 19: each failure is a restart of the fault, unless it is killed."""
    if pm.failures.grown:
        return f"{pm.name}: pmap_enter failed again, and lacked more than the last time"
    found = pm.failures.broken()
    if found is None:
        return None
    who, va, times = found
    return f"{pm.name}: {who}'s pmap_enter of {va:#x} failed {times} times"
