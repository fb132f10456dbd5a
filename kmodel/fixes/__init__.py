"""Ways out: what a kernel does about a ``pmap_enter`` that fails.

One small file a fix, found by its name. Each has ``SUMMARY`` (one line, cites the
thread) and ``async def after_failure(kernel, space, va, error)``: called with no lock
held, after the swap-full test; when it returns, the fault is restarted. What else it may
have, each of them left out by most:

    PARAMS              the machine's parameters that make this kernel what it is
    VARIANTS            parameters that its author left open: tried in every combination
    before_locks(...)   called once a fault, before its first lock: kernel, space, va
    at_end(...)         called when the fault is over, nothing held: kernel, space, va
    daemon_step(kernel) called in each lap of the page daemon: was anything short?

``uvm_anwait``, which the thread compares with all this, is no fix: it is about anons, on
the way of every fault of every kernel here (``uvmfault.promote``), whatever is done about
``pmap_enter``. The scenario ``no_anon`` shows the same pattern there: what it does where an anon
is missing, and what waiting for memory would do (``no_anon=wait``). ``refill`` with
``refill_items`` 1 is the same thing for the pmap's pools.
"""

from __future__ import annotations

import importlib
import itertools
import pkgutil
from collections.abc import Callable, Coroutine, Mapping
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import attrs

if TYPE_CHECKING:
    from kmodel.fault import Kernel, Space
    from kmodel.vm.cause import Cause

AfterFailure = Callable[["Kernel", "Space", int, "int | Cause"], Coroutine[Any, Any, None]]
AroundFault = Callable[["Kernel", "Space", int], Coroutine[Any, Any, None]]
DaemonStep = Callable[["Kernel"], Coroutine[Any, Any, bool]]

THREAD: Final = ("wait", "lock-retry", "populate")
"""What the thread's question is about: the kernel as it was, the hack, the diff."""

ORDER: Final = (
    *THREAD,
    *("refill", "daemon-refill", "intrsafe", "direct", "page-wrapper"),
    *("reserve", "cause", "fewer-pools"),
)
_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})


@attrs.frozen
class Fix:
    """A named way out, with one line about it."""

    name: str
    summary: str
    after_failure: AfterFailure
    before_locks: AroundFault | None = None
    at_end: AroundFault | None = None
    daemon_step: DaemonStep | None = None
    params: Mapping[str, Any] = _NOTHING
    variants: Mapping[str, tuple[Any, ...]] = _NOTHING

    def combinations(self) -> list[dict[str, Any]]:
        """What makes this kernel what it is, with every variant of what was left open."""
        values = itertools.product(*self.variants.values())
        return [dict(zip(self.variants, chosen)) for chosen in values]


def names() -> list[str]:
    """Every fix there is: the modules of this package, in the order of the thread."""
    return list(_names())


@cache
def _names() -> tuple[str, ...]:
    found = [module.name.replace("_", "-") for module in pkgutil.iter_modules(__path__)]
    order = {name: rank for rank, name in enumerate(ORDER)}
    return tuple(sorted(found, key=lambda name: (order.get(name, len(order)), name)))


def load(name: str) -> Fix:
    """The fix called ``name``; ``KeyError`` if there is none."""
    if name not in names():
        raise KeyError(name)
    module = importlib.import_module(f"{__name__}.{name.replace('-', '_')}")
    hooks = {
        hook: getattr(module, hook, None) for hook in ("before_locks", "at_end", "daemon_step")
    }
    params = MappingProxyType(getattr(module, "PARAMS", {}))
    variants = MappingProxyType(getattr(module, "VARIANTS", {}))
    return Fix(
        name, module.SUMMARY, module.after_failure, **hooks, params=params, variants=variants
    )
