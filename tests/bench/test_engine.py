"""The benchmark runs, and says what it is asked for."""

import json
import subprocess
import sys
from pathlib import Path

ENGINE = Path(__file__).with_name("engine.py")


def engine(*args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ENGINE), *args], capture_output=True, text=True, timeout=300
    )


def test_a_quick_look_at_every_part(tmp_path: Path) -> None:
    kept = tmp_path / "found.json"
    done = engine("--quick", "--json", str(kept))
    assert done.returncode == 0, done.stderr
    found = json.loads(kept.read_text())
    assert list(found) == ["step", "aim", "rates", "growth", "fuzz"]
    assert found["step"]["bare send"]["0"]["x bare send"] == 1
    (story,) = found["aim"].values()
    for name, aim in (("recorded", 7), ("transition", 5), ("transition, races judged", 7)):
        assert story[name]["met"] is (story[name]["x bare"] <= aim)
    assert all(row["stopped by"] == "10000 states" for row in found["growth"])
    assert done.stdout.count("ENDED BY THE LIMIT") == 2


def test_a_part_that_is_not_there_is_named() -> None:
    done = engine("speed")
    assert done.returncode == 2
    assert "no part 'speed'; there are step, aim, rates, growth, fuzz" in done.stderr
