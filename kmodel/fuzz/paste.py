"""What a failure is handed over as: the story of its run, and a file that is a pytest test and a
scenario in one.
"""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterable, Sequence
from typing import Any, Final

from kmodel.explore.result import Build, Schedule
from kmodel.fuzz.judged import Shown, judge
from kmodel.fuzz.target import load
from kmodel.fuzz.workload import Workload, number
from kmodel.testing.checked import again
from kmodel.testing.chosen import CHOSEN
from kmodel.testing.failed import Broken, Undecided, run_lines, told
from kmodel.world import World

WIDTH: Final = 98
"""Of a comment."""


def holds(workload: Workload, past: Iterable[str] = ()) -> None:
    """Judge ``workload`` as ``kmodel fuzz`` does, looking past hangs by the causes ``past``.

    Raises ``Broken`` with the run that shows what breaks, ``Undecided`` where its schedules were
    too many and a sample broke nothing."""
    __tracebackhide__ = True
    target = load(workload.target)
    target.fits(workload)
    if CHOSEN.replay is not None:
        again(_building(workload), CHOSEN.replay)
        return
    judged = judge(target, workload, frozenset(past))
    if judged.shown:
        worst = judged.shown[0]
        raise Broken(told(_building(workload), said(worst), worst.schedule))
    if not judged.whole:
        raise Undecided(f"more schedules than {target.states:,} states have room for")


def play(world: World, workload: Workload) -> None:
    """Build ``workload`` on ``world``: its machine, its tasks, its oracles."""
    target = load(workload.target)
    target.fits(workload)
    target.build(world, workload)


def said(shown: Shown) -> str:
    """``deadlock: cpu0 can never step again ...``, and why, where that is known."""
    because = f": {shown.cause}" if shown.cause else ""
    return f"{shown.signature.kind}: {shown.message}{because}"


def story(workload: Workload, schedule: Schedule) -> list[str]:
    """The run, step by step."""
    return run_lines(_building(workload), schedule)[0]


def _building(workload: Workload) -> Build:
    def build(world: World) -> None:
        play(world, workload)

    return build


def pasted(workload: Workload, shown: Shown, name: str = "", past: Sequence[str] = ()) -> str:
    """A file with a test that fails as long as the workload shows the bug, and a scenario for
    ``kmodel explore`` and ``kmodel replay``."""
    name = name or re.sub(r"\W+", "_", f"{workload.target} {shown.signature.kind}").lower()
    target = load(workload.target)
    document = workload.document()
    lines = [
        *_wrapped('"""', said(shown)),
        "",
        *(line for one in workload.lines(target.named) for line in _wrapped("    ", one)),
        "",
        *_wrapped("", f"kmodel explore THIS_FILE --search bounded --bound {target.preemptions}"),
        '"""',
        "",
        "from kmodel import World, scenario",
        "from kmodel.fuzz import Workload, holds, play",
        "",
        "WORKLOAD = Workload.of(",
        f"    {_text(document['target'])},",
        *_params(document["params"]),
        "    [",
        *(f"        {_text(tuple(one))}," for one in document["operations"]),
        "    ],",
    ]
    if document["injected"]:
        lines.append(f"    [{', '.join(_text(tuple(i)) for i in document['injected'])}],")
    return "\n".join(
        [
            *(*lines, ")", "", ""),
            *(f"def test_{name}() -> None:", f"    holds(WORKLOAD{_past(past)})", "", ""),
            *("@scenario", f"def {name}(world: World) -> None:", "    play(world, WORKLOAD)", ""),
        ]
    )


def replaying(token: str) -> str:
    """The end of such a file: its run when it was found, which ``kmodel replay`` finds there."""
    return f"\n\n# kmodel replay THIS_FILE runs what was found, which is\n# {token}\n"


def _params(params: dict[str, Any]) -> list[str]:
    """On one line, if there is room."""
    line = f"    {_text(params)},"
    if len(line) <= WIDTH:
        return [line]
    return ["    {", *(f"        {_text(key)}: {_text(v)}," for key, v in params.items()), "    },"]


def _past(past: Sequence[str]) -> str:
    return f", past={_text(tuple(past))}" if past else ""


def _text(value: Any) -> str:
    """As Python source, with double quotes."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_text(k)}: {_text(v)}" for k, v in value.items()) + "}"
    if isinstance(value, tuple):
        return "(" + ", ".join(map(_text, value)) + ("," if len(value) == 1 else "") + ")"
    return json.dumps(value) if isinstance(value, str) else number(value)


def _wrapped(before: str, text: str) -> list[str]:
    """In lines that a linter lets pass. Not even a message ends the string that it stands in."""
    plain = text.replace("\\", "/").replace('"', "'")
    return textwrap.wrap(before + plain, WIDTH) or [before]
