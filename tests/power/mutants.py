"""The searcher and its primitives, each broken in one place: does a test notice?

A mutant is an edit of one file of a copy of the package; the tests of the explorer and of
the locks run on the copy. One that no test notices is a hole in the tests. List and score
(a few minutes on two cores; names choose some):

    python tests/power/mutants.py [NAME ...]
"""

from __future__ import annotations

import concurrent.futures
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import attrs

ROOT = Path(__file__).resolve().parents[2]
LONG = (
    *("checkpoint", "preemptions", "trio_and_limits", "shrink", "symmetry", "orbit"),
    *("bounded", "enumeration", "atomicity"),
)
"""Those of the explorer that take longest, and go last."""
PYTEST = (sys.executable, "-m", "pytest", "-x", "-q", "--no-header", "-p", "no:cacheprovider")
SECONDS = 600
"""For the tests of one mutant: one that makes them hang is caught too."""


def tests() -> list[str]:
    """What is run on each mutant: the quick ones first."""
    every = sorted(path.name for path in (ROOT / "tests/explore").glob("test_*.py"))
    long = [f"test_{name}.py" for name in LONG]
    quick = [name for name in every if name not in long]
    of_explorer = [f"tests/explore/{name}" for name in (*quick, *long)]
    return ["tests/sync", "tests/test_explain.py", *of_explorer, "tests/test_joint.py"]


@attrs.frozen
class Mutant:
    """``old`` becomes ``new`` in ``file`` (below ``kmodel/``), where it stands once."""

    name: str
    file: str
    old: str
    new: str


MUTANTS = (
    # the primitives
    Mutant(
        "a mutex that lets two in",
        "sync/mutex.py",
        '@operation(lambda self, task: self.owner is None, event="mutex.enter")',
        '@operation(event="mutex.enter")',
    ),
    Mutant(
        "a try that takes a mutex which is held",
        "sync/mutex.py",
        "        if self.owner is not None:\n            return False\n        self.owner = task",
        "        self.owner = task",
    ),
    Mutant(
        "a rwlock that lets a writer in beside readers",
        "sync/rwlock.py",
        "return self.writer is None and not (write and self.readers)",
        "return self.writer is None",
    ),
    Mutant(
        "a rwlock that lets a reader in beside the writer",
        "sync/rwlock.py",
        "return self.writer is None and not (write and self.readers)",
        "return not write or (self.writer is None and not self.readers)",
    ),
    Mutant(
        "a release that forgets the other readers",
        "sync/rwlock.py",
        "self.readers = self.readers.without(task)",
        "self.readers = Tasks()",
    ),
    Mutant(
        "a hand-off that wakes only the first reader",
        "sync/rwlock.py",
        "while self.queue and self.free(self.queue[0][1]):",
        "if self.queue and self.free(self.queue[0][1]):",
    ),
    Mutant(
        "a wakeup that drops one",
        "sync/channel.py",
        '        self.sleepers = ()\n\n    @operation(event="chan.wakeup_one")',
        '        self.sleepers = self.sleepers[1:]\n\n    @operation(event="chan.wakeup_one")',
    ),
    Mutant(
        "a sleep that keeps the mutex",
        "sync/channel.py",
        "        self.sleepers = (*self.sleepers, task)\n        mutex.owner = None",
        "        self.sleepers = (*self.sleepers, task)",
    ),
    Mutant(
        "a wakeup that does not wait for the mutex",
        "sync/channel.py",
        "task not in self.sleepers and (mutex is None or mutex.owner is None)",
        "task not in self.sleepers",
    ),
    Mutant(
        "a sleep with another mutex held goes unnoticed",
        "sync/channel.py",
        "if isinstance(lock, Mutex) and lock is not interlock:",
        "if isinstance(lock, Mutex) and lock is interlock:",
    ),
    # what a step does, and what a task remembers
    Mutant(
        "a footprint left out",
        "explore/footprint.py",
        "        if isinstance(value, tuple):\n            yield from _numbers(value)\n"
        "        elif",
        "        if",
    ),
    Mutant(
        "writes that no footprint holds",
        "explore/tree.py",
        "                writes |= 1 << (entry >> 1)",
        "                pass",
    ),
    Mutant(
        "a read that the history forgets",
        "recorder.py",
        "            self.seen.append(code)",
        "            pass",
    ),
    Mutant(
        "an operation's answer that the history forgets",
        "explore/history.py",
        'self._cons(history, "op", (recorder.encode(result),))',
        'self._cons(history, "op", ())',
    ),
    Mutant(
        "a live set that lies",
        "point.py",
        'RUN.history = RUN.cons(self._entry, "head", encode_live(live))',
        'RUN.history = RUN.cons(self._entry, "head", ())',
    ),
    Mutant(
        "a procedure whose result is forgotten",
        "point.py",
        'RUN.history = RUN.cons(entry, "return", encode_live((result,)))',
        'RUN.history = RUN.cons(entry, "return", ())',
    ),
    Mutant(
        "loops that all stand at one place",
        "point.py",
        "        RUN.history = RUN.cons(fold(), tag, ())",
        "        fold()",
    ),
    Mutant(
        "one and true are one value",
        "recorder.py",
        "            key = (cls, value)\n        elif isinstance(value, enum.Enum):",
        "            key = (str, str(int(value)) if cls is bool else str(value))\n"
        "        elif isinstance(value, enum.Enum):",
    ),
    Mutant(
        "a check-live that believes everything",
        "explore/history.py",
        "        elif before[0] != does:",
        "        elif False:",
    ),
    # the search
    Mutant(
        "a search that leaves the last task out once",
        "explore/graph.py",
        "            if node.op is not None and (only is None or only == node.task.index):",
        "            if node.op is not None and (only is None or only == node.task.index) and "
        "not (node is nodes[-1] and number % 7 == 3):",
    ),
    Mutant(
        "a first step that goes alone although it writes",
        "explore/graph.py",
        "                if onward and not leaf.stores and not leaf.inputs:",
        "                if onward:",
    ),
    Mutant(
        "a search that calls itself complete",
        "explore/graph.py",
        "        graph.complete = not frontier and graph.stopped_by is None",
        "        graph.complete = True",
    ),
    Mutant(
        "a panic that is not noted",
        "explore/graph.py",
        '        if ("panic", panic.message) not in self._broken:',
        '        if ("panic", panic.message) in self._broken:',
    ),
    Mutant(
        "a preemption that costs nothing",
        "explore/preemption.py",
        "return [(task, int(task != last)) for task, to in enumerate(row) if to != NOWHERE]",
        "return [(task, 0) for task, to in enumerate(row) if to != NOWHERE]",
    ),
    Mutant(
        "a delay that costs one too little",
        "explore/preemption.py",
        "    return [(task, place) for place, task in enumerate(able)]",
        "    return [(task, max(place - 1, 0)) for place, task in enumerate(able)]",
    ),
    Mutant(
        "a bounded search that stops a step early",
        "explore/bounded.py",
        "        graph.complete = not self._left",
        "        graph.complete = self._left < 3",
    ),
    # the judges
    Mutant(
        "a race check that always passes",
        "explore/race.py",
        "                for where in judge.conflicts(state, task, leaf):",
        "                for where in ():",
    ),
    Mutant(
        "a release that orders everything",
        "explore/race.py",
        "if task != still and not leaf.taken & released:",
        "if task != still and not released:",
    ),
    Mutant(
        "a judge that always says clean",
        "explore/judgement.py",
        "            return verdict, worst.kind, worst.message\n",
        '            return "holds", None, holds\n',
    ),
    Mutant(
        "a lost wakeup taken for a deadlock",
        "explore/liveness.py",
        "        return until is not None and bool(",
        "        return until is None and bool(",
    ),
    Mutant(
        "weak fairness that excludes nothing",
        "explore/cycle.py",
        '                if level != "none" and always[task]:',
        '                if level == "never" and always[task]:',
    ),
    Mutant(
        "strong fairness that is no more than weak",
        "explore/cycle.py",
        '                if level == "strong":',
        '                if level == "stronger":',
    ),
    Mutant(
        "lock-grant that grants nothing",
        "explore/cycle.py",
        "            if self.fairness.grant:",
        "            if not self.fairness:",
    ),
    Mutant(
        "an order of locks that forgets who holds",
        "sync/witness.py",
        "    if RUN.sink is not None and held:",
        "    if RUN.sink is not None and len(held) > 1:",
    ),
    Mutant(
        "a cycle of locks that is confirmed without a deadlock",
        "explore/order.py",
        "all(state in self._never[task] for task in tasks)",
        "True",
    ),
    # runs and samples
    Mutant(
        "a replay that takes any schedule",
        "explore/strategy.py",
        "        if chosen not in enabled:\n",
        "        if chosen not in enabled and step < 0:\n",
    ),
    Mutant(
        "a snapshot that sees no tables",
        "explore/snapshot.py",
        "            found.append(tuple(map(_value, thing)))",
        "            pass",
    ),
    Mutant(
        "a fair scheduler that never gives way",
        "explore/fair.py",
        "        if yielded:\n",
        "        if not task and yielded and before < 0:\n",
    ),
    Mutant(
        "priorities that are never redrawn",
        "explore/pos.py",
        "            if task == current or (ran and conflict(ran, footprint(op))):",
        "            if task == current and not ran:",
    ),
    Mutant(
        "traces that forget who came first",
        "explore/traces.py",
        "            level = max(level, self._of_object.get(number, 0))",
        "            pass",
    ),
    # symmetry
    Mutant(
        "like tasks that write different things pass for alike",
        "explore/orbit.py",
        "if differing := wrote ^ set(same.stores):",
        "if differing := set():",
    ),
    Mutant(
        "like tasks that read different things pass for alike",
        "explore/orbit.py",
        "if differing := read ^ set(path(twin.tree, there)):",
        "if differing := set():",
    ),
    Mutant(
        "a canonical form that depends on where one comes from",
        "explore/orbit.py",
        "best = min(found)",
        "best = found[0]",
    ),
    Mutant(
        "a check is asked about one state of each orbit only",
        "explore/orbit.py",
        "if asked_before or self._says_alike(predicate, state):",
        "if True:",
    ),
    Mutant(
        "tasks that differ at the start pass for alike",
        "explore/orbit.py",
        "            if code != now:",
        "            if code > 65_535:",
    ),
    Mutant(
        "a set that keeps tasks in the order of their likes",
        "explore/turn.py",
        "Tasks(moved) if isinstance(value, Tasks)",
        "tuple.__new__(Tasks, moved) if isinstance(value, Tasks)",
    ),
    Mutant(
        "real runs with tasks in the wrong places",
        "explore/unfolded.py",
        "found.append((to, self._back[way]))",
        "found.append((to, way))",
    ),
    Mutant(
        "a search of orbits that passes for a proof of all",
        "explore/symmetry.py",
        'if verdict == "holds":',
        "if False:",
    ),
)


@attrs.frozen
class Fate:
    """Whether a mutant was caught, by which test, in how many seconds."""

    mutant: Mutant
    caught: bool
    by: str
    seconds: float


NOTHING: Final = Mutant("nothing", "__init__.py", "Importing this loads", "Importing this loads")
"""No mutant at all: the tests must pass on it, or they would catch anything."""


def applied(mutant: Mutant, package: Path) -> str:
    """The mutated text of its file. ``ValueError`` if it does not apply exactly once."""
    text = (package / mutant.file).read_text()
    if text.count(mutant.old) != 1:
        found = text.count(mutant.old)
        raise ValueError(f"{mutant.name}: its text stands {found} times in {mutant.file}, not once")
    return text.replace(mutant.old, mutant.new)


def judge(mutant: Mutant, chosen: tuple[str, ...] = ()) -> Fate:
    """Run the tests (or those ``chosen``) on a copy with that one edit."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        leave = shutil.ignore_patterns("__pycache__", ".*_cache", ".git", "logs", ".venv")
        shutil.copytree(ROOT, copy, dirs_exist_ok=True, ignore=leave)
        (copy / "kmodel" / mutant.file).write_text(applied(mutant, copy / "kmodel"))
        environment = os.environ | {"PYTHONPATH": folder}
        try:
            ran = subprocess.run(
                [*PYTEST, *(chosen or tests())],
                cwd=copy,
                env=environment,
                capture_output=True,
                text=True,
                timeout=SECONDS,
            )
        except subprocess.TimeoutExpired:
            return Fate(mutant, True, f"no end after {SECONDS} s", time.monotonic() - began)
    failed = re.search(r"^(?:FAILED|ERROR) (\S+)", ran.stdout, re.MULTILINE)
    by = failed[1] if failed else ran.stdout.strip().splitlines()[-1]
    return Fate(mutant, ran.returncode == 1, by, time.monotonic() - began)


def judge_all(mutants: tuple[Mutant, ...]) -> Iterator[Fate]:
    """Each, as many at once as there are cores, in order."""
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        yield from pool.map(judge, mutants)


def main(names: list[str]) -> int:
    chosen = tuple(m for m in MUTANTS if not names or any(name in m.name for name in names))
    clean = judge(NOTHING)
    if clean.caught:
        print(f"the tests fail without a mutant: {clean.by}")
        return 2
    caught = 0
    for fate in judge_all(chosen):
        caught += fate.caught
        mark = "caught  " if fate.caught else "SURVIVED"
        print(f"{mark} {fate.seconds:4.0f} s  {fate.mutant.name:<52} {fate.by}", flush=True)
    print(f"{caught} of {len(chosen)} caught")
    return 0 if caught == len(chosen) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
