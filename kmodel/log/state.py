"""What every thread, lock, pool and page table is like in each step of a timeline, as changes."""

from __future__ import annotations

from typing import Any

from kmodel.log.span import DOES, Span
from kmodel.log.timeline import Timeline

Changes = list[list[Any]]
"""``[step, key, value]`` by step; a key begins with its kind: ``lock kernel_map``."""


def changes(found: Timeline) -> Changes:
    """What is so from which step of the window on; what it begins with stands at its first step."""
    told: list[tuple[int, int, str, str]] = []
    for key, value in found.before.items():
        told.append((found.first, 0, key, value))
    for order, (step, key, value) in enumerate(found.tables):
        told.append((step, 1 + order, key, value))
    for key, spans in _by_key(found).items():
        told += _edges(found, key, spans)
    latest: dict[str, str] = {}
    kept: Changes = []
    for step, _, key, value in sorted(told, key=lambda one: one[:2]):
        if latest.get(key) != value:
            latest[key] = value
            kept.append([step, key, value])
    return kept


def _by_key(found: Timeline) -> dict[str, list[Span]]:
    keys: dict[str, list[Span]] = {f"thread {name}": [] for name in found.tasks}
    for span in found.spans:
        if span.kind != "hold":
            keys[f"thread {found.tasks[span.cpu]}"].append(span)
        if span.kind in ("hold", "wait", "spin"):
            keys.setdefault(f"lock {span.obj}", []).append(span)
    return keys


def _edges(found: Timeline, key: str, spans: list[Span]) -> list[tuple[int, int, str, str]]:
    """The value of ``key`` at each step at which one of ``spans`` begins or ends."""
    steps = {found.first}
    for span in spans:
        ends = [span.until, *(since - 1 for since, _ in span.kept)]
        ends += [until and until - 1 for _, until in span.kept]
        steps |= {max(span.since, found.first)} | {end for end in ends if end is not None}
    cpu = found.tasks.index(key[7:]) if key.startswith("thread ") else None
    if cpu in found.ended:
        steps.add(found.ended[cpu])
    told = []
    for step in sorted(step for step in steps if found.first <= step < found.stop):
        now = [s for s in spans if s.since <= step and (s.until is None or step < s.until)]
        if cpu is None:
            value = _lock(now, step)
        else:
            value = "ended" if found.ended.get(cpu, found.stop) <= step else _thread(now, step)
        told.append((step, 1 << 30, key, value))
    return told


def _lock(now: list[Span], step: int) -> str:
    holders = [
        f"{s.task}{' (shared)' if s.write is False else ''}" for s in now if s.kind == "hold"
    ]
    told = [f"held by {', '.join(holders)}" if holders else "free"]
    # what is so after a step is what keeps a thread from the next one
    waiting = [s.task for s in now if s.kind != "hold" and s.keeps(step + 1)]
    woken = [s.task for s in now if s.kind == "wait" and not s.keeps(step + 1)]
    if waiting:
        told.append(f"{', '.join(waiting)} {'waits' if len(waiting) == 1 else 'wait'}")
    return "; ".join([*told, *([f"{', '.join(woken)} woken"] if woken else [])])


def _thread(now: list[Span], step: int) -> str:
    told = []
    for span in now:
        on = f"{'lock ' * (span.kind == 'wait')}{span.obj}"
        if span.kind in DOES and span.keeps(step + 1):
            told.append(f"{DOES[span.kind]} {on}")
        elif span.kind in ("wait", "sleep") and (span.then is None or step + 1 < span.then):
            told.append(f"woken from {on}, ready")
    told += [f"in a fault at {s.va}" for s in now if s.kind == "fault"]
    return ", ".join(told) or "runs, or can"
