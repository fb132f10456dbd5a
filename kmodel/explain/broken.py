"""One bad moment: the two accesses of a data race, or who held what when a check failed."""

from __future__ import annotations

from collections.abc import Callable

from kmodel.explain.dropped import dropped
from kmodel.explain.ran import Ran, joined, name_of
from kmodel.explore.access import Access, conflict
from kmodel.world import World


def race(ran: Ran, build: Callable[[], World]) -> list[str]:
    """The two accesses, and the locks held at each. Runs the schedule once more."""
    found = conflict(build(), ran.watch.choices)
    if found is None:
        return []
    first, second = (ran.names[access.task] for access in found)
    common = sorted(set(found[0].held) & set(found[1].held))
    why = f"both hold {joined(common)}, shared" if common else "they hold no lock in common"
    return [
        *(_accesses(ran, access) for access in found),
        f"Nothing orders the two ({why}): {second}'s may as well come before {first}'s.",
    ]


def _accesses(ran: Ran, access: Access) -> str:
    does = "writes" if access.writes else "reads"
    held = joined(access.held) or "no lock"
    return (
        f"{ran.names[access.task]} {does} {access.location} in step {access.step}, holding {held}."
    )


def held(ran: Ran) -> list[str]:
    """The last step, what was wrong after it, and who held what then."""
    choices, outcome = ran.watch.choices, ran.execution.outcome
    told = []
    if choices:
        last = [record for record in ran.records if record.step == len(choices) - 1]
        what = f" ({last[0].event} {last[0].obj or ''}".rstrip() + ")" if last else ""
        told.append(f"The last step, {len(choices) - 1}, is {ran.names[choices[-1]]}'s{what}.")
    wrong = ran.execution.findings.get(ran.token.property) or (outcome.message if outcome else "")
    if wrong:
        told.append(f"Then: {wrong}.")
    if ran.token.kind == "leak":
        told += dropped(ran, wrong)
    holding = [task for task, locks in enumerate(ran.end.held) if locks]
    for task in holding:
        locks = ran.end.held[task]
        since = [f"{name_of(lock)} ({ran.since(len(choices), task, lock)})" for lock in locks]
        told.append(f"{ran.names[task]} holds {joined(since)}.")
    return told if holding else [*told, "Nobody holds a lock."]
