"""The pools that page tables come from, and the memory of their items.

Source: sys/arch/arm64/arm64/pmap.c 1.113 (pmap_init, pmap_vp_allocator). Left out:
``pmap_pmap_pool``. What the kernel does not have, and proposals of the
thread would: ``pool_memory`` other than kernel_map, ``pmap_pools`` other than pool.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

from kmodel.event import mark
from kmodel.panic import Panic
from kmodel.param import MAX_CPUS, PAGE_SIZE, STOCK_ITEMS, KernelParams
from kmodel.pmap.pte import Pted, Vp
from kmodel.pmap.pv import PvLists
from kmodel.point import curtask, procedure
from kmodel.shared import shared
from kmodel.sync.mutex import IPL_VM
from kmodel.table import Table
from kmodel.vm.cause import Cause
from kmodel.vm.direct import DIRECT_BASE, FROM_DIRECT, DirectPages
from kmodel.vm.km import KernelMemory, SinglePages, VpPages
from kmodel.vm.kmap import KERNBASE
from kmodel.vm.kmem import FROM_KMEM, KmemPages
from kmodel.vm.kmpages import KMPAGES_BASE
from kmodel.vm.pool import Pool
from kmodel.vm.wrapper import WrapperPool
from kmodel.world import ScenarioError

if TYPE_CHECKING:
    from kmodel.pmap.kernel import KernelPmap

REFUSED: Final = "a NOWAIT get was refused by the map lock"
NO_ADDRESS: Final = "kernel_map had no address left"
RESERVED: Final = "a fault took its items before any lock"

Item = TypeVar("Item", Vp, Pted)

VpMemory = VpPages | KmemPages | DirectPages


@shared
class PmapPools:
    """``pmap_pted_pool`` and ``pmap_vp_pool``, with the memory that their items are.

    An address is looked up as the C code casts a pointer: ``vp(a)``, ``pted(a)``.
    ``reserved`` is what each CPU's thread has taken before its locks, if this kernel does.
    ``pv`` says of each page where it is mapped, and ``kernel`` where kernel_map's addresses
    are, if the scenario asked for that.
    """

    memory: Final[VpMemory]
    pted_pool: Final[Pool]
    vp_pool: Final[Pool]
    headers: Final[Pool]
    vps: Final[tuple[Vp, ...]]
    pteds: Final[tuple[Pted, ...]]
    first_pted: Final[int]
    inline: Final[bool]
    reserved: Final[Table[tuple[Vp | Pted, ...]]]
    pv: Final[PvLists | None]
    kernel: Final[KernelPmap | None]  # set at boot

    def __init__(self, p: KernelParams, km: KernelMemory, single: SinglePages) -> None:
        wrapper, self.inline = p.pmap_pools == "wrapper", p.pmap_pools == "inline"
        pted_pages = km.single(STOCK_ITEMS, cached=wrapper)
        idle = km.idle(pted_pages, STOCK_ITEMS, PAGE_SIZE)
        self.pted_pool = Pool(
            "pted",
            pted_pages,
            IPL_VM,
            PAGE_SIZE // STOCK_ITEMS,
            cached=p.pool_cache,
            idle=idle,
            nowait=km.nowait,
        )
        self.headers = Pool("phpool", single, IPL_VM, PAGE_SIZE // STOCK_ITEMS, nowait=km.nowait)
        self.memory = _memory(p, km, None if wrapper else self.headers)
        size, items = 2 * PAGE_SIZE, len(self.memory.addresses)
        idle = km.idle(self.memory, 1, size) if isinstance(self.memory, VpPages) else None
        if wrapper and not isinstance(self.memory, KmemPages):
            vp_pool: Pool = WrapperPool("vp", self.memory, IPL_VM, size)
        else:
            wheel = max(items, 1)
            vp_pool = Pool(
                "vp", self.memory, IPL_VM, size, wheel, 3, None, p.pool_cache, idle, km.nowait
            )
        self.vp_pool = vp_pool
        self.vps = tuple(Vp(address, self.inline) for address in self.memory.addresses)
        step = PAGE_SIZE // STOCK_ITEMS
        pages, first = (p.npages, DIRECT_BASE) if km.has_direct_map else (p.km_pages, KMPAGES_BASE)
        if p.own_singles:
            pages, first = km.kernel_map.npages, KERNBASE
        self.first_pted = first
        self.pteds = tuple(Pted(self.first_pted + n * step) for n in range(pages * STOCK_ITEMS))
        reserved: list[tuple[Vp | Pted, ...]] = [()] * MAX_CPUS
        self.reserved = Table(reserved if p.pmap_pools == "reserved" else [])
        self.pv = PvLists(p.npages) if p.pv_lists else None
        self.kernel = None

    def vp(self, address: int) -> Vp:
        return self.vps[(address - self.memory.addresses.start) // (2 * PAGE_SIZE)]

    def pted(self, address: int) -> Pted:
        return self.pteds[(address - self.first_pted) // (PAGE_SIZE // STOCK_ITEMS)]

    def boot_vp(self) -> Vp | None:
        """A table page, taken as pool_get would, with nobody to wait for."""
        address = self.memory.boot()
        if address is None:
            return None
        self.vp_pool.nout += 1
        vp = self.vp(address)
        vp.live = True
        return vp

    def window(self, sentence: str) -> str:
        """The mark that stands for ``sentence`` in this kernel: one whose table pages do not
        come from kernel_map cannot be refused by its lock, nor lack its addresses."""
        if sentence == REFUSED and len(self.reserved):
            return RESERVED
        if sentence in (REFUSED, NO_ADDRESS):
            return {KmemPages: FROM_KMEM, DirectPages: FROM_DIRECT}.get(type(self.memory), sentence)
        return sentence

    @procedure
    async def get_vp(self, waitok: bool) -> Vp | None:
        """A zeroed table page."""
        vp = await self.ask_vp(waitok)
        return None if isinstance(vp, Cause) else vp

    @procedure
    async def get_pted(self, waitok: bool) -> Pted | None:
        """A zeroed descriptor."""
        pted = await self.ask_pted(waitok)
        return None if isinstance(pted, Cause) else pted

    @procedure
    async def ask_vp(self, waitok: bool) -> Vp | Cause:
        """A zeroed table page, or why there is none."""
        if not waitok and len(self.reserved):
            vp = self._from_reserve(Vp)
            if vp is not None:
                return vp
        address = await self.vp_pool.ask(waitok)
        if isinstance(address, Cause):
            return address
        vp = self.vp(address)
        vp.live = True
        return vp

    @procedure
    async def ask_pted(self, waitok: bool) -> Pted | Cause:
        """A zeroed descriptor, or why there is none."""
        if not waitok and len(self.reserved):
            pted = self._from_reserve(Pted)
            if pted is not None:
                return pted
        address = await self.pted_pool.ask(waitok)
        if isinstance(address, Cause):
            return address
        pted = self.pted(address)
        pted.live, pted.pte = True, None  # PR_ZERO: what was put may be valid still
        return pted

    @procedure
    async def put_vp(self, vp: Vp) -> None:
        if vp.slots.used:
            raise Panic(f"pool_put: {vp.name} is given back with slots in use", "use-after-free")
        vp.live = False
        await self.vp_pool.put(vp.address)

    @procedure
    async def put_pted(self, pted: Pted) -> None:
        """Give a descriptor back, as it is; one that is part of its table only becomes
        empty."""
        pted.live = False
        if self.inline:
            pted.pte = None
        else:
            await self.pted_pool.put(pted.address)

    async def pmap_page_protect(self, page: int, prot: int) -> None:
        """Take WRITE from every mapping of ``page``; with PROT_NONE, remove them all. Raises
        ``ScenarioError`` in a world where pages do not know where they are mapped."""
        if self.pv is None:
            raise ScenarioError(
                "pmap_page_protect: pages do not know where they are mapped here; set "
                "pv_lists=true, or call m.know_mappings() in the scenario"
            )
        await self.pv.pmap_page_protect(page, prot)

    @procedure
    async def reserve(self, tables: int) -> None:
        """Take a descriptor and ``tables`` table pages with WAITOK, but for what the running
        thread has reserved already. Held: nothing."""
        mine = self.reserved[curtask().index]
        if not any(isinstance(item, Pted) for item in mine):
            pted = await self.get_pted(True)
            assert pted is not None
            mine = (pted, *mine)
        while sum(isinstance(item, Vp) for item in mine) < tables:
            vp = await self.get_vp(True)
            assert vp is not None
            mine = (*mine, vp)
        self.reserved[curtask().index] = mine
        mark(RESERVED)

    @procedure
    async def unreserve(self) -> None:
        """Give back what the running thread has reserved and not used. Held: nothing."""
        mine, self.reserved[curtask().index] = self.reserved[curtask().index], ()
        for item in mine:
            if isinstance(item, Pted):
                await self.put_pted(item)
            else:
                await self.put_vp(item)

    @procedure
    def _from_reserve(self, kind: type[Item]) -> Item | None:
        """One of the running thread's reserved items, reserved no longer."""
        mine = self.reserved[curtask().index]
        for item in mine:
            if isinstance(item, kind):
                self.reserved[curtask().index] = tuple(one for one in mine if one is not item)
                return item
        return None


def _memory(p: KernelParams, km: KernelMemory, headers: Pool | None) -> VpMemory:
    """Where table pages come from in this kernel."""
    if p.pool_memory == "intrsafe":
        assert headers is not None
        return KmemPages(p, km.physmem, headers, km.single(STOCK_ITEMS))
    if p.pool_memory == "direct":
        return DirectPages(p, km.physmem, headers)
    source = km.cache if headers is None else None
    return VpPages(km, headers, source, returns=p.pool_recycle)
