"""Where nobody can step: what each task waits for, and the cycle of waiting."""

from __future__ import annotations

from kmodel.explain.ran import Ran
from kmodel.explore.cycle import cycle


def stuck(ran: Ran) -> list[str]:
    """The obliged tasks that wait, and those that hold what they wait for."""
    waiting = [task for task in ran.tasks if task not in ran.end.able]
    concerned = _concerned(ran, waiting)
    told = [f"{ran.names[task]} {ran.waits(task)}" for task in concerned]
    told += circle(ran, concerned)
    if not ran.end.able:
        others = [task for task in waiting if task not in concerned]
        also = f" ({ran.called(others)} must wait too)" if others else ""
        told.append(f"Nobody can step{also}, so nobody will wake or release anything.")
    return told


def circle(ran: Ran, waiting: list[int]) -> list[str]:
    """One cycle of tasks, each waiting for a lock that the next holds."""
    way = cycle({task: [one for one in ran.ahead(task) if one in waiting] for task in waiting})
    if not way:
        return []
    pairs = zip(way, [*way[1:], way[0]])
    told = ", ".join(f"{ran.names[a]} waits for {ran.names[b]}" for a, b in pairs)
    return [f"{told}: a cycle, and each keeps what the one before it needs."]


def _concerned(ran: Ran, waiting: list[int]) -> list[int]:
    """The obliged of ``waiting`` (or all, if none is), and whom they wait for."""
    todo = [task for task in waiting if ran.obliged(task)] or list(waiting)
    found = set(todo)
    while todo:
        for task in ran.ahead(todo.pop()):
            if task in waiting and task not in found:
                found.add(task)
                todo.append(task)
    return [task for task in waiting if task in found]
