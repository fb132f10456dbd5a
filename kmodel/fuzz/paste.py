"""What a failure is handed over as: the story of its run, and a pytest test to paste."""

from __future__ import annotations

import json
import re
from typing import Any, Final

from kmodel.explore.result import Schedule
from kmodel.fuzz.judged import Shown, judge
from kmodel.fuzz.target import load
from kmodel.fuzz.workload import Workload
from kmodel.testing.checked import Broken, Undecided, run_lines, told
from kmodel.world import World

WIDTH: Final = 100


def holds(workload: Workload) -> None:
    """Judge ``workload`` as ``kmodel fuzz`` does. Raises ``Broken`` with the run that shows what
    breaks, ``Undecided`` where its schedules were too many and a sample broke nothing."""
    __tracebackhide__ = True
    target = load(workload.target)
    target.fits(workload)
    judged = judge(target, workload)
    if judged.shown:
        worst = judged.shown[0]
        raise Broken(told(_building(workload), said(worst), worst.schedule))
    if not judged.whole:
        raise Undecided(f"more schedules than {target.states:,} states have room for")


def said(shown: Shown) -> str:
    """``deadlock: cpu0 can never step again ...``."""
    return f"{shown.signature.kind}: {shown.message}"


def story(workload: Workload, schedule: Schedule) -> list[str]:
    """The run, step by step."""
    return run_lines(_building(workload), schedule)[0]


def _building(workload: Workload) -> Any:
    target = load(workload.target)

    def build(world: World) -> None:
        target.build(world, workload)

    return build


def pasted(workload: Workload, shown: Shown) -> str:
    """A test that fails as long as the workload shows the bug."""
    name = re.sub(r"\W+", "_", f"{workload.target} {shown.signature.kind}").lower()
    document = workload.document()
    lines = [
        "from kmodel.fuzz import Workload, holds",
        "",
        "",
        f"def test_{name}() -> None:",
        *(f"    # {line}" for line in _wrapped(said(shown))),
        *(f"    # {line}" for line in _wrapped(f"schedule: {shown.schedule}")),
        "    holds(",
        "        Workload.of(",
        f"            {_text(document['target'])},",
        f"            {_text(document['params'])},",
        "            [",
        *(f"                {_text(tuple(one))}," for one in document["operations"]),
        "            ],",
    ]
    if document["injected"]:
        lines.append(f"            [{', '.join(_text(tuple(i)) for i in document['injected'])}],")
    return "\n".join([*lines, "        )", "    )", ""])


def _text(value: Any) -> str:
    """As Python source, with double quotes."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_text(k)}: {_text(v)}" for k, v in value.items()) + "}"
    if isinstance(value, tuple):
        return "(" + ", ".join(map(_text, value)) + ("," if len(value) == 1 else "") + ")"
    return json.dumps(value) if isinstance(value, str) else repr(value)


def _wrapped(text: str) -> list[str]:
    """In lines that a linter lets pass; a schedule has no spaces to break at."""
    room = WIDTH - 6
    return [text[at : at + room] for at in range(0, len(text), room)]
