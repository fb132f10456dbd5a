"""A process's memory as a plain dict: what a fault, munmap, mmap, mprotect, mlock and munlock do
to it, one at a time.

A process is (its pages, has it its hole, what it may do, is what it faults wired), and its
pages are va -> (rights of the mapping, is the page wired). One mapping has all addresses, and is
protected and wired as a whole; in a hole that is mapped again it is what it was.
"""

from __future__ import annotations

from typing import Any, Final

from kmodel.explore.linear import ANY, Effect, Plain
from kmodel.param import PAGE_SIZE, PROT_READ, PROT_WRITE
from kmodel.pmap.pmap import ENOMEM
from kmodel.uvmfault.flt import EACCES, EFAULT

VA: Final = 0x20_0000
STAYS: Final = VA + PAGE_SIZE
ADDRESSES: Final = (VA, STAYS, 2 * VA)
"""The first is the one that is unmapped and mapped."""
BEYOND: Final = 1 << 40
"""No process has it: EFAULT."""
FRESH: Final = ((), False, PROT_READ | PROT_WRITE, False)
"""Before anything."""


def specified(state: Plain, name: str, args: tuple[Plain, ...]) -> list[Effect]:
    """Pages can be had in the end, so an operation may take long and cannot fail. ``args``
    begin with the process; those of the two parts of ``wire`` end with whether it is the first
    (the mapping is wired), and not the second, which is a fault."""
    number = args[0]
    after, result = _alone(state[number], name, args[1:])
    told: list[Plain] = [result]
    if name == "wire" and args[2]:
        told = [ANY]
    elif name == "wire" and result == EACCES:  # it need not fault in what may not be used
        told = [EACCES, 0]
    now = (*state[:number], after, *state[number + 1 :])
    done: list[Effect] = [(now, one) for one in told]
    if result == EACCES and args[1] not in dict(state[number][0]):
        # it may be refused only when it begins anew, and has its page by then
        done.append((_halfway(state, number, args[1]), EACCES))
    return done


def may_kill(state: Plain, name: str, args: tuple[Plain, ...]) -> list[Effect]:
    """With swap full, whoever needs a page may not get it: it can be in its amap by then, and
    unmapped."""
    done = specified(state, name, args)
    if name not in ("fault", "wire") or (name == "wire" and args[2]):
        return done
    number, va = args[:2]
    if _alone(state[number], name, args[1:])[1]:
        return done
    return [*done, *((one, ENOMEM) for one in (state, _halfway(state, number, va)))]


def _halfway(state: Plain, number: int, va: int) -> Plain:
    """The page at ``va`` is in its amap, and not mapped."""
    pages = dict(state[number][0])
    pages[va] = 0, _wired(pages, va)
    halfway = (tuple(sorted(pages.items())), *state[number][1:])
    return (*state[:number], halfway, *state[number + 1 :])


def _alone(process: Plain, name: str, args: tuple[Plain, ...]) -> tuple[Plain, int]:
    """Of the process that it is about: as it is then, and the result."""
    pages: dict[int, tuple[int, bool]] = dict(process[0])
    hole, prot, wires = process[1:]
    result = 0
    if name == "wire" and args[1]:
        wires = wires or not (hole and args[0] == VA)
    elif name in ("fault", "wire"):
        va, wire = args[0], name == "wire"
        result = _refused(va, not wire and args[1], hole, prot)
        if not result:  # it maps with all rights, whichever it needs itself
            pages[va] = prot, wire or wires or _wired(pages, va)
    elif name == "unwire":  # it finds pages by their mappings
        if wires:
            pages = {va: (rights, wired and not rights) for va, (rights, wired) in pages.items()}
        wires = False
    elif name == "protect":  # it gives no right, and takes that to write in any case
        if prot != args[0]:
            pages = {va: (r & args[0] & PROT_READ, wired) for va, (r, wired) in pages.items()}
        prot = args[0]
    else:
        hole = name == "munmap"
        if hole:
            pages.pop(VA, None)
    return (tuple(sorted(pages.items())), hole, prot, wires), result


def _refused(va: int, write: bool, hole: bool, prot: int) -> int:
    """0, or with what errno a fault ends."""
    if va == BEYOND or (va == VA and hole):
        return EFAULT
    return 0 if prot & (PROT_WRITE if write else PROT_READ) else EACCES


def _wired(pages: dict[int, Any], va: int) -> bool:
    return bool(pages[va][1]) if va in pages else False
