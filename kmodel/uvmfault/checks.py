"""What must hold of faults and of the memory they share: checks of states, which see everything.

Numbers are those of the kernel facts' properties.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kmodel.param import PAGE_SHIFT
from kmodel.pmap.pte import Pted
from kmodel.vm.map import MapEntry

if TYPE_CHECKING:
    from kmodel.fault import Kernel, Space


def stale(kernel: Kernel, spaces: tuple[Space, ...]) -> str | None:
    """Property 13."""
    for space in spaces:
        if space.map.stale:
            return f"{space.name}: a fault used what it had looked up before the map was changed"
    return None


def intact(kernel: Kernel, spaces: tuple[Space, ...]) -> str | None:
    """Property 14, where nobody is in the middle of a change: each page has one owner, a
    mapping is that of the owner's page, and only what is one process's alone is writable."""
    if kernel.contents.lost:
        return kernel.contents.lost
    owned = _owned(spaces)
    twice = [page for page in owned if owned.count(page) > 1]
    if twice:
        return f"page {twice[0]} belongs to two owners"
    for space in spaces:
        for _, va, pted in space.pmap.linked() if space.map.entries else ():
            entry = space.map.entry_at(va)
            if not isinstance(pted, Pted) or pted.pte is None:
                continue
            if entry is None or _changing(space, entry):
                continue
            wrong = _mapping(entry, va, *pted.pte)
            if wrong:
                return f"{space.name}: {va:#x} {wrong}"
    return None


def _owned(spaces: tuple[Space, ...]) -> list[int]:
    """Every page of an anon or an object."""
    entries = [entry for space in spaces for entry in space.map.entries]
    members = {entry.anons.name: entry.anons.members.used for entry in entries}
    objects = {entry.uobj.name: entry.uobj.memq.used for entry in entries if entry.uobj}
    anons = [anon.page for used in members.values() for _, anon in used if anon.page is not None]
    return anons + [page.page for used in objects.values() for _, page in used]


def _changing(space: Space, entry: MapEntry) -> bool:
    """Has somebody locked the map, the amap or the object to change it?"""
    locks = (space.map.lock, entry.anons.lock, entry.uobj.vmobjlock if entry.uobj else None)
    return any(lock is not None and lock.writer is not None for lock in locks)


def _mapping(entry: MapEntry, va: int, page: int, writable: bool) -> str | None:
    """What is wrong with a mapping of ``va`` to ``page``."""
    anon = entry.amap.lookup(va >> PAGE_SHIFT) if entry.amap is not None else None
    if anon is not None:
        if page != anon.page:
            return f"maps page {page}, and its anon's is {anon.page}"
        if writable and (anon.ref > 1 or entry.needs_copy):
            return "is writable, and another process has the same page"
        return None
    there = entry.uobj.memq[entry.page_of(va)] if entry.uobj is not None else None
    if there is None or page != there.page:
        return f"maps page {page}, which is not mapped there"
    return "is writable, and the page is the object's" if writable and entry.cow else None


def unnoticed(kernel: Kernel, spaces: tuple[Space, ...]) -> str | None:
    """Property 16: once a writer has the map, nobody's copy of the timestamp but its own is
    the present one; and a relock succeeds exactly where no writer has come."""
    for space in spaces:
        writer = space.map.lock.writer
        if writer is not None and set(space.map.timestamp.current) - {writer}:
            return f"{space.name}: the map was write-locked, and its timestamp is the same"
        if space.map.misjudged:
            return f"{space.name}: a relock did not go by the timestamp"
    return None


def robbed(kernel: Kernel, spaces: tuple[Space, ...]) -> str | None:
    """Property 25."""
    for space in spaces:
        if space.robbed:
            return (
                f"{space.name} was killed for lack of a descriptor, and had spent one on a page "
                "that nobody asked for"
            )
    return None
