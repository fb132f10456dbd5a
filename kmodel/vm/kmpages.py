"""The stock of one-page kernel addresses, where nothing refills it.

Source: sys/uvm/uvm_km.c 1.157 (km_alloc with kv_page). Left out: the thread that refills
it (so a WAITOK get from an empty stock sleeps for ever), and giving addresses back.
"""

from __future__ import annotations

from typing import Final

from kmodel.param import PAGE_SIZE
from kmodel.point import procedure
from kmodel.shared import shared
from kmodel.sync.channel import Channel
from kmodel.sync.mutex import Mutex

REFILL: Final = "the thread that refills the stock: raise km_pages, or have it with km_lowat"
KMPAGES_BASE: Final = 0xFFFF_FF80_4000_0000


@shared
class KmPages:
    """uvm_km_pages: a stock of one-page kernel addresses with no page behind them, which is
    used up and never refilled (see ``KmStock`` for one that is)."""

    mtx: Final[Mutex]
    chan: Final[Channel]
    next: int  # mtx
    free: int  # mtx

    def __init__(self, stock: int, left_out: str = REFILL) -> None:
        self.mtx = Mutex("uvm_km_pages.mtx")
        self.chan = Channel("&uvm_km_pages.free", left_out=left_out)
        self.next, self.free = 0, stock

    @procedure
    async def get(self, waitok: bool) -> int | None:
        """One address; with nothing in stock sleep (``waitok``) or fail."""
        await self.mtx.enter()
        while not self.free:
            if not waitok:
                await self.mtx.leave()
                return None
            await self.chan.msleep(self.mtx)
        address = self.take()
        await self.mtx.leave()
        return address

    @procedure
    def take(self) -> int:
        """Held: mtx (or boot)."""
        self.free -= 1
        self.next += 1
        return KMPAGES_BASE + (self.next - 1) * PAGE_SIZE

    def enter(self, va: int, page: int) -> None:
        """pmap_kenter_pa. Nothing here: what an address of this stock has, it keeps."""
