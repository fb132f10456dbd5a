"""``refill``: only refill the pools.

The diff author's first idea: "in fact my initial idea was for pmap_populate() to just
refill the pools", which he dropped because the fault comes back to the same address
anyway. It is what ``uvm_anwait`` does for anons ("very similar to this case"): with
no lock held get items with PR_WAITOK, put them straight back, and restart; whoever comes
first takes them.

Assumed: one descriptor and ``refill_items`` table pages are held together before any is put
back. With 1 (the default) it is ``uvm_anwait`` to the letter, once for each pool. Where they
are put back decides who finds them: in the pool anybody, in a pool with per-CPU caches (as
arm64's two are) this CPU, so both are variants (``pool_cache``). No thread changes CPU here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kmodel.pmap.pte import Vp
from kmodel.point import procedure

if TYPE_CHECKING:
    from kmodel.fault import Kernel, Space
    from kmodel.pmap.pools import PmapPools
    from kmodel.vm.cause import Cause

SUMMARY = "the first idea: get what may be missing with WAITOK, put it back, then retry"
VARIANTS = {"pool_cache": (1, 0)}


async def after_failure(kernel: Kernel, space: Space, va: int, error: int | Cause) -> None:
    """Refill both pools. Held: nothing."""
    await _refill(kernel.pmap_pools, kernel.p.refill_items)


@procedure
async def _refill(pools: PmapPools, tables: int) -> None:
    pted = await pools.get_pted(True)
    vps: tuple[Vp, ...] = ()
    for _ in range(tables):
        vp = await pools.get_vp(True)
        assert vp is not None
        vps = (*vps, vp)
    assert pted is not None
    await pools.put_pted(pted)
    for vp in vps:
        await pools.put_vp(vp)
