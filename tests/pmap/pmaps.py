"""A pmap to try things on, addresses that share tables or do not, and what is out."""

from worlds import boot

from kmodel.machine import Machine
from kmodel.param import PAGE_SIZE
from kmodel.pmap.pmap import Pmap
from kmodel.pmap.pte import Slot

VA = 0x20_0000
NEAR = VA + PAGE_SIZE  # the same last table
FAR = 0x40_0000  # the same table above it
DISTANT = 1 << 30 | VA  # nothing in common but the top


def pmap(levels: int = 3, vp_stock: int = 6, **params: int) -> tuple[Machine, Pmap]:
    """An empty pmap, with so many tables in stock."""
    params = {"header_stock": 12, "entry_stock": 12, "km_pages": 16, "kva_pages": 32} | params
    m = boot(levels=levels, vp_stock=vp_stock, **params)
    return m, m.process().pmap


def out(pm: Pmap) -> tuple[int, int]:
    """(tables, descriptors) that are out of their pools."""
    return pm.pools.vp_pool.nout, pm.pools.pted_pool.nout


def slot(pm: Pmap, va: int) -> Slot:
    """What the tables say of ``va``."""
    return pm.pmap_vp_lookup(va)[0]
