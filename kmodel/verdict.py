"""The verdict: what a check found, how sure one can be, and how to see it again."""

from __future__ import annotations

from typing import Any, Final

import attrs

from kmodel.explore.severity import severity

SCHEMA: Final = "kmodel.verdict/1"

UNEVENTFUL: Final = ("done", "limit")
"""Kinds of a run that breaks nothing: it came to its end, or was cut."""

EXIT: Final = {"holds": 0, "violated": 1, "inconclusive": 4}


@attrs.frozen(kw_only=True)
class Evidence:
    """How far the search came. ``bound`` says what ended it early, ``"none"`` if nothing.

    ``executions`` are runs of real model code from the start (samples, replays),
    ``states`` and ``steps`` what the search kept and took; ``traces`` is counted by
    searches that tell traces apart. ``seconds`` are wall time.
    """

    complete: bool
    bound: str
    executions: int
    states: int
    traces: int | None
    steps: int
    assumptions: tuple[str, ...]
    seconds: float


@attrs.frozen(kw_only=True)
class Finding:
    """One broken check: what, who, and a run that shows it.

    ``preemptions`` are those of the run before its loop, if it has one.
    ``survives`` names the strongest fairness that allows a hang, ``can_end`` the tasks
    that could still end from its loop. ``replay`` is a token, ``digest`` the digest of
    its event records.
    """

    kind: str
    property: str
    message: str
    culprits: tuple[str, ...] = ()
    survives: str | None = None
    can_end: tuple[str, ...] | None = None
    stem: int = 0
    loop: int = 0
    preemptions: int | None = None
    replay: str | None = None
    digest: str | None = None
    shrunk: dict[str, Any] | None = None

    def rank(self) -> int:
        return severity(self.kind)

    def document(self) -> dict[str, Any]:
        return {key: value for key, value in attrs.asdict(self).items() if value is not None}


@attrs.frozen(kw_only=True)
class Verdict:
    """The verdict document (``kmodel.verdict/1``).

    ``findings`` are the broken checks that did not decide the verdict; ``excluded``
    what only an assumption (lock-grant) rules out. ``shrunk`` is the finding's. If the run
    that is shown is of smaller parameters, ``smallest`` names them (``kmodel.smaller``);
    the verdict and its evidence are of ``params`` all the same.
    """

    scenario: str
    params: dict[str, Any]
    fix: str | None
    situation: str | None
    strategy: str
    seed: int | None
    verdict: str
    kind: str | None
    property: str | None
    message: str
    culprits: tuple[str, ...]
    evidence: Evidence
    counts: dict[str, Any]
    reached: dict[str, bool]
    replay: str | None
    log: str | None
    findings: tuple[Finding, ...]
    excluded: tuple[Finding, ...]
    digest: str | None
    survives: str | None = None
    can_end: tuple[str, ...] | None = None
    shrunk: dict[str, Any] | None = None
    smallest: dict[str, Any] | None = None

    def document(self) -> dict[str, Any]:
        """As plain data, keys in the order of the contract."""
        found: dict[str, Any] = {"schema": SCHEMA}
        for field in attrs.fields(Verdict):
            value = getattr(self, field.name)
            if field.name in ("findings", "excluded"):
                value = [finding.document() for finding in value]
            elif field.name == "evidence":
                value = attrs.asdict(value)
            found[field.name] = value
        return found

    def badness(self) -> tuple[int, int]:
        """Sorts verdicts from the worst: violated, inconclusive, holds; then by kind."""
        order = ("violated", "inconclusive", "holds")
        return order.index(self.verdict), severity(self.kind)
