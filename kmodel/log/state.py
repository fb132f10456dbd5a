"""What every thread, lock, pool and page table is like in each step of a timeline, as changes."""

from __future__ import annotations

from typing import Any

from kmodel.log.spans import DOES, Span
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
        steps |= {max(span.since, found.first)} | (
            {span.until} if span.until is not None else set()
        )
    cpu = found.tasks.index(key[7:]) if key.startswith("thread ") else None
    if cpu in found.ended:
        steps.add(found.ended[cpu])
    told = []
    for step in sorted(step for step in steps if found.first <= step < found.stop):
        now = [s for s in spans if s.since <= step and (s.until is None or step < s.until)]
        if cpu is None:
            value = _lock(now)
        else:
            value = "ended" if found.ended.get(cpu, found.stop) <= step else _thread(now)
        told.append((step, 1 << 30, key, value))
    return told


def _lock(now: list[Span]) -> str:
    holders = [
        f"{s.task}{' (shared)' if s.write is False else ''}" for s in now if s.kind == "hold"
    ]
    waiting = [s.task for s in now if s.kind != "hold"]
    told = f"held by {', '.join(holders)}" if holders else "free"
    wait = "waits" if len(waiting) == 1 else "wait"
    return f"{told}; {', '.join(waiting)} {wait}" if waiting else told


def _thread(now: list[Span]) -> str:
    told = [f"{DOES[s.kind]} {'lock ' * (s.kind == 'wait')}{s.obj}" for s in now if s.kind in DOES]
    told += [f"in a fault at {s.va}" for s in now if s.kind == "fault"]
    return ", ".join(told) or "runs, or can"
