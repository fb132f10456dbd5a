"""Memory objects: pages that have an owner of their own, a file or shared memory, and the
pager that fetches them.

Source: sys/uvm/uvm_fault.c 1.165 for what a fault asks of a pager (PGO_LOCKED, PGO_SYNCIO),
sys/uvm/uvm_page.c 1.183 (uvm_pagewait). The pagers themselves (uvn_get, uao_get, uvn_flush)
were not read, and are modelled as generally known. Left out: writing pages back, pageout of
object pages, clusters, references (an object outlives the story).
"""

from __future__ import annotations

from typing import Final, NamedTuple

from kmodel.event import mark, say
from kmodel.point import Loop, operation, procedure
from kmodel.shared import shared
from kmodel.sync.channel import Channel, assert_nothing_held
from kmodel.sync.rwlock import RwLock, rwlock
from kmodel.table import Sparse
from kmodel.vm.busy import uvm_page_disown, uvm_page_own
from kmodel.vm.contents import Contents
from kmodel.vm.pagecache import PageCache

EIO: Final = 5
EAGAIN: Final = 35
BACKINGS: Final = ("file", "zero", "broken", "late")


class ObjectPage(NamedTuple):
    """A page of an object, with its flags: ``busy`` (PG_BUSY) while somebody does I/O on it
    or has it in hand with no lock; ``released`` (PG_RELEASED): whoever has it frees it;
    ``wired``: not on the page queues."""

    page: int
    busy: bool = False
    released: bool = False
    wired: bool = False


@shared
class UvmObject:
    """struct uvm_object: page number -> page. Lock: ``vmobjlock``.

    ``backing`` says what a missing page is made of: ``file`` reads it (all values are
    numbers: page ``n`` of a file holds ``n``), ``zero`` is fresh memory, ``broken`` is a
    file whose reads fail, ``late`` one whose pager asks the first time (not ``asked`` yet) to
    be asked again. PG_WANTED is that somebody sleeps on ``busy_pages``.
    """

    name: Final[str]
    npages: Final[int]
    backing: Final[str]
    vmobjlock: Final[RwLock]
    memq: Final[Sparse[ObjectPage]]  # vmobjlock
    asked: bool  # vmobjlock
    busy_pages: Final[Channel]
    cache: Final[PageCache]
    contents: Final[Contents]

    def __init__(
        self,
        name: str,
        npages: int,
        backing: str,
        policy: str,
        cache: PageCache,
        contents: Contents,
    ) -> None:
        self.name, self.npages, self.backing = name, npages, backing
        self.vmobjlock, self.memq = rwlock(f"{name} vmobjlock", policy), Sparse()
        self.busy_pages = Channel(f"busy page of {name}", condition=self._none_busy)
        self.cache, self.contents, self.asked = cache, contents, backing != "late"

    def _none_busy(self) -> bool:
        return not any(page.busy for _, page in self.memq.used)

    @procedure
    def resident(self, index: int) -> int | None:
        """pgo_get with PGO_LOCKED: the page if it is there and not busy. Held: vmobjlock."""
        page = self.memq[index]
        return None if page is None or page.busy else page.page

    @procedure
    async def pgo_get(self, index: int) -> int:
        """pgo_get with PGO_SYNCIO: the page is there, ours and busy: 0; or EIO, or EAGAIN. Held
        on entry: vmobjlock, write, and no other lock; on return: nothing.

        A busy page is slept on, a missing one allocated; for lack of memory it waits.
        """
        loop = Loop()
        while True:
            loop.head()
            there = self.memq[index]
            if there is None and not self.asked:
                self.asked = True
                await self.vmobjlock.exit()
                return EAGAIN
            if there is None:
                pages = await self.cache.getpages(1, waitok=False, usereserve=False)
                if pages is not None:
                    self.memq[index] = ObjectPage(pages[0], busy=True)
                    uvm_page_own(pages[0])
                    await self.vmobjlock.exit()
                    return await self._fetch(index, pages[0])
                await self.vmobjlock.exit()
                assert_nothing_held("uvn_getpage")
                await self.cache.physmem.uvm_wait("uvn_getpage")
            elif there.busy:
                mark("a fault waits for a busy page of an object")
                await self.busy_pages.rwsleep(self.vmobjlock)
            else:
                self.memq[index] = there._replace(busy=True)
                uvm_page_own(there.page)
                await self.vmobjlock.exit()
                return 0
            await self.vmobjlock.enter(True)

    @procedure
    async def _fetch(self, index: int, page: int) -> int:
        """Fill a page that is ours. Held: nothing."""
        if self.backing == "zero":
            self.contents.zero(page)
            return 0
        await self._read()
        if self.backing == "broken":
            await self.vmobjlock.enter(True)
            self.memq[index] = None
            uvm_page_disown(page)
            await self.cache.freepages((page,))
            await self.busy_pages.wakeup()
            await self.vmobjlock.exit()
            return EIO
        self.contents.store(page, index)
        say("object.in", obj=self.name, n=index, page=page)
        return 0

    @operation(event="object.read")
    def _read(self) -> None:
        """The I/O: the thread sleeps meanwhile."""

    @procedure
    async def unbusy(self, index: int) -> bool:
        """uvm_page_unbusy: the page is ours no more, and who waits for it is woken; true, or
        false if it was released meanwhile, and so is freed. Held: vmobjlock, write."""
        there = self.memq[index]
        assert there is not None
        uvm_page_disown(there.page)
        if there.released:
            self.memq[index] = None
            await self.cache.freepages((there.page,))
        else:
            self.memq[index] = there._replace(busy=False)
        await self.busy_pages.wakeup()
        return not there.released

    @procedure
    def flush(self, index: int) -> int | None:
        """The object loses a page, which is mapped nowhere any more: the page, for the caller
        to free; none if it is not there, or busy: then whoever has it frees it. Held:
        vmobjlock, write."""
        there = self.memq[index]
        if there is None:
            return None
        if there.busy:
            mark("an object's page was released while busy")
            self.memq[index] = there._replace(released=True)
            return None
        self.memq[index] = None
        return there.page

    @procedure
    def wire(self, index: int) -> None:
        """uvm_pagewire. Held: vmobjlock, write."""
        there = self.memq[index]
        if there is not None and not there.wired:
            self.memq[index] = there._replace(wired=True)

    @procedure
    def unwire(self, index: int) -> None:
        """uvm_pageunwire. Held: vmobjlock, write."""
        there = self.memq[index]
        if there is not None and there.wired:
            self.memq[index] = there._replace(wired=False)
