from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from recorded import HEADER, STORY, record, recorded

from kmodel.explore.execution import Outcome
from kmodel.log import recorder as recorder_module
from kmodel.log.reader import Reader
from kmodel.log.record import CHAIN_START, Header, own_names, plain, sum_of
from kmodel.log.recorder import Recorder
from kmodel.log.runs import LogError, run_name


def test_lines_are_flat_and_their_keys_are_in_one_order(events: Path) -> None:
    lines = events.read_bytes().splitlines()[1:]
    assert lines[6].startswith(
        b'{"step":5,"seq":6,"cpu":1,"task":"B","event":"lock.contended","cause":5,'
        b'"obj":"kernel_map","result":true,"sum":"'
    )
    assert lines[2].startswith(
        b'{"step":1,"seq":2,"cpu":0,"task":"A","event":"kva.alloc","n":2,"va":"0xffffff80'
    )
    for line in lines:
        row = json.loads(line)
        assert list(row)[-1] == "sum"
        assert not [value for value in row.values() if isinstance(value, (list, dict))]


def test_each_sum_covers_its_line_and_the_sum_before(events: Path) -> None:
    before = CHAIN_START
    for line in events.read_bytes().splitlines()[1:]:
        opened, _, tail = line.rpartition(b',"sum":"')
        assert sum_of(before, opened) + b'"}' == tail
        before = tail[:16]


def test_the_header_is_first_and_alone_has_wall_time(events: Path) -> None:
    first, *rest = events.read_bytes().splitlines()
    header = json.loads(first)
    assert " ".join(header) == (
        "event schema kmodel scenario scenario_digest model params fix situation strategy seed "
        "token assumptions tasks pools python started sum"
    )
    assert header["event"] == "log.header"
    assert header["schema"] == "kmodel.events/1"
    assert header["started"].encode() not in b"".join(rest)


def test_the_digest_depends_on_events_and_not_on_the_header(logs: Path) -> None:
    other = Header(scenario="other", tasks=("A", "B"), seed=8, started="1970-01-01T00:00:00+00:00")
    digests = {record(where, header).digest for where in (None, logs) for header in (HEADER, other)}
    assert len(digests) == 1
    with Recorder.start(HEADER) as shorter:
        shorter(*STORY[0])
        assert shorter.close(Outcome("done", 7)) not in digests


def test_the_digest_is_the_same_everywhere() -> None:
    """Tokens and reports carry digests: whatever changes this changes the schema too."""
    assert record(None).digest == "6434222d4934303f2d32bc20bb60ef9e"


def test_the_digest_can_be_taken_from_the_file_by_anyone(logs: Path) -> None:
    recorder = record(logs)
    assert recorder.path is not None
    _, rest = recorder.path.read_bytes().split(b"\n", 1)
    bare = re.sub(rb',"(digest|sum)":"[0-9a-f]*"', b"", rest)
    assert hashlib.blake2b(bare, digest_size=16).hexdigest() == recorder.digest


def test_records_can_be_kept_in_memory_and_are_those_of_the_file(logs: Path) -> None:
    recorder = record(logs, keep=True)
    assert recorder.path is not None
    with Reader.open(recorder.path) as log:
        assert list(log) == recorder.records
    assert not record(None).records


def test_an_exception_leaves_an_unfinished_run(logs: Path) -> None:
    def cut_short() -> Recorder:
        with Recorder.start(HEADER, logs) as recorder:
            recorder(*STORY[0])
            made.append(recorder)
            raise KeyboardInterrupt

    made: list[Recorder] = []
    with pytest.raises(KeyboardInterrupt):
        cut_short()
    assert made[0].path is not None
    with Reader.open(made[0].path) as log:
        assert [found.event for found in log] == ["task.start"]
        assert not log.finished
        assert log.damage is None


def test_no_two_recorders_share_a_directory(logs: Path) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from kmodel.log.runs import new_run\n"
        "for _ in range(50): print(new_run(Path(sys.argv[1]), 'same'))"
    )
    children = [
        subprocess.Popen([sys.executable, "-c", code, str(logs)], stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    made = [line for child in children for line in child.communicate()[0].split()]
    assert [child.returncode for child in children] == [0, 0, 0]
    assert len(set(made)) == 150
    assert record(logs).run_id == "two_cpus-wait-seed7-1"
    assert record(logs).run_id == "two_cpus-wait-seed7-2"


@pytest.mark.parametrize(
    ("scenario", "name"),
    [
        ("../away/../my story.py", "my-story-wait-seed7"),
        ("/", "wait-seed7"),
        ("..", "wait-seed7"),
        ("x" * 300, "x" * 100),
    ],
)
def test_a_run_is_named_so_that_it_stays_under_the_logs(scenario: str, name: str) -> None:
    assert run_name(Header(scenario=scenario, tasks=(), fix="wait", seed=7)) == name


def test_a_full_disk_is_named(logs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")

    def open_full(path: Path) -> object:
        path.symlink_to("/dev/full")
        return path.open("wb", buffering=1 << 16)

    monkeypatch.setattr(recorder_module, "open_new", open_full)
    with pytest.raises(LogError, match=r"events\.jsonl could not be written: no space left"):
        Recorder.start(HEADER, logs)


def test_a_disk_that_fills_up_later_is_named(logs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Filling:
        """Takes 1 KiB, then nothing more."""

        def __init__(self) -> None:
            self.left, self.closed = 1024, False

        def write(self, line: bytes) -> None:
            self.left -= len(line)
            if self.left < 0:
                raise OSError(28, "No space left on device")

        def flush(self) -> None: ...

        def close(self) -> None:
            self.closed = True

    full = Filling()
    monkeypatch.setattr(recorder_module, "open_new", lambda path: full)
    with pytest.raises(LogError, match="Make room"):
        record(logs)
    assert full.closed


def test_a_log_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    for logs in (tmp_path / "taken", tmp_path / "taken" / "logs"):
        with pytest.raises(LogError, match=r"taken.*Make the directory writable"):
            Recorder.start(HEADER, logs)


def test_a_log_directory_without_permission_is_named(
    logs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, **_: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(LogError, match=f"{logs}: permission denied"):
        Recorder.start(HEADER, logs)


def test_parameters_that_are_not_json_leave_no_directory_behind(logs: Path) -> None:
    with pytest.raises(TypeError):
        Recorder.start(Header(scenario="s", tasks=(), params={"x": object()}), logs)
    assert not logs.exists()


def test_a_field_never_takes_the_place_of_a_key_of_the_record() -> None:
    fields = {"cause": "map lock", "sum": 1, "obj": "p", "self": 2, "method_name": 3}
    assert list(own_names(fields)) == ["cause_", "sum_", "obj", "self", "method_name"]
    with Recorder.start(HEADER, keep=True) as recorder:
        recorder(0, 1, None, "pool.fail", fields)
    assert recorder.records[0].cause is None
    assert recorder.records[0].fields["cause_"] == "map lock"


class Named:
    name = "kernel_map"


@pytest.mark.parametrize(
    ("value", "scalar"),
    [
        (True, True),
        (2**53, 2**53),
        (0xFFFFFF8000008000, "0xffffff8000008000"),
        (float("nan"), "nan"),
        (b"\x01\xff", "01ff"),
        ((1, "a", Named()), "1, a, kernel_map"),
        ({"b", "a"}, "a, b"),
        (Named(), "kernel_map"),
        (object(), "object"),
    ],
)
def test_values_are_scalars_without_addresses(value: object, scalar: object) -> None:
    assert plain(value) == scalar


@pytest.mark.parametrize("seed", range(5))
def test_both_hosts_write_the_same_bytes(logs: Path, seed: int) -> None:
    inner = recorded(logs, "inner", seed)
    assert inner.count(b"\n") > 20
    assert recorded(logs, "trio", seed) == inner


def test_the_hash_seed_of_the_process_changes_no_byte(logs: Path) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from recorded import recorded\n"
        "sys.stdout.buffer.write(recorded(Path(sys.argv[1]), 'inner', 3))"
    )
    here = Path(__file__).parent
    paths = os.pathsep.join([str(here), str(here.parents[1])])
    written = {
        subprocess.run(
            [sys.executable, "-c", code, str(logs)],
            env=os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": paths},
            stdout=subprocess.PIPE,
            check=True,
        ).stdout
        for seed in ("0", "1", "12345")
    }
    assert len(written) == 1
    assert written == {recorded(logs, "inner", 3)}
