"""The properties that the model is held against, and who breaks each: ``python tests/breaks.py``.

A test that breaks a property on purpose (or shows that the kernel does) and sees it found is
marked ``@breaks("its name")``. The table in ``docs/properties.md`` is made of these marks, so no
property stands there that nothing was ever seen to break.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from facts import TESTS, marked

from kmodel.properties import NUMBERS, PROPERTIES, Property

PAGE = Path(TESTS).parent / "docs" / "properties.md"

HEAD = """\
# What a design is held against

Each line is a property with the name that tables and scenarios use, when it is looked at, and the
tests that break it and see it found. Those that are checks of states are asked for by a scenario
(`m.must("...")`) or a user (`--set must='...'`; in a cell of the matrix that is a finding, and
not its headline); the others are always judged. Made by `python tests/breaks.py`;
`kmodel list --properties` prints names and sentences.

The number is that of the kernel facts' list of 28 properties. Where one is not taken word for word:

- 6: to write over a slot in use is a panic, and so judged of every story.
- 11: whether a page could be written out is not looked at again when the fault ends; that swap
  was full is what the fault found just before.
- 14: a waiter that is forgotten shows in *ends*.
- 19, 26 and 28 have a bound, which `most=N` raises (`m.must("...", most=N)`, `--set most=N`). They
  count, and each count is a state, so only who asks pays for it. How many restarts, refused tries
  and laps there are at the most stands under "most on any run" of every verdict, asked for or not.
- 19: a restart that has another cause than pmap_enter (no anon, no page) is not counted.
- 25: what a neighbour takes that succeeds, and not only that a failure is ignored (facts.md has
  that).
- 26: tries in a row of one thread; between two it may have had the lock by waiting for it, and in
  each of several faults it may be refused once. Who else had the lock meanwhile is told by the
  replay, and not counted.
- 27: by calls, not by calls that fail: an unmap leaves what a good call had made.
- 28: laps while no page is short, from one fault's end to the next.

| no. | property | what it says | looked at | broken by |
|---|---|---|---|---|
"""
WHEN = {
    "always": "in each state",
    "end": "at the end",
    "hang": "where somebody can stay for ever",
}


def breaks(*names: str) -> Callable[[Any], Any]:
    """Mark a test as one that breaks these properties and sees them found."""
    return pytest.mark.breaks(*names)


def broken_by() -> dict[str, list[str]]:
    """The tests that break each property."""
    tests: dict[str, list[str]] = {}
    for names, test in marked("breaks"):
        for name in names:
            tests.setdefault(name, []).append(test)
    return tests


def page() -> str:
    by = broken_by()
    return HEAD + "".join(
        f"| {', '.join(map(str, _numbers(name)))} | {name} | {one.sentence} | {_looked_at(one)} | "
        f"{', '.join(f'`{test}`' for test in by.get(name, []))} |\n"
        for name, one in sorted(PROPERTIES.items(), key=lambda pair: _numbers(pair[0]) or [99])
    )


def _numbers(name: str) -> list[int]:
    return [number for number, stand in NUMBERS.items() if name in stand]


def _looked_at(one: Property) -> str:
    if one.test is not None:
        return WHEN[one.when]
    return "always: " + ", ".join(one.kinds) if one.kinds else "on the whole graph"


if __name__ == "__main__":
    PAGE.write_text(page())
