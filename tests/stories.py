"""Scenario files to write down and judge: whole ones, broken ones, and wrong ones."""

from __future__ import annotations

from pathlib import Path

from kmodel.case import Case
from kmodel.explore.graph import Limits
from kmodel.explore.purity import pure
from kmodel.joint import explore
from kmodel.judge import Judge

QUIET = '''"""One CPU faults one page, and nobody is in its way."""
from kmodel import Machine, scenario


@scenario
def quiet(m: Machine) -> None:
    m.cpu("A", m.process().fault(0x20_0000, write=True))
'''

VACUOUS = QUIET + '    m.sometimes("pigs were seen in the air")\n'

LEAK = '''"""A thread takes a page-table page and forgets about it."""
from kmodel import Machine, scenario


async def lose(m):
    await m.kernel.pmap_pools.vp_pool.get(True)


@scenario
def leak(m: Machine) -> None:
    m.cpu("A", lose, m)
'''

CROSSED = '''"""Two threads take two locks crosswise."""
from kmodel import Machine, parameter, scenario
from kmodel.sync.mutex import Mutex


async def both(first, second):
    await first.enter()
    await second.enter()
    await second.leave()
    await first.leave()


@scenario
def crossed(
    m: Machine, swap: bool = True, copies: int = parameter(1, 1, 3, "threads of each kind")
) -> None:
    with m.world:
        one, two = Mutex("one"), Mutex("two")
    for copy in range(copies):
        m.cpu(f"A{copy}", both, one, two)
        m.cpu(f"B{copy}", both, *((two, one) if swap else (one, two)))
'''

RACE = '''"""Two threads count without a lock."""
from kmodel import Machine, pause, scenario
from kmodel.shared import shared


@shared
class Counter:
    value: int

    def __init__(self):
        self.value = 0


async def add(counter):
    await pause()
    counter.value += 1


@scenario
def race(m: Machine) -> None:
    with m.world:
        counter = Counter()
    m.cpu("A", add, counter)
    m.cpu("B", add, counter)
'''

CHECKED = '''"""A thread counts up, and a check says how far it may."""
from kmodel import Machine, pause, scenario
from kmodel.shared import shared


@shared
class Counter:
    value: int

    def __init__(self):
        self.value = 0


async def count(counter):
    for _ in range(3):
        await pause()
        counter.value += 1


@scenario
def checked(m: Machine, at_most: int = 9, at_end: int = 3) -> None:
    with m.world:
        counter = Counter()
    m.cpu("A", count, counter)
    m.always("few", lambda: None if counter.value <= at_most else f"{counter.value} is too many")
    m.finally_("all", lambda: None if counter.value == at_end else f"ends with {counter.value}")
'''

STEP = '''"""One thread that does what it should not."""
{imports}
from kmodel import Machine, pause, scenario


async def step():
    await pause()
    {step}
    await pause()


@scenario
def wrong(m: Machine) -> None:
    m.cpu("A", step)
'''
"""``imports`` and ``step`` are to be filled in."""

BUILD = '''"""A scenario whose building goes wrong."""
{imports}
from kmodel import Machine, scenario


@scenario
def wrong(m: Machine) -> None:
    {step}
    m.cpu("A", m.process().fault(0x20_0000))
'''

CHANCE = '''"""How far its threads go depends on the weather."""
import datetime

from kmodel import Machine, pause, scenario


async def wander():
    for _ in range(1 + datetime.datetime.now().microsecond % 200):
        await pause()


@scenario
def chance(m: Machine) -> None:
    m.cpu("A", wander)
    m.cpu("B", wander)
'''

LIST = '''"""Two threads share a list, which the engine does not see."""
from kmodel import Machine, pause, scenario


async def push(queue):
    await pause()
    queue.append(1)


@scenario
def sharing(m: Machine) -> None:
    queue = []
    m.cpu("A", push, queue)
    m.cpu("B", push, queue)
'''


def step(code: str, imports: str = "") -> str:
    return STEP.format(step=code, imports=imports)


def build(code: str, imports: str = "") -> str:
    return BUILD.format(step=code, imports=imports)


def write(folder: Path, text: str, name: str = "story.py") -> str:
    """The path of a scenario file with that text."""
    path = folder / name
    path.write_text(text)
    return str(path)


def judged(
    name: str,
    fix: str = "wait",
    situation: str | None = None,
    limits: Limits | None = None,
    **params: object,
) -> Judge:
    """The scenario of that name or path, searched within ``limits``."""
    with pure():
        case = Case.of(name, dict(params), fix, situation)
        return explore(case, limits or Limits())
