"""The pictures of the README, made anew: ``python docs/pictures.py``.

Each is what a command of ``kmodel log`` shows of one recorded run: the timeline as it writes
it, and what the others print, as a terminal would show it.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from xml.sax.saxutils import escape

DOCS = Path(__file__).parent
RECORDED = "run contended_kernel_map --fix wait --seed 7"
RUN = "contended_kernel_map-wait-seed7-1"

TERMINAL = {
    "timeline-terminal.svg": f"log timeline {RUN} --since 50 --until 95",
}

STYLE = """svg{--bg:#fbfcfd;--ink:#1c2430;--edge:#dfe4ea;--soft:#64707f;--bad:#b3261e}
@media (prefers-color-scheme:dark){
svg{--bg:#12161c;--ink:#d8dfe7;--edge:#2b333d;--soft:#8b97a4;--bad:#ff8a80}}
rect{fill:var(--bg);stroke:var(--edge)}
text{font:12px "DejaVu Sans Mono",Menlo,Consolas,monospace;fill:var(--ink);white-space:pre}
.soft{fill:var(--soft)}.bad{fill:var(--bad)}"""

LETTER, LINE, EDGE = 7.23, 15, 12


def kmodel(command: str, where: str) -> str:
    """What a command prints, run in a directory of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "kmodel", *shlex.split(command)],
        capture_output=True,
        text=True,
        check=True,
        cwd=where,
        env=os.environ | {"PYTHONPATH": str(DOCS.parent), "PYTHONUTF8": "1"},
    )
    return done.stdout


def terminal(command: str, printed: str) -> str:
    """Lines of text as a picture: a terminal's, light or dark."""
    lines = [f"$ kmodel {command}", *printed.splitlines()]
    width = max(map(len, lines)) * LETTER + 2 * EDGE
    height = len(lines) * LINE + 2 * EDGE
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height}" '
        f'viewBox="0 0 {width:.0f} {height}" role="img">',
        f"<title>{escape(lines[0])}</title><style>{STYLE}</style>",
        f'<rect x=".5" y=".5" width="{width - 1:.0f}" height="{height - 1}" rx="6"/>',
    ]
    for number, line in enumerate(lines):
        # a row of the view begins with its step, the legend does not
        bad = line.startswith(" ") and set("✗↻!") & set(line)
        kind = ' class="soft"' if not number else ' class="bad"' if bad else ""
        size = f' textLength="{len(line) * LETTER:.1f}"' if line else ""
        y = EDGE + LINE * number + 11
        parts.append(
            f'<text{kind} x="{EDGE}" y="{y}"{size} xml:space="preserve">{escape(line)}</text>'
        )
    return "\n".join([*parts, "</svg>\n"])


def made() -> dict[str, str]:
    """The text of each picture by its name."""
    with tempfile.TemporaryDirectory() as where:
        kmodel(RECORDED, where)
        kmodel(f"log timeline {RUN} --svg timeline.svg", where)
        found = {"timeline.svg": (Path(where) / "timeline.svg").read_text(encoding="utf-8")}
        for name, command in TERMINAL.items():
            found[name] = terminal(command, kmodel(command, where))
    return found


if __name__ == "__main__":
    for name, text in made().items():
        (DOCS / name).write_text(text, encoding="utf-8")
