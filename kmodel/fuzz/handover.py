"""A failure, handed over: a file that is a test and a scenario, a token that replays its run,
and the run's log. Written as soon as a failure is as small as it gets, so that whatever ends the
night ends it with these in the folder.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import attrs

from kmodel.case import Case
from kmodel.explore.schedule import Token
from kmodel.explore.tree import Divergence
from kmodel.fuzz.failure import Failure
from kmodel.fuzz.judged import Known, judge
from kmodel.fuzz.paste import pasted
from kmodel.shown import Shown, make_token, run_again
from kmodel.verdict import Finding
from kmodel.world import ScenarioError

LOGS: Final = "logs"


@attrs.frozen
class Handed:
    """``text`` is that of ``file``, which may be there without the others: ``wrong`` then says
    why."""

    file: Path
    text: str
    token: str | None
    log: Path | None
    wrong: str = ""


def hand_over(failure: Failure, folder: Path) -> Handed:
    """Write ``folder/NAME.py`` and a log in ``folder/logs``. ``OSError`` if there is no room."""
    workload, shown = failure.best
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{failure.name}.py"
    text = pasted(workload, shown, failure.name, sorted(_past(failure)))
    _write(file, text)
    try:
        case = Case.of(os.path.join(".", file), {})
        of = shown.signature
        finding = Finding(kind=of.kind, property=of.property, message=shown.message)
        token = make_token(case, finding, shown.schedule.steps, shown.schedule.loop)
        return Handed(file, text, token.word(), _log(case, token, folder / LOGS))
    except (Divergence, ScenarioError) as error:
        return Handed(file, text, None, None, str(error))


def _past(failure: Failure) -> Known:
    """What a search must look past to see it."""
    workload, shown = failure.best
    hidden = failure.known and judge(failure.target, workload).of(shown.signature) is None
    return failure.known if hidden else frozenset()


def _write(file: Path, text: str) -> None:
    """Whole or not at all."""
    beside = file.with_suffix(".new")
    beside.write_text(text)
    beside.replace(file)


def _log(case: Case, token: Token, folder: Path) -> Path | None:
    """The log of an earlier night does, if it is of the same run."""
    stem, word = Path(token.scenario).stem, token.word()
    for earlier in sorted(folder.glob(f"{stem}-*/events.jsonl")):
        with earlier.open() as lines:
            if f'"{word}"' in lines.readline():
                return earlier
    shown = Shown(case, token, folder)
    run_again(shown, shown.strategy)
    return shown.recorder.path
