"""What ``kmodel fuzz`` says of what it did: for people, and as a document."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from kmodel.cli.options import styled

if TYPE_CHECKING:
    from kmodel.fuzz.budget import Tally
    from kmodel.fuzz.campaign import Campaign
    from kmodel.fuzz.failure import Failure, Root, Trouble
    from kmodel.fuzz.handover import Handed

STORY: Final = 60
"""Lines of a run that are shown; of a longer one this many of its beginning and the end."""
BEGINNING: Final = 15


def under_way(campaign: Campaign, seconds: float) -> str:
    """``1 failure; pool, making smaller; 312 examples (41/s), ...``: what a narrow terminal cuts
    off is the least of it."""
    done, _, failures = rates(campaign, seconds).rpartition(", ")
    return f"{failures}; {campaign.doing}; {done}"


def rates(campaign: Campaign, seconds: float) -> str:
    """``312 examples (41/s), 80,112 steps (9,980/s), 61,001 states, 1 failure``. Of so many
    examples a second, one digit, where they are few."""
    done = campaign.tallies.values()
    examples, steps = sum(t.examples for t in done), sum(t.steps for t in done)
    states, failures = sum(t.states for t in done), len(campaign.failures)
    per = max(seconds, 0.001)
    fine = 1 if examples / per < 10 else 0
    return (
        f"{_counted(examples, 'example')} ({examples / per:.{fine}f}/s), {steps:,} steps "
        f"({steps / per:,.0f}/s), {states:,} distinct states, {_counted(failures, 'failure')}"
    )


class Report:
    """Failures, handed over in ``folder`` as they are found; those that are ``known`` by name are
    told and do not count."""

    def __init__(self, folder: Path, known: tuple[str, ...] = ()) -> None:
        self._folder = folder
        self.known = known
        self._handed: dict[str, Handed] = {}

    def tell(self, failure: Failure) -> None:
        """One line for whoever watches, once the files are there."""
        from kmodel.fuzz.paste import said

        where, what = self._file(failure), said(failure.best[1])
        click.echo(f"{failure.target.name}: {what}: {where}", err=True)

    def _file(self, failure: Failure) -> str:
        """Or why there is none."""
        handed = self.handed(failure)
        return str(handed.file or handed.wrong)

    def handed(self, failure: Failure) -> Handed:
        from kmodel.fuzz.handover import hand_over

        if failure.name not in self._handed:
            self._handed[failure.name] = hand_over(failure, self._folder)
        return self._handed[failure.name]

    def end(self, campaign: Campaign) -> list[str]:
        """Every failure, those that are known in a line, then what was done."""
        lines: list[str] = []
        for root in campaign.roots:
            if any(one.name not in self.known for one in (root.failure, *root.others)):
                lines += [*self._root(root), ""]
        for trouble in campaign.troubles:
            lines += [*_trouble(trouble), ""]
        lines += [_tally(name, tally) for name, tally in campaign.tallies.items()]
        lines += [rates(campaign, campaign.seconds), *_stored(campaign), *self._known(campaign)]
        if campaign.interrupted:
            lines.append("interrupted: this is what there was by then")
        elif not campaign.failures and not campaign.troubles:
            lines.append("nothing found: a sample, so no proof")
        return lines

    def counted(self, campaign: Campaign) -> list[Failure]:
        """The failures that are not known."""
        return [one for one in campaign.failures if one.name not in self.known]

    def _known(self, campaign: Campaign) -> list[str]:
        """What was found and does not count, and what was named and not found."""
        from kmodel.fuzz.paste import said

        found = {one.name: said(one.best[1]) for one in campaign.failures}
        lines = [f"known, so not counted: {n}: {found[n]}" for n in self.known if n in found]
        missing = [name for name in self.known if name not in found]
        fuzzed = tuple(f"{target.name}_" for target in campaign.targets)
        return [
            *lines,
            *(f"known, and not found this time: {n}" for n in missing if n.startswith(fuzzed)),
        ]

    def _root(self, root: Root) -> list[str]:
        from kmodel.fuzz.paste import said

        failure = root.failure
        workload, shown = failure.best
        handed = self.handed(failure)
        steps = handed.steps
        if len(steps) > STORY:
            more = f"... {len(steps) - STORY} more"
            steps = (*steps[:BEGINNING], more, *steps[BEGINNING - STORY :])
        return [
            f"{styled(workload.target, bold=True)}: {styled(said(shown), fg='red', bold=True)}",
            f"  after {_counted(failure.examples, 'example')}, shown by {failure.seen}; "
            f"{_smaller(failure)}; preemptions: {shown.preemptions}",
            *(f"  it also shows as {said(o.best[1])}: {self._file(o)}" for o in root.others),
            *(f"  where it breaks {o.name} does too, perhaps the cause" for o in root.beside),
            *(f"  {line}" for line in workload.lines(failure.target.named)),
            *("", *steps, ""),
            *(["What happened", *(f"  {one}" for one in handed.told), ""] if handed.told else []),
            f"schedule: {shown.schedule}",
            *_handed_lines(handed),
            *("", handed.text),
        ]


def _handed_lines(handed: Handed) -> list[str]:
    lines = [f"kmodel replay {handed.token}"] if handed.token else []
    lines += [f"kmodel log show {handed.log.parent}"] if handed.log else []
    lines += [f"pytest {handed.file}"] if handed.file else []
    return [*lines, handed.wrong] if handed.wrong else lines


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _smaller(failure: Failure) -> str:
    less = failure.reduced or failure.so_far
    if less is None:
        return "not made smaller"
    how = f"made smaller in {_counted(less.judged, 'try').replace('trys', 'tries')}"
    return how if less.minimal else f"{how}, and given up there: there may be less"


def _tally(name: str, tally: Tally) -> str:
    cut = f", {tally.cut} of them too large and sampled" if tally.cut else ""
    spent = [100 * part / (tally.seconds or 1) for part in (tally.judging, tally.reducing)]
    shares = f"{spent[0]:.0f} % searching, {spent[1]:.0f} % making failures smaller"
    return (
        f"{name:6} {_counted(tally.examples, 'example')}{cut}, {tally.repeated:,} drawn again, "
        f"{tally.steps:,} steps, {tally.states:,} states, {tally.seconds:.1f} s "
        f"({shares})"
    )


def _stored(campaign: Campaign) -> list[str]:
    """What became of what was stored."""
    lines = []
    if campaign.gone:
        many = "was stored and breaks" if len(campaign.gone) == 1 else "were stored and break"
        lines.append(f"{len(campaign.gone)} {many} nothing any more: forgotten")
    stored = campaign.stored
    if stored is not None and stored.unfit:
        lines.append(
            f"{stored.unfit} stored for another version of the targets, or damaged: passed over"
        )
    if stored is not None and stored.unkept:
        lines.append(
            f"{_counted(stored.unkept, 'workload')} could not be stored: is there no room left?"
        )
    if stored is not None and stored.lost:
        lines.append(f"the shared database was lost on the way ({stored.lost})")
    return lines


def _trouble(trouble: Trouble) -> list[str]:
    from kmodel.fuzz.failure import TROUBLE

    lines = [
        f"{trouble.target}: {trouble.kind}: {TROUBLE[trouble.kind]}",
        f"  {trouble.message}",
    ]
    if trouble.workload is not None:
        lines += [f"  {line}" for line in trouble.workload.lines()]
    return lines


def document(campaign: Campaign, report: Report, profile: str) -> dict[str, Any]:
    """``kmodel.fuzz/1``."""
    import attrs

    return {
        "schema": "kmodel.fuzz/1",
        "verdict": "violated" if report.counted(campaign) else "inconclusive",
        "bound": "samples",
        "profile": profile,
        "seed": campaign.seed,
        "set": {name: v for target in campaign.targets for name, v in target.pinned.items()},
        "examples": campaign.examples,
        "minutes": campaign.minutes,
        "interrupted": campaign.interrupted,
        "seconds": campaign.seconds,
        "targets": {name: attrs.asdict(tally) for name, tally in campaign.tallies.items()},
        "known": list(report.known),
        "failures": [_document(one, report) for one in campaign.roots],
        "gone": [one.document() for one in campaign.gone],
        "unfit": campaign.stored.unfit if campaign.stored else 0,
        "unkept": campaign.stored.unkept if campaign.stored else 0,
        "troubles": [
            {
                "target": one.target,
                "kind": one.kind,
                "message": one.message,
                "workload": one.workload.document() if one.workload else None,
            }
            for one in campaign.troubles
        ],
    }


def _document(root: Root, report: Report) -> dict[str, Any]:
    import attrs

    failure, handed = root.failure, report.handed(root.failure)
    workload, shown = failure.best
    return {
        "target": failure.target.name,
        "name": failure.name,
        "known": failure.name in report.known,
        "kind": shown.signature.kind,
        "property": shown.signature.property,
        "message": shown.message,
        "signature": attrs.asdict(shown.signature),
        "also": [{"name": other.name, **attrs.asdict(other.signature)} for other in root.others],
        "beside": [other.name for other in root.beside],
        "workload": workload.document(),
        "first": failure.workload.document(),
        "minimal": failure.reduced is not None and failure.reduced.minimal,
        "examples": failure.examples,
        "seen": failure.seen,
        "preemptions": shown.preemptions,
        "schedule": str(shown.schedule),
        "replay": handed.token,
        "log": str(handed.log) if handed.log else None,
        "file": str(handed.file) if handed.file else None,
        "wrong": handed.wrong,
        "run": list(handed.steps),
        "story": list(handed.told),
        "test": handed.text,
    }
