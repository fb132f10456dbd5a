"""kmodel: an executable model of kernel virtual memory, and its explorer.

The floors; a module imports only lower ones:

    0  point recorder shared table world      giving up the CPU; state that the engine sees
       untracked remembered event panic param what is refused; what can happen; rules; sizes
    1  sync/                                  channels, mutexes, sleeping locks, witness
    2  vm/                                    pages, kernel memory, pools, maps, amaps
    3  pmap/                                  page tables: enter (never sleeps), populate (may)
    4  fault fixes/ pagedaemon                the fault path, and what it does on a failure
    5  machine settings story situations/     boots 1-4, one task a CPU; the worlds to try it in
    -  explore/                               beside 1-5, on floor 0: runs, searches, judges
    6  log/ case shown judge joint explain/   records; the only joint: scenario x search ->
       counting sampling smaller compare      verdict, and its story; a token of a model
       verdict revision refit trial           that was edited since
    7  cli/ fuzz/ testing/                    the command line; made-up workloads; pytest tests

Importing this loads nothing; the names below are looked up when first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_PUBLIC = {
    "Machine": "kmodel.machine",
    "scenario": "kmodel.story",
    "parameter": "kmodel.story",
    "Table": "kmodel.table",
    "Sparse": "kmodel.table",
    "Stamp": "kmodel.table",
    "Statistic": "kmodel.shared",
    "Atomic": "kmodel.shared",
    "operation": "kmodel.point",
    "pause": "kmodel.point",
    "procedure": "kmodel.point",
    "Loop": "kmodel.point",
    "curtask": "kmodel.point",
    "mark": "kmodel.event",
    "say": "kmodel.event",
    "Panic": "kmodel.panic",
    "World": "kmodel.world",
    "check": "kmodel.testing",
}

__all__ = ["__version__", *_PUBLIC]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'kmodel' has no attribute {name!r}")
