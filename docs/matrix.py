"""The README's table of verdicts: ``kmodel compare --all --json > F; python docs/matrix.py F``.

Several files are one table, so that situations can be judged one after the other.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from kmodel import fixes, situations


def table(documents: list[dict]) -> str:
    """A row a fix, a column a situation; ``>=`` where a variant was not searched to its end."""
    said = {}
    for document in documents:
        for cell in document["cells"]:
            whole = all(variant["evidence"]["complete"] for variant in cell["variants"])
            told = cell["kind"] or cell["verdict"]
            said[cell["fix"], cell["situation"]] = (
                told if whole or told == "inconclusive" else f">= {told}"
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
    return "\n".join(lines)


if __name__ == "__main__":
    print(table([json.loads(Path(name).read_text()) for name in sys.argv[1:]]))
