"""What a thread has in hand: pool items and pages that it has taken, and that are neither
given back nor where they belong.

What was taken is read off the thread's own steps, from the first of its operation to where
it stands, on the way on which a search first came there. Whether it is where it belongs (a
table or descriptor linked, an anon or its page in an amap), or free again by somebody else's
doing, is asked of a state. Left out: kernel addresses, and the items that only describe
them (map entries, pool page headers); and that a third thread may have taken what was freed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, Final

import attrs

from kmodel.explore.history import Node
from kmodel.pmap.pte import Vp
from kmodel.pmap.tables import Tables
from kmodel.vm.amap import Amap
from kmodel.vm.anon import Anons
from kmodel.vm.object import UvmObject
from kmodel.vm.pagecache import PageCache
from kmodel.vm.physmem import PhysMem
from kmodel.vm.pool import Pool
from kmodel.vm.poolcache import PoolCache
from kmodel.world import World

ENTRIES: Final = "vmmpekpl pool"
DESCRIBE: Final = (ENTRIES, "phpool pool")
"""Pools whose items only describe kernel addresses and pages."""
BEGINS: Final = ("fault.begin", "daemon.lap")
PAGES: Final = "pages"

Kind = tuple[str, int]
"""How many of one kind: of a pool (``vp``), or ``pages``."""


@attrs.frozen
class Hand:
    """Items by pool and address, and pages in the portions in which they were taken."""

    items: frozenset[tuple[str, int]] = frozenset()
    pages: tuple[tuple[int, ...], ...] = ()

    def after(self, event: str, fields: dict[str, Any]) -> Hand:
        """What it is once the thread has said ``event``."""
        if event in BEGINS:
            return Hand()
        if event == "page.alloc":
            return attrs.evolve(self, pages=(*self.pages, _numbers(fields["pages"])))
        if event == "page.free":
            back = set(_numbers(fields["pages"]))
            kept = tuple(some for some in self.pages if back.isdisjoint(some))
            return attrs.evolve(self, pages=kept)
        if event in ("kva.alloc", "pool.refill"):
            return attrs.evolve(self, pages=())  # they are behind the range, or in the pool
        if event == "pmap.table":
            return self._less("vp", int(fields["item"], 16))
        if event in ("pool.get", "pool.put"):
            return self._pool(event, fields["obj"], fields["item"])
        return self

    def _pool(self, event: str, pool: str, item: str) -> Hand:
        if pool == ENTRIES:
            # a second portion was a page for this pool; the first is what the range is for
            return attrs.evolve(self, pages=self.pages[:1])
        if pool in DESCRIBE:
            return self
        name, address = pool.removesuffix(" pool"), int(item, 16)
        if event == "pool.put":
            return self._less(name, address)
        return Hand(self.items | {(name, address)})

    def _less(self, pool: str, address: int) -> Hand:
        return attrs.evolve(self, items=self.items - {(pool, address)})

    def without(self, items: set[int], pages: set[int]) -> tuple[Kind, ...]:
        """How many there are of each kind, but for those."""
        found = Counter(pool for pool, item in self.items if item not in items)
        left = sum(page not in pages for some in self.pages for page in some)
        kinds = sorted(found.items())
        return (*kinds, (PAGES, left)) if left else tuple(kinds)


def _numbers(pages: str) -> tuple[int, ...]:
    return tuple(map(int, pages.split()))


class Hands:
    """The hand of one task at each of its nodes."""

    def __init__(self) -> None:
        self._known: dict[Node, Hand] = {}

    def at(self, node: Node) -> Hand:
        way: list[Node] = []
        here: Node | None = node
        while here is not None and here not in self._known:
            way.append(here)
            here = here.parent
        hand = self._known[here] if here is not None else Hand()
        for one in reversed(way):
            for event, fields in one.via.said if one.via is not None else ():
                hand = hand.after(event, fields)
            self._known[one] = hand
        return hand


def in_place(world: World) -> tuple[set[int], set[int]]:
    """The addresses of items, and the pages, that are where they belong, or free."""
    items = set(_items(world.objects))
    pages = {page for page in _pages(world.objects) if page is not None}
    return items, pages


def _items(objects: Iterable[Any]) -> Iterator[int]:
    for one in objects:
        if isinstance(one, Tables):
            yield from (item.address for _, _, item in one.linked())
        elif isinstance(one, Anons):
            yield from (address for address, _ in one.members.used)
        elif isinstance(one, Vp) and not one.live:
            yield one.address
        elif isinstance(one, Pool):
            yield from one.free
            yield from _cached(one.cache) if one.cache else ()
        elif isinstance(one, Amap):
            yield from (chunk for _, chunk in one.chunks.used)
            yield from (one.item,) if one.item is not None else ()


def _cached(cache: PoolCache) -> Iterator[int]:
    for lists in (*cache.lists, cache.depot):
        for some in lists:
            yield from some


def _pages(objects: Iterable[Any]) -> Iterator[int | None]:
    for one in objects:
        if isinstance(one, Anons):
            yield from (anon.page for _, anon in one.members.used)
        elif isinstance(one, UvmObject):
            yield from (page.page for _, page in one.memq.used)
        elif isinstance(one, PhysMem):
            yield from (page for page in range(one.npages) if one.free >> page & 1)
        elif isinstance(one, PageCache):
            yield from (page for pair in one.magazines for some in pair for page in some)
