"""What a search found, for people."""

from __future__ import annotations

from typing import Any, Final

from kmodel.cli.options import evidence_line, finding_lines, headline, most, title
from kmodel.verdict import Finding, Verdict

WHY: Final = {
    "dfs": "complete over exact states, and liveness needs the whole graph",
    "bfs": "complete over exact states, the nearest first",
    "bounded": "schedules with few preemptions first; safety only, unless they come everywhere",
    "delay": "schedules close to round robin first; safety only, unless they come everywhere",
    "symmetric": "one state of all that differ in which of like tasks is which; safety only",
}
"""What each search is for."""


def found_with(finding: Finding) -> str:
    """``found with 1 preemption, 12 steps``."""
    switches = f"{finding.preemptions} preemption{'' if finding.preemptions == 1 else 's'}"
    loop = f", then a loop of {finding.loop}" if finding.loop else ""
    return f"found with {switches}, {finding.stem} step{'' if finding.stem == 1 else 's'}{loop}"


def report(verdict: Verdict, worst: Finding | None = None) -> list[str]:
    """The verdict for people."""
    lines = [
        f"{title(verdict)}: {headline(verdict)}",
        f"  {verdict.message}",
    ]
    if verdict.survives:
        lines.append(f"  survives {verdict.survives}")
    if worst is not None and worst.preemptions is not None:
        whole = verdict.evidence.complete or verdict.evidence.bound == "safety only"
        cut = "" if whole else "; the search was cut, so there may be less"
        lines.append(f"  {found_with(worst)}{cut}")
    lines += smallest(verdict.smallest)
    if verdict.replay:
        lines += ["", f"  kmodel replay {verdict.replay}"]
    lines += as_asked(verdict)
    lines += [*covered(verdict), *others(verdict)]
    return lines


def smallest(said: dict[str, Any] | None) -> list[str]:
    """Which sizes the run that is shown has, if they are not those asked for."""
    if said is None:
        return []
    if said["as_asked"]:
        less = "smallest" if said["proven"] else "smaller"
        return [f"  {less} with {_values(said['params'])}"]
    return ["  no smaller sizes show it"] if said["proven"] else []


def as_asked(verdict: Verdict) -> list[str]:
    """The run with the sizes asked for, where a smaller one is shown."""
    said = verdict.smallest
    if said is None or not said["as_asked"]:
        return []
    asked = {name: verdict.params[name] for name in said["params"]}
    return [f"  with {_values(asked)}: kmodel replay {said['as_asked']['replay']}"]


def _values(params: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in params.items())


def covered(verdict: Verdict) -> list[str]:
    """How far the search came, what it counted and what was assumed."""
    evidence = [f"  evidence: {evidence_line(verdict)}"]
    if verdict.strategy in WHY:
        evidence.append(f"  search: {verdict.strategy}: {WHY[verdict.strategy]}")
    counts: dict[str, Any] = verdict.counts
    if not counts:
        return evidence if verdict.evidence.states else []
    refused = counts.get("refused_tries", 0)
    failures = ", ".join(f"{k}: {most(v)}" for k, v in counts["pool_failures"].items())
    reach = "most on any run" if verdict.evidence.complete else "on some run at least"
    numbers = [
        "",
        f"  {reach}: {most(counts['refaults'])} refaults of one fault, "
        f"pool failures {failures or 'none'}, {most(counts['daemon_laps'])} daemon laps, "
        f"{most(counts['kills'])} kills"
        + (f", {most(refused)} tries refused to one thread" if refused != 0 else ""),
    ]
    quiet = not failures and not any(counts[k] != 0 for k in ("refaults", "daemon_laps", "kills"))
    return [
        *([""] if quiet else numbers),
        *evidence,
        f"  assumed: {'; '.join(verdict.evidence.assumptions)}",
    ]


def others(verdict: Verdict) -> list[str]:
    """The findings that did not decide the verdict."""
    lines: list[str] = []
    for heading, findings in (
        ("also found", verdict.findings),
        ("excluded by lock-grant alone", verdict.excluded),
    ):
        for finding in findings:
            first, *rest = finding_lines(finding)
            lines += ["", f"  {heading}: {first}"]
            if finding.preemptions is not None:
                lines.append(f"    {found_with(finding)}")
            lines += [f"  {line}" for line in rest]
    return lines
