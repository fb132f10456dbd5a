"""Page-table pages, descriptors, and the states of a slot.

Source: sys/arch/arm64/arm64/pmap.c 1.113 (struct pmapvp0..3, struct pte_desc).
Left out: the hardware half of a table (a valid descriptor is taken as valid in
hardware too), attribute bits, ASIDs and the TLB.
"""

from __future__ import annotations

import enum
from typing import Final

from kmodel.param import PAGE_SHIFT, PAGE_SIZE, KernelParams
from kmodel.shared import shared
from kmodel.table import Sparse
from kmodel.world import ScenarioError

INLINE_PTEDS: Final = 4
"""512 in a real table; what a small run uses here."""


class Slot(enum.Enum):
    """What the tables say of one address."""

    NO_TABLE = "some level of table is missing"
    EMPTY = "tables, but no descriptor"
    POPULATED = "a descriptor with pte zero: not mapped"
    VALID = "mapped"


@shared
class Pted:
    """struct pte_desc: 40 bytes from the pted pool. Lock: the pm_mtx of its pmap.

    ``pte`` zero is invalid; else (page, writable). ``live`` is false while the item
    lies in its pool: a touch then is a use after free. A valid one's write right is taken
    away under the pv mutex of its page too.
    """

    name: Final[str]
    address: Final[int]
    pte: tuple[int, bool] | None
    wired: bool
    live: bool

    def __init__(self, address: int) -> None:
        self.name, self.address = f"pted {address:#x}", address
        self.pte, self.wired, self.live = None, False, False


@shared
class Vp:
    """struct pmapvp1..3: a table page of 8 KiB from the vp pool. Lock: pm_mtx.

    Slots hold the next table, or at the last level descriptors.
    """

    name: Final[str]
    address: Final[int]
    slots: Final[Sparse[Vp | Pted]]
    inline: Final[tuple[Pted, ...]]  # descriptors that are part of it; none in the kernel
    live: bool

    def __init__(self, address: int, inline: bool = False) -> None:
        self.name, self.address = f"vp {address:#x}", address
        self.slots, self.live = Sparse(), False
        self.inline = tuple(
            Pted(address + PAGE_SIZE + 40 * n) for n in range(INLINE_PTEDS if inline else 0)
        )

    def spare(self) -> Pted:
        """An inline descriptor that no slot uses. Held: pm_mtx."""
        for pted in self.inline:
            if not pted.live:
                return pted
        raise ScenarioError(
            f"{self.name}: more than {INLINE_PTEDS} addresses of one table are mapped, and no more "
            "descriptors inside a table are modelled (pmap_pools=inline)"
        )


def index(va: int, level: int) -> int:
    """VP_IDXn: the slot that ``va`` takes in a table of ``level`` (3 is the last)."""
    return va >> (PAGE_SHIFT + 9 * (3 - level)) & 0x1FF


def check_address(p: KernelParams, va: int) -> None:
    """Raise ``ScenarioError`` if ``va`` has no slot in tables of this geometry.

    Nine bits a level on the real machine. With fewer (``index_bits``) the addresses
    that need the missing ones have no place. One beyond all levels is left to the
    fault, which answers EFAULT.
    """
    for level in range(4 - p.levels, 4):
        if index(va, level) >> p.index_bits and not va >> (PAGE_SHIFT + 9 * p.levels):
            raise ScenarioError(
                f"{va:#x} needs slot {index(va, level)} of a level-{level} table, and a table has "
                f"{1 << p.index_bits} (index_bits={p.index_bits})"
            )
