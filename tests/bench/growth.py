"""What raising the bounds costs: states, seconds and memory by CPUs and faults.

Each cell runs in a process of its own, so that its memory is its own.
"""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final

from story import case, searched

from kmodel.explore.graph import Limits
from kmodel.explore.judgement import Judgement
from kmodel.judge import NO_LIVELOCK, RESTART, Judge

CPUS: Final = (2, 3, 4)
FAULTS: Final = (1, 2)
FIXES: Final = ("wait", "populate")


def resident() -> int:
    """Bytes that this process holds now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def cell(fix: str, cpus: int, faults: int, states: int) -> dict[str, Any]:
    """Search and judge one story here."""
    gc.disable()
    story = case(fix, cpus, faults)
    world, before = story.build(), resident()
    began = time.process_time()
    search = searched(world, Limits(states=states, seconds=600))
    middle, held = time.process_time(), resident() - before
    verdict = Judge(story, Judgement(search, RESTART, NO_LIVELOCK)).verdict()
    ended, most = time.process_time(), resident() - before
    graph = search.graph
    return {
        "states": len(graph),
        "transitions": graph.transitions,
        "steps of model code": search.histories.runs,
        "search": middle - began,
        "judging": ended - middle,
        "bytes a state": held // len(graph),
        "MiB": round(most / 2**20),
        "verdict": verdict.kind or verdict.verdict,
        "stopped by": graph.stopped_by,
    }


def measure(states: int, cells: list[tuple[str, int, int]]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for fix, cpus, faults in cells:
        command = [sys.executable, __file__, fix, str(cpus), str(faults), str(states)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=1200)
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)}: {done.stderr}")
        found.append({"fix": fix, "cpus": cpus, "faults": faults} | json.loads(done.stdout))
    return found


def every() -> list[tuple[str, int, int]]:
    return [(fix, cpus, faults) for fix in FIXES for faults in FAULTS for cpus in CPUS]


def show(found: list[dict[str, Any]]) -> None:
    print("growth: states, seconds of CPU and memory (ratios: times the fix's first row)")
    first: dict[str, dict[str, Any]] = {}
    for one in found:
        base = first.setdefault(one["fix"], one)
        seconds = [round(one[part], 2) for part in ("search", "judging")]
        times = sum(seconds) / (base["search"] + base["judging"])
        cut = f"   ENDED BY THE LIMIT: {one['stopped by']}" if one["stopped by"] else ""
        print(
            f"  {one['fix']:9} {one['cpus']} CPUs x {one['faults']}: {one['states']:>9,} states "
            f"({one['states'] / base['states']:.1f}x) {seconds[0]:7.2f} + {seconds[1]:6.2f} s "
            f"({times:.1f}x) {one['MiB']:5} MiB ({one['MiB'] / max(base['MiB'], 1):.1f}x) "
            f"{one['bytes a state']} B a state{cut}"
        )


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))
    print(json.dumps(cell(sys.argv[1], *map(int, sys.argv[2:5]))))
