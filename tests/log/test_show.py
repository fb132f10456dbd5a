from __future__ import annotations

from pathlib import Path

import pytest
from recorded import record

from kmodel.log.filter import Filter
from kmodel.log.record import Record
from kmodel.log.show import Layout, lines, render, text_of

TASKS = ("A", "B")


def kept() -> list[Record]:
    return record(None, keep=True).records


def test_one_line_an_event_in_the_column_of_its_cpu() -> None:
    assert render(kept(), TASKS, mark_steps={3: "--- loop begins ---", 99: "never reached"}) == (
        """\
  step    seq  A     B
     0      0  task.start
     1      1  lock.try kernel_map had
            2  kva.alloc n=2 va=0xffffff8000008000
     2      3  |     task.start
--- loop begins ---
     3      4  |     lock.acquire kernel_map refused
     4      5  lock.release kernel_map
     5      6  |     lock.contended kernel_map had <- 5
            7  |     mark B had to wait
     6      8  task.end
     7      9  run.end done digest="""
        + kept()[-1].fields["digest"]
        + "\n"
    )


def test_columns_shrink_with_the_terminal_and_lines_are_cut() -> None:
    tasks = ("A", "B", "K", "pagedaemon")
    events = [
        Record(8, 40, 2, "K", "lock.contended", 37, "kernel_map", True, {"why": "x" * 30}),
        Record(9, 41, 0, "A", "task.end", None, None, None, {}),
    ]
    assert render(events, tasks, width=80).splitlines() == [
        "  step    seq  A        B        K        pagedaemon",
        "     8     40  |        |        lock.contended kernel_map had <- 37 why=xxxx...",
        "     9     41  task.end |        |        |",
    ]


def test_a_narrow_terminal_has_one_column_with_the_name_of_the_cpu() -> None:
    assert render(kept()[5:8], TASKS, width=44).splitlines() == [
        "  step    seq  cpu event",
        "     4      5  A   lock.release kernel_map",
        "     5      6  B   lock.contended kernel_...",
        "            7  B   mark B had to wait",
    ]


@pytest.mark.parametrize("width", [1, 2, 3, 10, 30, 79, 80, 200])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    for tasks in ((), ("A",), TASKS, tuple(f"cpu{n}" for n in range(12))):
        for line in lines(kept(), tasks, width=width, mark_steps={1: "-" * 300}):
            assert len(line.text) <= width


def test_a_log_without_task_names_is_shown_all_the_same() -> None:
    assert "B          lock.acquire kernel_map refused" in render(kept(), ())
    assert Layout.fit((), 80).pitch == 0


def test_nothing_in_a_record_can_move_the_cursor() -> None:
    evil = Record(0, 0, 0, "A", "mark", None, "\x1b[2J\u202e", None, {"text": "a\nb"})
    assert text_of(evil) == "mark \\x1b[2J\\u202e a\\nb"
    assert "\x1b" not in render([evil], ("\x1b[31m",))


@pytest.mark.parametrize(
    ("wanted", "seqs"),
    [
        (Filter(), list(range(10))),
        (Filter(cpu=(1,)), [3, 4, 6, 7]),
        (Filter(task=("A", "B")), list(range(9))),
        (Filter(event=("lock.*", "mark")), [1, 4, 5, 6, 7]),
        (Filter(obj=("kernel_map",)), [1, 4, 5, 6]),
        (Filter(obj=("kern*",), cpu=(0,)), [1, 5]),
        (Filter(since=2, until=4), [3, 4, 5]),
        (Filter(since=5, until=2), []),
        (Filter(event=("Lock.*",)), []),
    ],
)
def test_filters(wanted: Filter, seqs: list[int]) -> None:
    assert [record.seq for record in kept() if wanted.passes(record)] == seqs


def test_showing_needs_no_structlog(logs: Path) -> None:
    import subprocess
    import sys

    path = record(logs).path
    code = (
        "import sys; from pathlib import Path\n"
        "import kmodel.log.show; from kmodel.log.reader import Reader\n"
        "list(Reader.open(Path(sys.argv[1])))\n"
        "assert not {'structlog', 'rich', 'trio', 'click'} & set(sys.modules)"
    )
    root = Path(__file__).parents[2]
    subprocess.run([sys.executable, "-c", code, str(path)], check=True, cwd=root)
