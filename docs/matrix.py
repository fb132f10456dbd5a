"""The README's table of verdicts, from what one long run found:

    kmodel compare --all --max-seconds 7200 --json > F
    python docs/matrix.py F            prints it
    python docs/matrix.py --write F    puts it into the README

Several files are one table, so that situations can be judged one after the other.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

from kmodel import fixes, situations

README = Path(__file__).parent.parent / "README.md"
TABLE = re.compile(r"^\| \|(?: [a-z-]+ \|)+\n(?:\|.*\n)+", re.MULTILINE)
"""The one table there whose first column has no name."""


def table(documents: list[dict]) -> str:
    """A row a fix, a column a situation; ``>=`` where a variant was not searched to its end."""
    said = {}
    for document in documents:
        for cell in document["cells"]:
            whole = all(variant["evidence"]["complete"] for variant in cell["variants"])
            told = cell["kind"] or cell["verdict"]
            said[cell["fix"], cell["situation"]] = (
                told if whole or cell["verdict"] != "violated" else f">= {told}"
            )
        for cell in document.get("left_out", []):
            said.setdefault((cell["fix"], cell["situation"]), "-")
    places = [name for name in situations.names() if any(name == place for _, place in said)]
    rows = [fix for fix in fixes.names() if any(fix == name for name, _ in said)]
    lines = ["| |" + "".join(f" {place} |" for place in places), "|---" * (len(places) + 1) + "|"]
    lines += [
        f"| `{fix}` |" + "".join(f" {said.get((fix, place), '')} |" for place in places)
        for fix in rows
    ]
    return "\n".join(lines) + "\n"


def main(words: list[str]) -> int | str:
    names = [word for word in words if word != "--write"]
    if not names:
        return __doc__ or ""
    made = table([json.loads(Path(name).read_text()) for name in names])
    if "--write" not in words:
        print(made, end="")
        return 0
    text, found = TABLE.subn(lambda _: made, README.read_text())
    if found != 1:
        return f"README.md has {found} tables of verdicts, and must have one"
    README.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
