"""What one pass of a fault carries, and how a pass can end.

Source: sys/uvm/uvm_fault.c 1.165 (struct uvm_faultctx, struct uvm_faultinfo). Left out:
the pages of the window by number, protections other than read and write.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from kmodel.param import PAGE_SHIFT, KernelParams
from kmodel.vm.cause import Cause
from kmodel.vm.map import MapEntry

if TYPE_CHECKING:
    from kmodel.fault import Space
    from kmodel.vm.anon import Anon
    from kmodel.vm.object import UvmObject

ERESTART: Final = -1
ERESTART_UPPER: Final = -2
"""Restart, and take the amap's lock for writing from then on."""
ERESTART_LOWER: Final = -3
"""Restart, and take the object's lock for writing from then on."""
ERESTART_EARLY: Final = -4
"""Restart, from before the window of neighbours was computed: the next pass has it too."""
EFAULT: Final = 14
EACCES: Final = 13

Failure = tuple[int | Cause, bool]
"""pmap_enter failed with that, after some neighbour in the same table had got a descriptor."""
End = int | Failure
"""How a pass ended, with nothing held: 0, an errno, a restart, or a failure that the fix has a
say in."""

UNCHANGED: Final = "1.165"
SHARED: Final = "1.173"


class Flt(NamedTuple):
    """``write``: the access is a write. ``enter_write``: the mapping may be writable.
    ``wire``: the page is wired. ``narrow``: no neighbours. ``upper_write``, ``lower_write``:
    amap and object are locked for writing. All of it is fixed but for ``enter_write``."""

    space: Space
    entry: MapEntry
    va: int
    write: bool
    enter_write: bool
    wire: bool
    narrow: bool
    upper_write: bool
    lower_write: bool

    @property
    def slot(self) -> int:
        """The slot of the amap."""
        return self.va >> PAGE_SHIFT


class Found(NamedTuple):
    """The page to be mapped: the anon's, or else the object's; map, amap and ``uobj``, if it is
    there, are held. ``ahead`` neighbours in its table got a descriptor in this pass."""

    flt: Flt
    page: int
    anon: Anon | None
    uobj: UvmObject | None
    ahead: int


def exclusive(p: KernelParams) -> bool:
    """Are amaps and objects always locked for writing? Up to 1.171."""
    return p.uvm_fault != SHARED
