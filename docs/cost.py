"""What larger bounds cost, as a table: ``python docs/cost.py`` writes ``docs/cost.md``.

Each line is one search to its end, or to the limit of states, in a process of its own.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

PAGE = Path(__file__).parent / "cost.md"
FIXES = ("populate", "lock-retry", "wait")
SIZES = ((1, 1), (1, 2), (1, 4), (2, 1), (2, 2), (3, 1), (4, 1))
"""CPUs that fault, and faults that each takes."""
STATES = 500_000

HEAD = f"""\
# What larger bounds cost

`kmodel compare FIX --cpus N --faults M` raises the bounds of the contention situation. Each
line is one variant (`--set lap=wakes --set rwlock=wake-all`), searched and judged. *States*
and *steps* are exact, and the same on any machine; *time* is CPU time as a multiple of the
fix's line with 2 CPUs and 1 fault. A search that came to {STATES:,} states ended there (`>`): then
its time is that of the part, and the verdict what was found in it. Made by `python docs/cost.py`.

| fix | CPUs | faults | states | times | steps | time | verdict |
|---|---|---|---|---|---|---|---|
"""


def one(fix: str, cpus: int, faults: int) -> dict[str, object]:
    """Judge a unit here."""
    from kmodel.compare import judge, units
    from kmodel.explore.graph import Limits

    given = {"cpus": cpus, "faults": faults, "lap": "wakes", "rwlock": "wake-all"}
    (unit,) = units([fix], ["contention"], given)
    began = time.process_time()
    found = judge(unit, Limits(states=STATES, seconds=3600.0, memory=16 << 30))
    evidence = found.verdict.evidence
    return {
        "states": evidence.states,
        "steps": evidence.steps,
        "complete": evidence.complete,
        "seconds": time.process_time() - began,
        "verdict": found.verdict.kind or found.verdict.verdict,
    }


def table() -> str:
    """All lines."""
    lines = []
    for fix in FIXES:
        found = {}
        for size in SIZES:
            command = [sys.executable, __file__, fix, *map(str, size)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            found[size] = json.loads(done.stdout)
            print(fix, size, found[size], file=sys.stderr)
        base = found[2, 1]
        for (cpus, faults), row in found.items():
            more = "" if row["complete"] else "> "
            times, seconds = row["states"] / base["states"], row["seconds"] / base["seconds"]
            lines.append(
                f"| {fix} | {cpus} | {faults} | {more}{row['states']:,} | {more}{times:.3g} | "
                f"{more}{row['steps']:,} | {more}{seconds:.2g} | {row['verdict']} |"
            )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    if sys.argv[1:]:
        print(json.dumps(one(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))))
    else:
        PAGE.write_text(HEAD + table())
