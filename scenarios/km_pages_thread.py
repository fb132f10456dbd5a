"""The stock of one-page kernel addresses runs dry while somebody keeps the kernel map busy.

A fault of a process needs an anon, its pool a page, and that page an address from the
stock. Only one thread refills the stock: it sleeps for the kernel map's lock, and takes a
map entry for each address. A page of map entries needs an address from the stock too, and
only the low water keeps some back. Where entries and stock are gone together
(``entry_stock=4 vp_stock=3 km_pages=4``) the thread sleeps for the stock that it alone
refills.
"""

from kmodel import Machine, parameter, scenario

REGION = 0x20_0000


@scenario(km_lowat=1, km_pages=5, kva_pages=10, npages=40, entry_stock=8, anon_stock=0, vp_stock=2)
def km_pages_thread(
    m: Machine,
    cpus: int = parameter(1, 1, 4, "CPUs that fault, each in a process of its own"),
    holds: int = parameter(1, 0, 4, "times that kernel_map is locked meanwhile; 0: for ever"),
) -> None:
    for cpu in range(cpus):
        m.cpu("ABCD"[cpu], m.process().fault, REGION)
    m.background("K", m.kernel_map.churn, holds or None)
    m.must("the one-page stock is refilled")
    m.sometimes("a thread waits for the one-page stock")
