"""Runs to record: a short one made without a kernel, two CPUs and one lock; and a kernel's."""

from __future__ import annotations

from pathlib import Path

import trio

from kmodel.explore.execution import Execution, Outcome, run
from kmodel.explore.host import TrioHost
from kmodel.explore.strategy import Random
from kmodel.log.record import Header
from kmodel.log.recorder import Recorder
from kmodel.world import World

HEADER = Header(scenario="two_cpus", tasks=("A", "B"), fix="wait", seed=7, params={"faults": 1})

STORY = [
    (0, 0, None, "task.start", {}),
    (1, 0, None, "lock.try", {"obj": "kernel_map", "result": True}),
    (1, 0, None, "kva.alloc", {"va": "0xffffff8000008000", "n": 2}),
    (2, 1, None, "task.start", {}),
    (3, 1, None, "lock.acquire", {"obj": "kernel_map", "result": False}),
    (4, 0, None, "lock.release", {"obj": "kernel_map"}),
    (5, 1, 5, "lock.contended", {"result": True, "obj": "kernel_map"}),
    (5, 1, None, "mark", {"text": "B had to wait"}),
    (6, 0, None, "task.end", {"result": None}),
]
"""What an execution tells its observer: step, task, cause, event, fields."""


def record(logs: Path | None, header: Header = HEADER, keep: bool = False) -> Recorder:
    with Recorder.start(header, logs, keep=keep) as recorder:
        for step, task, cause, event, fields in STORY:
            recorder(step, task, cause, event, dict(fields))
        recorder.close(Outcome("done", 7))
    return recorder


def world() -> World:
    from kmodel import fixes
    from kmodel.machine import Machine
    from kmodel.param import KernelParams

    machine = Machine(KernelParams(), fixes.load("lock-retry"))
    space = machine.process()
    machine.cpu("A", space.fault(0x200000))
    machine.cpu("B", space.fault(0x400000))
    machine.background("K", machine.kernel_map.churn())
    return machine.finish()


def recorded(logs: Path, host: str, seed: int) -> bytes:
    """The lines after the header of a kernel's run on ``host``."""
    kernel = world()
    header = Header(scenario=host, tasks=tuple(task.name for task in kernel.tasks))
    with Recorder.start(header, logs) as recorder:
        execution, strategy = Execution(kernel, recorder, checks=True), Random(seed)
        if host == "trio":
            outcome = trio.run(TrioHost(execution, strategy, 3000).run)
        else:
            outcome = run(execution, strategy, 3000)
        recorder.close(outcome)
    assert recorder.path is not None
    return recorder.path.read_bytes().split(b"\n", 1)[1]
