"""Mistakes planted in the model, one at a time: does ``kmodel fuzz`` find them?

The fuzzer starts cold, is told the target and nothing of the mistake; what it also finds in the
model as it is does not count. One line for each mistake and seed, as they come: after how
many examples and seconds, how small it became and how small it can be (``mistakes.py``),
and whether its kind is named correctly. Names choose some; an interrupted run goes on with
--from:

    python tests/power/fuzzed.py [NAME ...] [--seeds N] [--examples N] [--from NAME]
"""

from __future__ import annotations

import argparse
import concurrent.futures
import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import attrs
from mistakes import MISTAKES, Mistake, planted
from mutants import ROOT

EXAMPLES = 1500
"""Within which a mistake must be found, by each of the seeds."""
SEEDS = (0, 1, 2)
SECONDS = 400
"""Of CPU time, so that a busy machine finds no less."""
RUNNING: set[subprocess.Popen[str]] = set()
"""Campaigns under way, which an interrupt ends."""
MORE = 1
"""Operations, and preemptions, that what is found may have more than the known minimum."""

CHILD = """
import json, os, resource, subprocess, sys
from kmodel.fuzz.campaign import Campaign
from kmodel.fuzz.target import load
target, seed, examples, seconds, root, aside = json.loads(sys.argv[1])
resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
told = []
def also_without(one):
    asked = json.dumps([one.best[0].document(), sorted(one.known)])
    ran = subprocess.run(
        [sys.executable, "-c", aside, asked],
        capture_output=True, text=True, check=True, cwd=root, env=os.environ | {"PYTHONPATH": root},
    )
    without = json.loads(ran.stdout).get(repr(one.best[1].signature))
    return without is not None and without <= one.best[1].preemptions
def look(one):
    if not also_without(one):
        told.append(one)
        raise KeyboardInterrupt
made = Campaign([load(target)], seed, examples, found=look)
made.run()
def document(one):
    workload, shown = one.best
    return {"kind": one.signature.kind, "message": shown.message, "examples": one.examples,
            "seconds": one.seconds, "cpus": len(workload.cpus),
            "operations": len(workload.operations) + len(workload.injected),
            "preemptions": shown.preemptions, "workload": workload.document()}
print(json.dumps({"found": document(told[0]) if told else None,
                  "troubles": [one.message for one in made.troubles]}))
"""
ASIDE = """
import json, sys
from kmodel.fuzz.judged import judge
from kmodel.fuzz.target import load
from kmodel.fuzz.workload import Workload
document, known = json.loads(sys.argv[1])
workload = Workload.of(**document)
shown = judge(load(workload.target), workload, frozenset(known)).shown
print(json.dumps({repr(one.signature): one.preemptions for one in shown}))
"""


@attrs.frozen
class Fate:
    """What one seed made of a mistake: ``found`` is the first failure that is not there
    without it, ``trouble`` why none could be looked for."""

    mistake: Mistake
    seed: int
    found: dict[str, Any] | None
    trouble: str = ""

    @property
    def named(self) -> bool:
        return self.found is not None and self.found["kind"] in self.mistake.kinds.split()

    @property
    def small(self) -> bool:
        if self.found is None:
            return False
        operations, preemptions = self.mistake.least(self.found["kind"])
        return (
            self.found["operations"] <= operations + MORE
            and self.found["preemptions"] <= preemptions + MORE
        )

    @property
    def well(self) -> bool:
        return self.small and self.named


def judge(mistake: Mistake, seed: int, examples: int = EXAMPLES) -> Fate:
    """Plant it in a copy, and let a cold campaign look."""
    with tempfile.TemporaryDirectory() as folder:
        package = planted(mistake, Path(folder))
        asked = [mistake.target, seed, examples, SECONDS, str(ROOT), ASIDE]
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, json.dumps(asked)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=package,
            env=os.environ | {"PYTHONPATH": str(package)},
        )
        RUNNING.add(child)
        try:
            out, err = child.communicate(timeout=10 * SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()
            child.communicate()
        finally:
            RUNNING.discard(child)
    if child.returncode in (-signal.SIGXCPU, -signal.SIGKILL):
        return Fate(mistake, seed, None, f"no end after {SECONDS} s")
    if child.returncode:
        return Fate(mistake, seed, None, (err.strip().splitlines() or ["killed"])[-1])
    said = json.loads(out)
    return Fate(mistake, seed, said["found"], "; ".join(said["troubles"])[:80])


def line(fate: Fate) -> str:
    name, one = fate.mistake.name, fate.found
    known = "" if fate.mistake.proved else "<="
    operations, preemptions = fate.mistake.least(one["kind"] if one else "")
    least = f"{known}{operations}/{preemptions}"
    if one is None:
        return f"{name:<53} {fate.seed:4}  NOT FOUND   least {least}  {fate.trouble}"
    size = f"{one['operations']}/{one['preemptions']}"
    return (
        f"{name:<53} {fate.seed:4} {one['examples']:8} {one['seconds']:7.1f}   {size:>5} {least:>5}"
        f"  {one['kind']}{'' if fate.named else ', WRONGLY NAMED'}"
        f"{'' if fate.small else ', NOT SMALL'}"
    )


HEAD = (
    f"{'operations (with failing allocations) / preemptions:':<78} shrunk least\n"
    f"{'mistake':<53} seed examples seconds"
)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--seeds", type=int, default=len(SEEDS))
    parser.add_argument("--examples", type=int, default=EXAMPLES)
    parser.add_argument("--from", dest="first", default="")
    chosen = parser.parse_args(arguments)
    names = [n for n in MISTAKES if not chosen.names or any(word in n for word in chosen.names)]
    if chosen.first:
        names = names[names.index(chosen.first) :]
    work = [(MISTAKES[name], seed) for name in names for seed in SEEDS[: chosen.seeds]]
    print(HEAD, flush=True)
    pool = concurrent.futures.ThreadPoolExecutor(os.cpu_count())
    fates: list[Fate] = []
    try:
        for fate in pool.map(lambda pair: judge(*pair, chosen.examples), work):
            fates.append(fate)
            print(line(fate), flush=True)
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        pool.shutdown(wait=False, cancel_futures=True)
        for child in [*RUNNING]:
            child.kill()
        print(f"interrupted; go on with --from '{work[len(fates)][0].name}'", flush=True)
        return 130
    found = sum(fate.found is not None for fate in fates)
    well = sum(fate.well for fate in fates)
    print(
        f"{found} of {len(work)} found within {chosen.examples} examples each, {well} of them as "
        f"small as can be asked and named correctly"
    )
    return 0 if well == len(work) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
