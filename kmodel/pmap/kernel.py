"""The kernel's own pmap: tables and descriptors are there before they are needed.

Source: sys/arch/arm64/arm64/pmap.c 1.113 (pmap_kenter_pa, pmap_kremove, pmap_growkernel,
pmap_bootstrap). Scaled: one last table covers all that is modelled of kernel_map, so growth
makes descriptors alone. Left out: the interrupt-safe addresses of what growth takes, the
one-page stock and the direct map (only kernel_map's addresses are entered), resident_count
being exact (nothing locks it there). A descriptor of an address that is not reached yet hangs
in its slot and is not ``live``: so growth changes nothing that others read unlocked.
"""

from __future__ import annotations

from typing import Final

from kmodel.event import mark, say
from kmodel.panic import Panic
from kmodel.param import PAGE_SIZE, STOCK_ITEMS, KernelParams
from kmodel.pmap.pmap import Pmap
from kmodel.pmap.pools import PmapPools
from kmodel.pmap.pte import Pted, Slot, Vp
from kmodel.point import procedure
from kmodel.shared import shared
from kmodel.vm.kmap import KERNBASE
from kmodel.vm.physmem import PhysMem
from kmodel.vm.pool import Cause

OWN: Final = 0xFFFF_FF83_0000_0000
"""Where its tables and descriptors lie; no pool has them."""


@shared
class KernelPmap(Pmap):
    """pmap_kernel(): nothing locks it. Who may touch an address is settled by kernel_map, which
    gives it to one user at a time; ``reach`` (pages of kernel_map's space that have
    descriptors, from its beginning) is protected by the lock of kernel_map."""

    physmem: Final[PhysMem]
    tables: Final[tuple[Vp, ...]]
    pteds: Final[tuple[Pted, ...]]
    reach: int  # kernel_map
    taken: int  # kernel_map; pages that growth took, for good

    def __init__(self, p: KernelParams, pools: PmapPools, physmem: PhysMem, npages: int) -> None:
        super().__init__(p, pools, "kernel", levels=3)
        self.physmem, self.reach, self.taken = physmem, 0, 0
        self.tables = tuple(Vp(OWN + n * 2 * PAGE_SIZE) for n in range(3))
        base = OWN + 3 * 2 * PAGE_SIZE
        self.pteds = tuple(Pted(base + n * 40) for n in range(npages))
        self.top = self.tables[0]
        for vp in self.tables:
            vp.live = True
        for level, vp in enumerate(self.tables[1:], 1):
            self.link(self.tables[level - 1], KERNBASE, level, vp)
        for page, pted in enumerate(self.pteds):
            self.link(self.tables[2], KERNBASE + page * PAGE_SIZE, 3, pted)
        self._reach(min(p.kva_boot, npages))

    async def lock(self) -> None:
        """pmap_lock: nothing, for this pmap."""

    async def unlock(self) -> None:
        """pmap_unlock: nothing, for this pmap."""

    def _reach(self, to: int) -> None:
        for page in range(self.reach, to):
            self.pteds[page].live = True
        self.reach = to

    @procedure
    def pmap_vp_lookup(self, va: int) -> tuple[Slot, Pted | None]:
        """What the tables say of ``va``: nothing is there beyond what was preallocated."""
        slot, pted = super().pmap_vp_lookup(va)
        return (slot, pted) if pted is not None and pted.live else (Slot.EMPTY, None)

    def boot(self, va: int, page: int) -> None:
        """pmap_kenter_pa, with nobody to wait for."""
        _, pted = self.pmap_vp_lookup(va)
        assert pted is not None
        pted.pte = (page, True)
        self.resident_count += 1
        if self.mmu is not None:
            self.mmu.boot(va, page, True)

    @procedure
    async def pmap_growkernel(self, to: int) -> int:
        """Make descriptors up to ``to`` pages of kernel_map, a page of them at a time, without
        waiting for anything. How far it came, which may be short of that. Held: kernel_map,
        write."""
        while self.reach < min(to, len(self.pteds)):
            if await self.physmem.getpages(1, waitok=False, usereserve=True) is None:
                mark("pmap_growkernel came short")
                break
            self.taken += 1
            self._reach(min(self.reach + STOCK_ITEMS, len(self.pteds)))
            mark("the kernel's page tables grew")
        return self.reach

    @procedure
    async def pmap_kenter_pa(self, va: int, page: int, write: bool) -> None:
        """Map ``va`` to ``page``, on no pv list. Panics where no descriptor was preallocated;
        takes nothing, waits for nothing."""
        slot, pted = self.pmap_vp_lookup(va)
        if pted is None:
            raise Panic(f"pmap_kenter_pa: {va:#x}: no descriptor was preallocated")
        if slot is Slot.VALID:
            await self._clear(va, pted)
        self.resident_count += 1
        pted.pte = (page, write)
        await self._insert(va, pted)
        say("pmap.enter", obj=self.name, va=hex(va), page=page)

    @procedure
    async def pmap_kremove(self, start: int, end: int) -> None:
        """Unmap what pmap_kenter_pa has mapped in [start, end)."""
        for va in range(start, end, PAGE_SIZE):
            slot, pted = self.pmap_vp_lookup(va)
            if slot is Slot.VALID and pted is not None:
                await self._clear(va, pted)

    @procedure
    async def _clear(self, va: int, pted: Pted) -> None:
        self.resident_count -= 1
        if self.mmu is not None:
            await self.mmu.pmap_pte_remove(va)
            await self.mmu.ttlb_flush(va)
        say("pmap.remove", obj=self.name, va=hex(va))
        await self._drop(va, pted)

    @procedure
    async def _drop(self, va: int, pted: Pted) -> None:
        """The descriptor stays in its slot, with nothing in it: unmapped and populated are one."""
        pted.pte = None

    @procedure
    async def _new_pted(self, va: int) -> Pted | Cause:
        """There is none to be had: what is not preallocated cannot be mapped."""
        raise Panic(f"pmap_enter: {self.name}: {va:#x}: no descriptor was preallocated")
