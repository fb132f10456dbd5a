"""Leaks: what is neither free nor where it belongs, once every obliged task is done."""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from kmodel.fault import Kernel, Space
from kmodel.pmap.pte import Pted, Vp
from kmodel.vm.amap import Amap
from kmodel.vm.anon import Anon, Anons
from kmodel.vm.km import SinglePages
from kmodel.vm.kmem import KmemPages
from kmodel.vm.kmstock import KmStock
from kmodel.vm.object import UvmObject
from kmodel.vm.pool import Pool


@attrs.define
class Belongings:
    """All that a machine's kernel has given out, by whom it should be found with.

    ``others_on_swap`` slots are somebody else's. Filled while the world is built.
    """

    kernel: Kernel
    spaces: list[Space] = attrs.field(factory=list)
    owners: list[Anons] = attrs.field(factory=list)
    amaps: list[Amap] = attrs.field(factory=list)
    objects: list[UvmObject] = attrs.field(factory=list)
    others_on_swap: int = 0

    def leak(self) -> str | None:
        """What is lost, or ``None``."""
        return self._items() or self._pages() or self._busy() or self._slots()

    def _owned(self) -> list[Anon]:
        return [anon for owner in self.owners for _, anon in owner.members.used]

    def _items(self) -> str | None:
        for pool, want, what in self._wanted():
            out = pool.nout - (pool.cache.held() if pool.cache else 0)
            if out != want:
                return f"{pool.name}: items out: {out}; {what}: {want}"
        return None

    def _wanted(self) -> Iterator[tuple[Pool, int, str]]:
        """How many items of each pool are where they belong."""
        kernel, pools = self.kernel, self.kernel.pmap_pools
        # of a process that is gone nothing is left
        counts = [_count(space.pmap.top) for space in self.spaces if space.map.entries]
        pteds = sum(descriptors for _, descriptors in counts)
        ranges = sum(1 for pages in kernel.km.backing if pages is not None)
        if isinstance(kernel.km.kmpages, KmStock):
            ranges += kernel.km.kmpages.with_entry()
        headed = pools.memory.held() // 2 if pools.memory.headers is not None else 0
        yield pools.vp_pool, sum(tables for tables, _ in counts), "table pages linked"
        yield pools.pted_pool, 0 if pools.inline else pteds, "descriptors linked"
        yield kernel.anons.pool, len(self._owned()), "anons in amaps"
        yield kernel.km.entries, ranges, "ranges in kernel_map"
        yield pools.headers, headed, "pool pages with a header"
        if kernel.amaps is not None:
            chunks = sum(len(amap.chunks.used) for amap in self.amaps)
            used = sum(amap.item is not None for amap in self.amaps)
            yield kernel.amaps.amaps, used, "amaps that somebody uses"
            yield kernel.amaps.chunks, chunks, "chunks in amaps"

    def _pages(self) -> str | None:
        kernel, mem, pools = self.kernel, self.kernel.physmem, self.kernel.pmap_pools
        resident = sum(len(uobj.memq.used) for uobj in self.objects)
        resident += sum(anon.page is not None for anon in self._owned())
        behind = pools.memory.held() + kernel.km.cache.held() + self._single()
        if isinstance(pools.memory, KmemPages) and pools.memory.map.entries is not None:
            behind += pools.memory.map.entries.pages
        if isinstance(kernel.km.kmpages, KmStock):
            behind += len(kernel.km.kmpages.queued)
        grown = pools.kernel.taken if pools.kernel is not None else 0
        used, taken = (
            mem.others + len(mem.buffers) + behind + resident + grown,
            mem.npages - mem.nfree(),
        )
        return None if taken == used else f"pages taken: {taken}; accounted for: {used}"

    def _single(self) -> int:
        """Pages of the pools whose pages are single ones."""
        kernel, pools, amaps = self.kernel, self.kernel.pmap_pools, self.kernel.amaps
        some = [pools.pted_pool, kernel.anons.pool, kernel.km.entries, pools.headers]
        some += [amaps.amaps, amaps.chunks] if amaps is not None else []
        return sum(
            -(-(len(pool.free) + pool.nout) // pool.allocator.items)
            for pool in some
            if isinstance(pool.allocator, SinglePages)
        )

    def _busy(self) -> str | None:
        for uobj in self.objects:
            if any(page.busy for _, page in uobj.memq.used):
                return f"a page of {uobj.name} is busy, and nobody has it in hand"
        return None

    def _slots(self) -> str | None:
        slots = sum(anon.page is None or anon.busy for anon in self._owned())
        swap = self.kernel.swap
        taken = swap.npages - swap.free - self.others_on_swap
        return None if taken == slots else f"slots of swap taken: {taken}; pages there: {slots}"


def _count(item: Vp | Pted | None) -> tuple[int, int]:
    """Tables and descriptors at and below ``item``."""
    if item is None:
        return 0, 0
    if isinstance(item, Pted):
        return 0, 1
    below = [_count(child) for _, child in item.slots.used]
    return 1 + sum(tables for tables, _ in below), sum(descriptors for _, descriptors in below)
