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

from kmodel.properties import PROPERTIES, Property

PAGE = Path(TESTS).parent / "docs" / "properties.md"

HEAD = """\
# What a design is held against

Each line is a property with the name that tables and scenarios use (`m.must("...")` asks for one
that is a check of states; the others are always judged), when it is looked at, and the tests that
break it and see it found. Made by `python tests/breaks.py`; `kmodel list --properties` prints the
first two columns. What is a number and no property (restarts of one fault, refused tries, laps of
the page daemon) stands under "most on any run" of each verdict.

| property | what it says | looked at | broken by |
|---|---|---|---|
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
        f"| {name} | {one.sentence} | {_looked_at(one)} | "
        f"{', '.join(f'`{test}`' for test in by.get(name, []))} |\n"
        for name, one in PROPERTIES.items()
    )


def _looked_at(one: Property) -> str:
    if one.test is not None:
        return WHEN[one.when]
    return "always: " + ", ".join(one.kinds) if one.kinds else "on the whole graph"


if __name__ == "__main__":
    PAGE.write_text(page())
