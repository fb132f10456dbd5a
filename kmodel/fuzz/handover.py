"""A failure, handed over: a file that is a test and a scenario, a token that replays its run
anywhere, and the run's log. Written as soon as a failure is as small as it gets, so that whatever
ends the night ends it with these in the folder. What cannot be written ends no night.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryFile
from typing import Final

import attrs

from kmodel.case import Case
from kmodel.explore.schedule import Token
from kmodel.explore.tree import Divergence
from kmodel.fuzz.failure import Failure
from kmodel.fuzz.judged import Known, judge
from kmodel.fuzz.paste import pasted, replaying
from kmodel.log.reader import Reader
from kmodel.log.runs import EVENTS, LogError
from kmodel.settings import UsageError
from kmodel.shown import Shown, make_token, run_again
from kmodel.verdict import Finding
from kmodel.world import ScenarioError

LOGS: Final = "logs"
EXAMPLES: Final = "examples"
"""Where what was found is stored, to be run again."""
SCENARIO: Final = "workload"
"""The scenario that plays any workload: a token names it, and carries the workload itself."""


@attrs.frozen
class Handed:
    """``text`` is that of ``file``. What could not be made, or not be written, is ``None``;
    ``wrong`` then says why."""

    file: Path | None
    text: str
    token: str | None
    log: Path | None
    wrong: str = ""


def ready(folder: Path) -> None:
    """Raise ``UsageError`` if nothing can be written there: better at once than in the night."""
    for where in (folder, folder / LOGS, folder / EXAMPLES):
        try:
            where.mkdir(parents=True, exist_ok=True)
            with TemporaryFile(dir=where):
                pass
        except OSError as error:
            raise UsageError(
                f"Nothing can be written in {where}: {(error.strerror or str(error)).lower()}. "
                "Make it a folder that can be written, or name another one with --store."
            ) from error


def hand_over(failure: Failure, folder: Path) -> Handed:
    """Write ``folder/NAME.py`` and a log in ``folder/logs/NAME``."""
    workload, shown = failure.best
    text = pasted(workload, shown, failure.name, sorted(_past(failure)))
    case = Case.of(SCENARIO, {"workload": workload.word()})
    file, word, log, wrong = None, None, None, []
    try:
        token = _token(case, failure)
        word = token.word()
        text += replaying(word)
        log = _log(case, token, folder / LOGS / failure.name)
    except (Divergence, ScenarioError) as error:
        wrong.append(f"no token: {error}")
    except (OSError, LogError) as error:
        wrong.append(f"no log: {error}")
    try:
        file = _write(folder / f"{failure.name}.py", text)
    except OSError as error:
        wrong.append(f"no file: {error}")
    return Handed(file, text, word, log, "; ".join(wrong))


def _past(failure: Failure) -> Known:
    """What a search must look past to see it."""
    workload, shown = failure.best
    hidden = failure.known and judge(failure.target, workload).of(shown.signature) is None
    return failure.known if hidden else frozenset()


def _write(file: Path, text: str) -> Path:
    """Whole or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    beside = file.with_suffix(".new")
    beside.write_text(text)
    beside.replace(file)
    return file


def _token(case: Case, failure: Failure) -> Token:
    _, shown = failure.best
    of = shown.signature
    finding = Finding(kind=of.kind, property=of.property, message=shown.message)
    return make_token(case, finding, shown.schedule.steps, shown.schedule.loop)


def _log(case: Case, token: Token, folder: Path) -> Path | None:
    """The log of an earlier night does, if it is of the same run, and whole."""
    for earlier in sorted(folder.glob(f"*/{EVENTS}")):
        with Reader.open(earlier) as log:
            for _ in log:
                pass
            if log.finished and log.header.get("token") == token.word():
                return earlier
    shown = Shown(case, token, folder)
    run_again(shown, shown.strategy)
    return shown.recorder.path
