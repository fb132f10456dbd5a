"""What the modelled kernel says when one of its own rules is broken.

A panic is an exception of the *model*: it ends the run and becomes a verdict.
Expected trouble (no memory, restart the fault) is a value, never a panic.
"""

from __future__ import annotations


class Panic(Exception):
    """A broken rule of the kernel.

    ``kind`` is the verdict's kind (``panic``, ``sleep-under-mutex``, ``use-after-free``,
    ``double-free``, ``lock-order``, ``unjustified-kill``, ``invariant``, ...); ``culprits``
    names the objects and CPUs in it.
    """

    def __init__(self, message: str, kind: str = "panic", culprits: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.message, self.kind, self.culprits = message, kind, culprits
