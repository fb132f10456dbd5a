"""What the modelled kernel says when one of its own rules is broken.

A panic is an exception of the *model*: it ends the run and becomes a verdict.
Expected trouble (no memory, restart the fault) is a value, never a panic.
"""

from __future__ import annotations

import re
from pathlib import Path
from traceback import walk_tb


class Panic(Exception):
    """A broken rule of the kernel.

    ``kind`` is the verdict's kind (``panic``, ``sleep-under-mutex``, ``use-after-free``,
    ``double-free``, ``lock-order``, ``unjustified-kill``, ``invariant``, ...); ``culprits``
    names the objects and CPUs in it.
    """

    def __init__(self, message: str, kind: str = "panic", culprits: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.message, self.kind, self.culprits = message, kind, culprits


def asserted(error: AssertionError) -> str:
    """What a failed ``assert`` says, and where it stands. Objects are called by their types:
    their addresses would differ from run to run."""
    where = "?"
    for frame, line in walk_tb(error.__traceback__):
        code = frame.f_code
        where = f"{code.co_name} ({Path(code.co_filename).name}, line {line})"
    said = re.sub(r"(<[^<>]*) at 0x[0-9a-f]+>", r"\1>", str(error))
    return f"assertion failed in {where}{f': {said}' if said else ''}"
