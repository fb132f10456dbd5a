"""The least that shows a planted bug, found without the fuzzer: every workload, the small ones
first, each searched in every order with few preemptions.

A workload's size is its operations, and a failing allocation counts as one. CPUs are alike, so
that of workloads that differ in which CPU is which one is enough. Where there are too many
machines, those are tried that differ from the simplest in one parameter (for a single operation
in two). Prints the least
beside each bug, and says so where ``mistakes.py`` has another (names, or targets, choose some;
--operations: up to so many; --seconds: for each):

    python tests/power/least.py [NAME ...]
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
from mistakes import MISTAKES, Mistake, planted
from mutants import ROOT

from kmodel.fuzz.target import Target, load
from kmodel.fuzz.workload import Workload

MACHINES = 40
"""So many are all tried."""
JUDGE = """
import json, sys
import attrs
from kmodel.fuzz.judged import judge
from kmodel.fuzz.target import load
from kmodel.fuzz.workload import Workload
class Every:
    def __contains__(self, cause):
        return bool(cause)
for line in sys.stdin:
    preemptions, document = json.loads(line)
    workload = Workload.of(**document)
    target = attrs.evolve(load(workload.target), preemptions=preemptions)
    judged = judge(target, workload)
    every = [*judged.shown]
    if any(one.cause for one in every):  # which may hide others
        every += judge(target, workload, Every()).shown
    shown = {repr(one.signature): (one.preemptions, one.signature.kind) for one in every}
    print(json.dumps([judged.whole, shown]), flush=True)
"""


class Judge:
    """Judges workloads with the package in ``folder``, in a process of its own."""

    def __init__(self, folder: Path) -> None:
        env = os.environ | {"PYTHONPATH": str(folder)}
        self._process = subprocess.Popen(
            [sys.executable, "-c", JUDGE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=folder,
            env=env,
        )

    def shown(self, workload: Workload, preemptions: int) -> tuple[bool, dict[str, Any]]:
        """Was every schedule searched; and signature -> (preemptions, kind) of what breaks."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([preemptions, workload.document()]) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the judge died of {workload}")
        whole, shown = json.loads(line)
        return whole, shown

    def close(self) -> None:
        self._process.communicate()


@attrs.frozen
class Least:
    """``workload`` is one of the smallest that show the bug. ``tried`` were judged,
    ``too_large`` of them not in every order. Not ``proved``: time ran out, so that one
    of the same size may show it with fewer preemptions."""

    workload: Workload | None
    preemptions: int
    kind: str
    tried: int
    too_large: int
    proved: bool = True

    @property
    def operations(self) -> int:
        return size(self.workload) if self.workload else 0


def size(workload: Workload) -> int:
    return len(workload.operations) + len(workload.injected)


def workloads(target: Target, operations: int, failing: bool) -> Iterator[Workload]:
    """All of that many operations, with one failing allocation or with none."""
    every = [
        (name, args)
        for name, choices in target.operations.items()
        for args in itertools.product(*choices)
    ]
    injected: list[tuple[Any, ...]] = [()]
    if failing:
        lasts = (False, True) if target.lasting else (False,)
        injected = [
            ((of, cause, nth, on),)
            for of, cause in target.fails
            for nth in (1, 2, 3)
            for on in lasts
        ]
    params = [*_machines(target, 2 if operations == 1 and not failing else 1)]
    for shares in _shares(operations, target.cpus):
        programs = [list(itertools.product(every, repeat=share)) for share in shares]
        for chosen in itertools.product(*programs):
            alike = [(-share, program) for share, program in zip(shares, chosen)]
            if alike != sorted(alike, key=repr_of):
                continue
            queued = [(cpu, n, *a) for cpu, program in enumerate(chosen) for n, a in program]
            for machine, wrong in itertools.product(params, injected):
                yield Workload.of(target.name, machine, queued, wrong)


def _machines(target: Target, apart: int = 1) -> Iterator[dict[str, Any]]:
    """All, or, where they are too many, those with so many parameters that are not the
    simplest."""
    many = math.prod(map(len, target.params.values()))
    for values in itertools.product(*target.params.values()):
        differ = sum(v != among[0] for v, among in zip(values, target.params.values()))
        if many <= MACHINES or differ <= apart:
            yield dict(zip(target.params, values))


def repr_of(one: tuple[int, Any]) -> tuple[int, str]:
    return one[0], repr(one[1])


def _shares(operations: int, cpus: int, most: int = 99) -> Iterator[tuple[int, ...]]:
    """Ways to share so many operations out, the busiest CPU first."""
    if not operations:
        yield ()
    elif cpus:
        for first in range(min(operations, most), 0, -1):
            for rest in _shares(operations - first, cpus - 1, first):
                yield (first, *rest)


def least(mistake: Mistake, most: int, seconds: float, only: str = "") -> Least:
    """The smallest (that shows the kind ``only``); ``workload`` is ``None`` if there is none so
    small, or time ran out."""
    target, end, tried, too_large = load(mistake.target), time.monotonic() + seconds, 0, 0
    with tempfile.TemporaryDirectory() as folder:
        mutant, pristine = Judge(planted(mistake, Path(folder))), Judge(ROOT)
        try:
            for total in range(1, most + 1):
                best: Least | None = None
                bound = target.preemptions
                for workload in _of_size(target, total):
                    if time.monotonic() > end:
                        best = best or Least(None, 0, "no time left", 0, 0)
                        return attrs.evolve(best, tried=tried, too_large=too_large, proved=False)
                    tried += 1
                    whole, shown = mutant.shown(workload, bound)
                    too_large += not whole
                    without = pristine.shown(workload, bound)[1] if shown else {}
                    for signature, (preemptions, kind) in shown.items():
                        if signature in without and without[signature][0] <= preemptions:
                            continue
                        if only and kind != only:
                            continue
                        if best is None or preemptions < best.preemptions:
                            best = Least(workload, preemptions, kind, tried, too_large)
                    bound = best.preemptions - 1 if best else bound
                    if bound < 0:
                        break
                if best is not None:
                    return attrs.evolve(best, tried=tried, too_large=too_large)
        finally:
            mutant.close()
            pristine.close()
    return Least(None, 0, "none so small", tried, too_large)


def _of_size(target: Target, total: int) -> Iterator[Workload]:
    """With a failing allocation and without, by turns."""
    with_one = workloads(target, total - 1, True) if total > 1 and target.fails else iter(())
    for pair in itertools.zip_longest(with_one, workloads(target, total, False)):
        yield from (one for one in pair if one is not None)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--operations", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=1e6)
    chosen = parser.parse_args(arguments)
    differ = 0
    for name, mistake in MISTAKES.items():
        if chosen.names and not any(
            word in name or word == mistake.target for word in chosen.names
        ):
            continue
        for kind in ("", *mistake.takes):
            found = least(mistake, chosen.operations, chosen.seconds, kind)
            differ += told(mistake, found, kind)
    return 1 if differ else 0


def told(mistake: Mistake, found: Least, kind: str) -> bool:
    """One line. Does ``mistakes.py`` say otherwise?"""
    said = (*mistake.least(kind), mistake.proved)
    wrong = (found.operations, found.preemptions, found.proved) != said
    size = f"{found.operations} operations, {found.preemptions} preemptions, {found.kind}"
    print(f"{mistake.name:<55} {size}; {found.tried} tried", end="")
    print(f", {found.too_large} too large" if found.too_large else "", end="")
    print("" if found.proved else ", and not all", end="")
    print("; mistakes.py says otherwise" if wrong else "", flush=True)
    if found.workload:
        print(f"    {found.workload.document()}", flush=True)
    return wrong


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
