"""The order in which locks are taken, said aloud for whoever wants to check it.

Source: sys/kern/subr_witness.c (witness_checkorder), witness(4). It is called before a
lock that may have to be waited for is taken, so that an order counts also where the
run gets stuck in it. As there, a try gives no order: it cannot wait (``LOP_NOWITNESS``
of RW_NOSLEEP and mtx_enter_try). Left out: classes and types of locks; two locks of one
name count as one, as two of one type do there.
"""

from __future__ import annotations

from typing import Any

from kmodel.event import say
from kmodel.point import RUN


def check_order(held: tuple[Any, ...], wanted: str) -> None:
    """The running task holds ``held`` and is about to wait for the lock named ``wanted``.

    Called where ``held`` has been read anyway, so that it adds nothing to a history.
    """
    if RUN.sink is not None and held:
        say("witness.order", held=tuple(lock.name for lock in held), wanted=wanted)
