"""One thread populates an address while another maps its neighbour and unmaps it again.

``pmap_populate`` drops the lock to fetch each further table, and uses one that it read before.
No kernel frees a table before the whole pmap: with ``table_reclaim`` this one does.
"""

from kmodel import Machine, scenario
from kmodel.pmap.populate import pmap_populate

VA = 0x20_0000
NEIGHBOUR = VA + 0x1000


@scenario
def populate_window(m: Machine) -> None:
    pmap = m.process().pmap
    m.must("no use after free over windows", "one installer per slot")
    m.cpu("A", pmap_populate, pmap, VA)
    m.cpu("B", map_and_unmap, pmap)


async def map_and_unmap(pmap) -> None:
    if await pmap.pmap_enter(NEIGHBOUR, 1, True, canfail=True) == 0:
        await pmap.pmap_remove(NEIGHBOUR, NEIGHBOUR + 0x1000)
