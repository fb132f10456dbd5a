"""Bugs that a hand could make in the modelled kernel, each a change of a line or two of it.

A bug is planted in the text of the real function, so that it stays what it is when the
model moves on: a text that is no longer there is an error.
"""

from __future__ import annotations
import __future__

import inspect
import textwrap
from typing import Any

import attrs

from kmodel.fixes import populate as fix
from kmodel.pmap import populate
from kmodel.pmap.pmap import Pmap
from kmodel.uvmfault import centre
from kmodel.vm.km import KernelMemory


@attrs.frozen
class Change:
    """In the function ``owner.name``, ``old`` (there once) becomes ``new``."""

    owner: Any
    name: str
    old: str
    new: str


@attrs.frozen
class Bug:
    """A planted bug, and how a search shows it: in which world, as what, within how many
    states and after how many steps at most."""

    name: str
    changes: tuple[Change, ...]
    world: str
    kind: str
    message: str
    states: int
    steps: int
    preemptions: int
    places: tuple[Any, ...] = ()  # where else the changed function is known by name


def plant(monkeypatch: Any, bug: Bug) -> None:
    """Let the kernel have ``bug`` for the rest of the test."""
    for change in bug.changes:
        function = inspect.unwrap(getattr(change.owner, change.name))
        text = textwrap.dedent(inspect.getsource(function))
        if hasattr(function, "planted"):
            text = function.planted
        assert text.count(change.old) == 1, f"{change.name} has no such place any more"
        text = text.replace(change.old, change.new)
        names = dict(function.__globals__)
        flags = __future__.annotations.compiler_flag
        exec(compile(text, function.__code__.co_filename, "exec", flags), names)
        changed = names[change.name]
        inspect.unwrap(changed).planted = text
        for place in (change.owner, *bug.places):
            monkeypatch.setattr(place, change.name, changed)


def populating(old: str, new: str) -> Change:
    return Change(populate, "pmap_populate", old, new)


RELOCK = """\
            await pm.unlock()
            vp = await pools.get_vp(True)
            await pm.lock()
"""
SPARE_TABLE = """\
    if vp is not None:
        await pools.put_vp(vp)
"""
SPARE_DESCRIPTOR = """\
    if pted is not None:
        await pools.put_pted(pted)
"""
LINK = """\
            pm.link(table, va, level, child)
"""
LAST_CALL = """\
    await kernel.fix.after_failure(kernel, space, va, failed)
    return ERESTART
"""
EARLY_CALL = """\
    if failed:
        await space.kernel.fix.after_failure(space.kernel, space, va, failed)
    await drop(flt, uobj)
"""
REMOVED = """\
    vp.slots[index(va, 3)] = None
"""
RECLAIM = """\
    vp.slots[index(va, 3)] = None
    if not any(child.pte for _, child in vp.slots.used):
        parent = self.top
        for level in self._levels()[:-2]:
            parent = self.table(parent, va, level)
        parent.slots[index(va, 2)] = None
        await self.pools.put_vp(vp)
"""
RECLAIM_ALL = """\
    vp.slots[index(va, 3)] = None
    for empty in (2, 1):
        if vp.slots.used:
            break
        parent = self.top
        for level in range(1, empty):
            parent = self.table(parent, va, level)
        parent.slots[index(va, empty)] = None
        await self.pools.put_vp(vp)
        vp = parent
"""

BUGS = (
    Bug(
        "populate keeps the pmap mutex over a WAITOK get",
        (populating(RELOCK, "            vp = await pools.get_vp(True)\n"),),
        *("contended", "sleep-under-mutex", "would sleep holding mutex p0 pm_mtx"),
        *(20_000, 40, 2),
        (fix,),
    ),
    Bug(
        "a leftover table is not returned",
        (populating(SPARE_TABLE, ""),),
        *("one page", "leak", "vp pool"),
        *(25_000, 80, 3),
        (fix,),
    ),
    Bug(
        "a spare descriptor is not returned",
        (populating(SPARE_DESCRIPTOR, ""),),
        *("one page", "leak", "pted pool"),
        *(25_000, 70, 2),
        (fix,),
    ),
    Bug(
        "populate's descriptor is installed over an occupied slot",
        (populating("    if pm.descriptor(table, va) is None:\n", "    if True:\n"),),
        *("one page", "invariant", "at level 3 is overwritten"),
        *(25_000, 60, 2),
        (fix,),
    ),
    Bug(
        "a table is installed without the pmap lock",
        (
            populating(
                LINK, "            await pm.unlock()\n" + LINK + "            await pm.lock()\n"
            ),
        ),
        *("contended", "data-race", ""),
        *(30_000, 50, 6),
        (fix,),
    ),
    Bug(
        "populate is called before uvmfault_unlockall",
        (
            Change(centre, "after", LAST_CALL, "    return ERESTART\n"),
            Change(centre, "enter", "    await drop(flt, uobj)\n", EARLY_CALL),
        ),
        *(
            "contended",
            "wait-under-lock",
            "pmap_populate: cpu A would wait holding p0 vm_map, p0 amap",
        ),
        *(2_000, 25, 1),
    ),
    Bug(
        "lookup tests that the slot is not NULL instead of the pte not zero",
        (
            Change(
                Pmap,
                "pmap_vp_lookup",
                "(Slot.VALID if pted.pte else Slot.POPULATED)",
                "Slot.VALID",
            ),
        ),
        *("populated", "invariant", "resident_count of p0 pmap differs"),
        *(50, 30, 0),
    ),
    Bug(
        "the descriptor is put back twice when pmap_vp_enter fails",
        (
            Change(
                Pmap,
                "_new_pted",
                "        await self.pools.put_pted(pted)\n",
                "        await self.pools.put_pted(pted)\n" * 2,
            ),
        ),
        *("contended", "double-free", "pted pool"),
        *(2_000, 25, 1),
    ),
    Bug(
        "a NOWAIT table page is asked for with kd_nowait instead of kd_trylock",
        (Change(KernelMemory, "km_alloc", "trylock=not waitok", "trylock=False"),),
        *("contended", "sleep-under-mutex", "would sleep holding mutex p0 pm_mtx"),
        *(300, 15, 0),
    ),
    Bug(
        "an empty last table is freed in pmap_remove_pted, populated slots count as empty",
        (Change(Pmap, "_drop", REMOVED, RECLAIM),),
        *("unmapping", "use-after-free", "is given back with slots in use"),
        *(1_000, 35, 1),
    ),
    Bug(
        "empty tables are freed in pmap_remove_pted, up to the top",
        (Change(Pmap, "_drop", REMOVED, RECLAIM_ALL),),
        *("unmapping", "use-after-free", "is used after free"),
        *(1_000, 40, 1),
    ),
)
