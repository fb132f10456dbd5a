"""A failure, handed over: a file that is a test and a scenario, a token that replays its run
anywhere, and the run's log. Written as soon as a failure is as small as it gets, so that whatever
ends the night ends it with these in the folder. What cannot be written ends no night.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryFile
from typing import Final, TypeVar

import attrs

from kmodel.case import Case
from kmodel.explain.ran import Ran
from kmodel.explain.story import deciding
from kmodel.explain.story import story as sentences
from kmodel.explore.moment import Watch
from kmodel.explore.schedule import Token
from kmodel.explore.tree import Divergence
from kmodel.fuzz.failure import Failure
from kmodel.fuzz.judged import Known, judge
from kmodel.fuzz.paste import pasted, replaying, story
from kmodel.log.reader import Reader
from kmodel.log.runs import EVENTS, LogError
from kmodel.settings import UsageError
from kmodel.shown import Shown, make_token, run_again
from kmodel.verdict import Finding
from kmodel.world import ScenarioError

T = TypeVar("T")
LOGS: Final = "logs"
EXAMPLES: Final = "examples"
"""Where what was found is stored, to be run again."""
SCENARIO: Final = "workload"
"""The scenario that plays any workload: a token names it, and carries the workload itself."""


@attrs.frozen
class Handed:
    """``steps`` is the run that shows it, ``told`` how it came to that in a few sentences,
    ``text`` that of ``file``. What could not be made, or not be written, is empty or ``None``;
    ``wrong`` then says why."""

    file: Path | None
    text: str
    token: str | None
    log: Path | None
    steps: tuple[str, ...] = ()
    told: tuple[str, ...] = ()
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
    """Write ``folder/NAME.py`` and a log in ``folder/logs/NAME``. Never raises: whatever cannot be
    made of one failure, the night goes on."""
    workload, shown = failure.best
    wrong: list[str] = []

    def tried(what: str, make: Callable[[], T]) -> T | None:
        try:
            return make()
        except Exception as error:
            wrong.append(f"no {what}: {_said(error)}")
            return None

    case = tried("scenario", lambda: Case.of(SCENARIO, {"workload": workload.word()}))
    token = tried("token", lambda: _token(case, failure)) if case else None
    past = tried("second look", lambda: _past(failure)) or ()
    text = pasted(workload, shown, failure.name, sorted(past))
    text += replaying(token.word()) if token else ""
    file = tried("file", lambda: _write(folder / f"{failure.name}.py", text))
    steps = tried("run", lambda: story(workload, shown.schedule)) or ()
    log, told = None, None
    if case and token:
        log = tried("log", lambda: _log(case, token, folder / LOGS / failure.name))
        told = tried("story", lambda: _told(case, token))
    word = token.word() if token else None
    return Handed(file, text, word, log, tuple(steps), tuple(told or ()), "; ".join(wrong))


def _said(error: Exception) -> str:
    """Of a log only what is wrong: what it advises is for other commands."""
    if isinstance(error, LogError):
        return str(error).partition(". ")[0]
    known = isinstance(error, (OSError, Divergence, ScenarioError, UsageError))
    return str(error) if known else f"{type(error).__name__}: {error}"


def _past(failure: Failure) -> Known:
    """What a search must look past to see it."""
    workload, shown = failure.best
    hidden = failure.known and judge(failure.target, workload).of(shown.signature) is None
    return failure.known if hidden else frozenset()


def _write(file: Path, text: str) -> Path:
    """Whole or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    # another campaign in the same folder may write the same file
    beside = file.with_suffix(f".{os.getpid()}.new")
    try:
        beside.write_text(text)
        beside.replace(file)
    except OSError:
        beside.unlink(missing_ok=True)
        raise
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


def _told(case: Case, token: Token) -> list[str]:
    """What ``kmodel replay`` says of the run in the end."""
    shown = Shown(case, token, keep=True)
    watch = Watch(shown.execution, shown.strategy)
    run_again(shown, watch)
    ran = Ran(token, shown.execution, watch, shown.recorder.records)
    return sentences(ran, case.build, deciding(token, case.build))
