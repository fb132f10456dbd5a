"""Anonymous memory: anons, and the amaps that hold them.

Source: sys/uvm/uvm_amap.c 1.97, sys/uvm/uvm_anon.c 1.67. Left out: reference
counts and copy-on-write, chunks (an amap has room for every slot), swap slots.
"""

from __future__ import annotations

from typing import Final

from kmodel.param import PAGE_SIZE, KernelParams
from kmodel.point import procedure
from kmodel.shared import shared
from kmodel.sync.mutex import IPL_MPFLOOR
from kmodel.sync.rwlock import RwLock, rwlock
from kmodel.table import Sparse
from kmodel.vm.km import SinglePages
from kmodel.vm.pool import Pool


@shared
class Amap:
    """An amap: page index -> its anon, kept as (address of the anon, its page).

    ``am_lock`` protects the slots and the anons in them (an anon shares its
    amap's lock).
    """

    am_lock: Final[RwLock]
    slots: Final[Sparse[tuple[int, int]]]  # am_lock

    def __init__(self, p: KernelParams, name: str) -> None:
        self.am_lock, self.slots = rwlock(f"{name} amap", p.rwlock), Sparse()


@shared
class AnonPool:
    """``anonpl`` and what waits for it."""

    pool: Final[Pool]

    def __init__(self, pages: SinglePages) -> None:
        self.pool = Pool("anonpl", pages, IPL_MPFLOOR, PAGE_SIZE // 4)

    @procedure
    async def uvm_analloc(self) -> int | None:
        """An anon, NOWAIT: the caller holds map and amap locks."""
        return await self.pool.get(False)

    @procedure
    async def uvm_anwait(self) -> None:
        """Get one anon with WAITOK and put it straight back, so that the pool has one
        when the fault comes round again; another thread can steal it. Held: nothing."""
        anon = await self.pool.get(True)
        assert anon is not None
        await self.pool.put(anon)
