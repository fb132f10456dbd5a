"""What boot takes, before any thread runs: directly, without locks, with nobody to wait for.

Everything here raises ``UsageError`` where the parameters leave no room for it.
"""

from __future__ import annotations

from typing import Final, NoReturn

import attrs

from kmodel.fault import Kernel, Space
from kmodel.param import STOCK_ITEMS
from kmodel.pmap.pte import Vp
from kmodel.settings import UsageError
from kmodel.vm.amap import AmapPool
from kmodel.vm.km import SinglePages
from kmodel.vm.pool import Pool
from kmodel.vm.wrapper import WrapperPool


def cannot_be(why: str) -> NoReturn:
    raise UsageError(f"Parameters that cannot be: {why}")


@attrs.frozen
class Boot:
    """Takes pages, items and addresses of ``kernel``."""

    kernel: Final[Kernel]

    def stocks(self) -> None:
        """The items that each pool has at the start."""
        p, pools = self.kernel.p, self.kernel.pmap_pools
        self._prime(self.kernel.km.entries, p.entry_stock)
        self._prime(pools.headers, p.header_stock)
        self._prime(pools.pted_pool, p.pted_stock)
        self._prime(self.kernel.anons.pool, p.anon_stock)
        # a wrapper keeps no item, so it has no stock
        for _ in range(0 if isinstance(pools.vp_pool, WrapperPool) else p.vp_stock):
            vp = self.vp()
            vp.live = False
            pools.vp_pool.prime((vp.address,))
            pools.vp_pool.nout -= 1
        for pool in (pools.pted_pool, pools.vp_pool):
            if pool.idle is not None:
                pool.idle.least = p.pool_lowat

    def amap_pools(self) -> AmapPool:
        """The pools of amaps and their chunks, for a story that allocates some."""
        p, single = self.kernel.p, self.kernel.km.single
        made = AmapPool(single(STOCK_ITEMS), single(STOCK_ITEMS))
        self._prime(made.amaps, p.amap_stock)
        if p.amap_chunks:
            self._prime(made.chunks, p.chunk_stock)
        return made

    def _prime(self, pool: Pool, stock: int) -> None:
        """Give ``pool`` whole pages until it has ``stock`` free items."""
        while len(pool.free) < stock:
            allocator = pool.allocator
            assert isinstance(allocator, SinglePages)
            items = allocator.boot()
            if items is None:
                cannot_be(
                    f"{pool.name}: no page or address left at boot for {stock} items; raise "
                    "km_pages or npages"
                )
            pool.prime(items)

    def vp(self) -> Vp:
        """A table page, taken as pool_get would."""
        vp = self.kernel.pmap_pools.boot_vp()
        if vp is None:
            cannot_be(
                "no room at boot for a page-table page; raise kva_pages, npages, entry_stock or "
                "header_stock"
            )
        return vp

    def page(self) -> int:
        if not self.kernel.physmem.nfree():
            cannot_be("no page left at boot; raise npages")
        (page,) = self.kernel.physmem.take(1)
        return page

    def anon(self) -> int:
        pool = self.kernel.anons.pool
        if not pool.free:
            cannot_be("no anon left at boot; raise anon_stock")
        return pool.boot_take()

    def map(self, space: Space, va: int, page: int) -> None:
        """pmap_enter, to read and write."""
        pools, vp = self.kernel.pmap_pools, space.pmap.top
        assert vp is not None
        for level in range(4 - self.kernel.p.levels, 3):
            child = space.pmap.table(vp, va, level)
            if child is None:
                child = self.vp()
                space.pmap.link(vp, va, level, child)
            vp = child
        if not (pools.inline or pools.pted_pool.free):
            cannot_be("no descriptor left at boot; raise pted_stock")
        pted = vp.spare() if pools.inline else pools.pted(pools.pted_pool.boot_take())
        pted.live, pted.pte = True, (page, True)
        space.pmap.link(vp, va, 3, pted)
        space.pmap.resident_count += 1
        if pools.pv is not None:
            pools.pv.boot(page, space.pmap, va, pted)
        if space.pmap.mmu is not None:
            space.pmap.mmu.boot(va, page, True)
