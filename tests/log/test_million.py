"""A log of a million events: each command under 60 s of CPU time and 300 MB of memory."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from kmodel.case import Case
from kmodel.explore.execution import Execution, run
from kmodel.explore.strategy import Random
from kmodel.log.recorder import Recorder

pytestmark = pytest.mark.slow

EVENTS, SECONDS, MEGABYTES = 1_000_000, 60, 300

BUSY = '''"""Two CPUs take and give the kernel map and an anon many times; K is in the way."""
from kmodel import Machine, parameter, scenario


async def turn(m: Machine, turns: int) -> None:
    for _ in range(turns):
        await m.kernel_map.vm_map_lock()
        await m.kernel_map.vm_map_unlock()
        anon = await m.kernel.anons.uvm_analloc()
        if await m.kernel_map.vm_map_lock_try():
            await m.kernel_map.vm_map_unlock()
        if anon is not None:
            await m.kernel.anons.pool.put(anon)


@scenario
def busy(m: Machine, turns: int = parameter(100, 1, 1_000_000, "turns a CPU")) -> None:
    m.cpu("A", turn(m, turns))
    m.cpu("B", turn(m, turns))
    m.background("K", m.kernel_map.churn())
'''

GROUPED = (
    "SELECT obj, event, count(*), max(step) FROM events WHERE event LIKE 'lock.%' GROUP BY 1, 2"
)

COMMANDS = {
    "show": ("show",),
    "show, filtered": ("show", "--cpu", "K", "--event", "lock.*", "--obj", "kernel_map"),
    "show --json": ("show", "--json"),
    "stats": ("stats",),
    "stats --json": ("stats", "--json"),
    "query": ("query", GROUPED),
    "query, all rows": ("query", "SELECT * FROM events", "--json", "--limit", "2000000"),
    "query, sorted": ("query", "SELECT * FROM events ORDER BY fields, obj, seq DESC"),
    "query, duckdb": ("query", GROUPED, "--engine", "duckdb"),
    "timeline": ("timeline",),
    "timeline, late": ("timeline", "--since", "400000", "--html", "OUT.html"),
    "explain": ("explain",),
    "diff": ("diff", "RUN"),
    "export, perfetto": ("export", "--to", "perfetto", "-o", "OUT"),
    "export, chrome": ("export", "--to", "chrome", "-o", "OUT"),
    "export, csv": ("export", "--to", "csv", "-o", "OUT"),
    "export, sqlite": ("export", "--to", "sqlite", "-o", "OUT"),
    "export, parquet by duckdb": ("export", "--to", "parquet", "-o", "OUT"),
    "export, mermaid": ("export", "--to", "mermaid", "-o", "OUT"),
    "export, shiviz": ("export", "--to", "shiviz", "-o", "OUT"),
    "export, lnav": ("export", "--to", "lnav", "-o", "OUT"),
    "eval": ("eval", 'kernel_map.writer == "K"', "--max-seconds", "600"),
}


@pytest.fixture(scope="module")
def million(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("million")
    (place / "busy.py").write_text(BUSY)
    case = Case.of(str(place / "busy.py"), {"turns": 36_000})
    world = case.build()
    with Recorder.start(case.header(world, "random", 1, None), place / "logs") as recorder:
        outcome = run(Execution(world, recorder), Random(1), 10_000_000)
        recorder.close(outcome)
    assert recorder.path is not None
    with recorder.path.open("rb") as lines:
        assert sum(1 for _ in lines) > EVENTS
    return recorder.path


@pytest.mark.parametrize("name", COMMANDS)
def test_a_million_events(million: Path, name: str, tmp_path: Path) -> None:
    if "duckdb" in name:
        pytest.importorskip("duckdb")
    places = {"OUT": str(tmp_path / "made"), "OUT.html": str(tmp_path / "made.html")}
    places |= {"RUN": str(million)}
    command, *rest = (places.get(word, word) for word in COMMANDS[name])
    with (tmp_path / "out").open("wb") as out:
        child = subprocess.Popen(
            [sys.executable, "-m", "kmodel", "log", command, str(million), *rest], stdout=out
        )
        _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    seconds, megabytes = used.ru_utime + used.ru_stime, used.ru_maxrss * 1024 / 1e6
    print(f"{name}: {seconds:.1f} s, {megabytes:.0f} MB")
    assert child.returncode == 0
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) > 100
    assert seconds < SECONDS
    assert megabytes < MEGABYTES
