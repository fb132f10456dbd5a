"""A fault maps a neighbour ahead, and then there is no descriptor for its own page.

What a neighbour's pmap_enter returns is ignored, so a neighbour cannot make a fault fail; but it
can take the last item that the faulting page needs. If swap has room, that costs a restart,
which leaves neighbours alone. If swap is full, it costs the process. Try it with
``neighbours=1``, and with ``swap_pages=0``.
"""

from kmodel import Machine, parameter, scenario

VA = 0x20_0000
MAPPED = 0x20_8000


@scenario
def last_descriptor(
    m: Machine,
    left: int = parameter(1, 0, 3, "descriptors that are left; no page can be had for more"),
    unmaps: int = parameter(1, 0, 1, "another thread gives a descriptor back"),
) -> None:
    space = m.process()
    m.resident(space, VA)
    m.resident(space, VA + 0x1000)
    mapped = max(m.params.pted_stock - left, 1)
    file = m.object(mapped)
    m.map_object(space, MAPPED, file)
    for page in range(mapped):
        m.cached(file, page, space)
    m.only_free(m.params.reserve_pagedaemon + 1)
    m.cpu("A", space.fault, VA)
    if unmaps:
        m.cpu("U", space.munmap, MAPPED, MAPPED + 0x1000)
    m.must("neighbours do no harm")
    if m.params.neighbours:
        m.sometimes("a neighbour was mapped ahead")
