"""The shared state of an unrecorded world, as values: to compare two moments of a run."""

from __future__ import annotations

from typing import Any

from kmodel.explore.execution import Execution
from kmodel.shared import fields
from kmodel.table import Table


def snapshot(execution: Execution) -> tuple[Any, ...]:
    """Every field that is part of the state, and what each task is about to do.

    Statistics are left out. What tasks remember is not seen, so equal snapshots are
    necessary for equal states, not sufficient; a search knows better.
    """
    found: list[Any] = []
    for thing in execution.world.objects:
        if isinstance(thing, Table):
            found.append(tuple(map(_value, thing)))
            continue
        for name, kind in fields(type(thing)).items():
            if kind in ("state", "atomic", "hidden"):
                found.append(_value(getattr(thing, name)))
    for op in execution.pending:
        found.append(None if op is None else (op[0].event, _value(op[1])))
    return tuple(found)


def _value(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(map(_value, value))
    oid = getattr(value, "_oid", None)
    return value if oid is None else f"#{oid}"
