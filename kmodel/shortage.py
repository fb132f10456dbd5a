"""What is short, and what is there, while somebody hangs: tests of states.

They look at the machine from outside of it, and know of no thread what it needs: all is
there if there is some of everything.
"""

from __future__ import annotations

from kmodel.fault import Kernel, Space
from kmodel.pmap.pools import PmapPools


def exhausted(kernel: Kernel, spaces: tuple[Space, ...]) -> str | None:
    """Property 22: pages there are, and for a table page neither address nor item."""
    if _table_page(kernel.pmap_pools) or not kernel.physmem.plentiful():
        return None
    return "no address is left for a table page, and no fault is told so"


def _table_page(pools: PmapPools) -> bool:
    """Is a table page, or an address for one, anywhere? In another CPU's cache too: it is
    there, though nobody can get at it."""
    cache = pools.vp_pool.cache
    return pools.memory.room() or bool(pools.vp_pool.free or (cache and cache.held()))


def all_is_there(kernel: Kernel, spaces: tuple[Space, ...]) -> str | None:
    """Properties 20 and 21: nothing is short that a fault could need."""
    mem, pools = kernel.physmem, kernel.pmap_pools
    singles = kernel.km.kmpages.free or (pools.pted_pool.free and kernel.anons.pool.free)
    if _table_page(pools) and singles and mem.nfree() >= mem.freetarg:
        return "pages, kernel addresses and items are free, and somebody hangs all the same"
    return None
