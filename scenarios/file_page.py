"""Two processes fault on one page of a file that is not in memory.

One maps the file shared, the other private and writes to it: it needs an amap, the file's page,
and a copy of that. The page is busy while it is read, so the second fault sleeps on it. With
``cut``, the file is cut short meanwhile, and whoever has the busy page in hand must free it. A
``broken`` file cannot be read (SIGBUS), the pager of a ``late`` one asks first to be asked again.
"""

from typing import Literal

from kmodel import Machine, parameter, scenario

VA = 0x20_0000


@scenario
def file_page(
    m: Machine,
    sharers: int = parameter(1, 0, 3, "threads that map the file shared"),
    writers: int = parameter(1, 0, 3, "threads that map it private, and write"),
    remaps: int = parameter(0, 0, 2, "times that the shared mapping is unmapped meanwhile"),
    cut: bool = parameter(False, text="the file is cut short meanwhile"),
    backing: Literal["file", "zero", "broken", "late"] = parameter(
        "file", text="a file, fresh memory, a file that cannot be read, a pager that asks to wait"
    ),
) -> None:
    file = m.object(1, backing, "file")
    one, other = m.process("one"), m.process("other")
    m.map_object(one, VA, file)
    m.map_object(other, VA, file, private=True)
    for sharer in range(sharers):
        m.cpu("ABC"[sharer], one.fault, VA)
    for writer in range(writers):
        m.cpu("PQR"[writer], other.fault, VA)
    if remaps:
        m.cpu("U", unmap, one, remaps)
    if cut:
        m.cpu("T", m.cut_short, file, 0)
        m.sometimes("an object's page was released while busy")
    m.must("pages stay whole", "no stale map data", "a timestamp tells of every writer")
    if sharers + writers > 1:
        m.sometimes("a fault waits for a busy page of an object")


async def unmap(space, times: int) -> None:
    for _ in range(times):
        await space.munmap(VA, VA + 0x1000)
        await space.mmap()
