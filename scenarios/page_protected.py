"""The mappings of a page are protected, as the page daemon does, while one of them is used.

They are found by the page's pv list. Whoever maps or unmaps the page holds
the lock of its owner, as the page daemon does; mprotect holds only the map's, and the trap
handler, which tells the hardware of a mapping that is there, holds none.
"""

from typing import Literal

from kmodel import Machine, parameter, scenario
from kmodel.param import PROT_NONE, PROT_READ

VA = 0x20_0000


@scenario
def page_protected(
    m: Machine,
    prot: Literal["none", "read"] = parameter(
        "none", text="what the mappings of the page may be used for after it"
    ),
    other: Literal["enter", "exit", "mprotect", "touch"] = parameter(
        "enter",
        text="who meets it: another process that maps the page, one that exits or loses the right "
        "to write, a trap that tells the hardware",
    ),
) -> None:
    m.know_mappings()
    space = m.process(threads=1)
    m.resident(space, VA, mapped=True)
    owner, pmap, pools = space.map.amap, space.pmap, m.kernel.pmap_pools
    ((page, _),) = [item.pte for level, _, item in pmap.linked() if level == 4]
    m.cpu("A", protect, pools, owner, page, PROT_READ if prot == "read" else PROT_NONE)
    if other == "enter":
        m.cpu("B", enter, m.process().pmap, owner, page)
    elif other == "exit":
        m.cpu("B", space.exit)
    elif other == "mprotect":
        m.cpu("B", pmap.pmap_protect, VA, VA + 0x1000, PROT_READ)
    else:
        m.cpu("B", pmap.pmap_fault_fixup, VA, True)
    m.must("populated is not mapped", "one installer per slot")
    if m.params.tlb:
        m.must("no right but the mapping's")


async def protect(pools, owner, page: int, prot: int) -> None:
    await owner.am_lock.enter(True)
    await pools.pmap_page_protect(page, prot)
    await owner.am_lock.exit()


async def enter(pmap, owner, page: int) -> None:
    await owner.am_lock.enter(True)
    await pmap.pmap_enter(VA, page, True, canfail=True)
    await owner.am_lock.exit()
