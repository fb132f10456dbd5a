"""The pools that page tables come from, and the memory of their items.

Source: sys/arch/arm64/arm64/pmap.c 1.113 (pmap_init, pmap_vp_allocator). Left out:
``pmap_pmap_pool``, per-CPU caches.
"""

from __future__ import annotations

from typing import Final

from kmodel.panic import Panic
from kmodel.param import PAGE_SIZE, KernelParams
from kmodel.pmap.pte import Pted, Vp
from kmodel.point import procedure
from kmodel.shared import shared
from kmodel.sync.mutex import IPL_VM
from kmodel.vm.km import KMPAGES_BASE, KernelMemory, SinglePages, VpPages
from kmodel.vm.kmap import KERNBASE
from kmodel.vm.pool import Pool

PTEDS_PER_PAGE: Final = 4
"""99 on the real machine; fewer here, so that a pool runs out within a small run."""


@shared
class PmapPools:
    """``pmap_pted_pool`` and ``pmap_vp_pool``, with the memory that their items are.

    An address is looked up as the C code casts a pointer: ``vp(a)``, ``pted(a)``.
    """

    pted_pool: Final[Pool]
    vp_pool: Final[Pool]
    headers: Final[Pool]
    vps: Final[tuple[Vp, ...]]
    pteds: Final[tuple[Pted, ...]]

    def __init__(self, p: KernelParams, km: KernelMemory, single: SinglePages) -> None:
        pted_pages = SinglePages(km.physmem, km.kmpages, PTEDS_PER_PAGE)
        self.pted_pool = Pool("pted", pted_pages, IPL_VM, PAGE_SIZE // PTEDS_PER_PAGE)
        self.headers = Pool("phpool", single, IPL_VM, PAGE_SIZE // 4)
        self.vp_pool = Pool(
            "vp", VpPages(km, self.headers), IPL_VM, 2 * PAGE_SIZE, max(p.kva_pages // 2, 1), 3
        )
        self.vps = tuple(Vp(KERNBASE + n * PAGE_SIZE) for n in range(0, p.kva_pages - 1, 2))
        step = PAGE_SIZE // PTEDS_PER_PAGE
        self.pteds = tuple(
            Pted(KMPAGES_BASE + n * step) for n in range(p.km_pages * PTEDS_PER_PAGE)
        )

    def vp(self, address: int) -> Vp:
        return self.vps[(address - KERNBASE) // (2 * PAGE_SIZE)]

    def pted(self, address: int) -> Pted:
        return self.pteds[(address - KMPAGES_BASE) // (PAGE_SIZE // PTEDS_PER_PAGE)]

    @procedure
    async def get_vp(self, waitok: bool) -> Vp | None:
        """A zeroed table page."""
        address = await self.vp_pool.get(waitok)
        if address is None:
            return None
        vp = self.vp(address)
        vp.live = True
        return vp

    @procedure
    async def get_pted(self, waitok: bool) -> Pted | None:
        """A zeroed descriptor."""
        address = await self.pted_pool.get(waitok)
        if address is None:
            return None
        pted = self.pted(address)
        pted.live = True
        return pted

    @procedure
    async def put_vp(self, vp: Vp) -> None:
        if vp.slots.used:
            raise Panic(f"pool_put: {vp.name} is given back with slots in use", "use-after-free")
        vp.live = False
        await self.vp_pool.put(vp.address)

    @procedure
    async def put_pted(self, pted: Pted) -> None:
        pted.pte, pted.live = None, False
        await self.pted_pool.put(pted.address)
