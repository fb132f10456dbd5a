"""What per-CPU caches of the pmap's pools change, as a page: ``docs/caches.md``.

``kmodel compare --all --json > F`` and ``kmodel compare --all --set pool_cache=1 --json > G``
(``--situation S`` will do), then ``python docs/caches.py F G``. Any number of such files.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from kmodel import fixes, situations

PAGE = Path(__file__).parent / "caches.md"
TOLD = ("contention", "oom-swap")
"""Of these each fix has a line; of the others only what differs is told."""

HEAD = """\
# What per-CPU caches of the pmap's pools change

On arm64 the two pools that `pmap_enter` takes from (`pted` and `vp`) have a cache on each CPU.
The cells of the matrix are searched without (`pool_cache=0`), but for `refill`, for which it
decides: there both are variants. Here each cell was searched with caches as well, two lists of one
item a CPU (`kmodel compare --all --set pool_cache=1`). The verdict is the worst of all variants,
*states* are those of the largest one (`>`: not searched to its end). Made by
`python docs/caches.py`, which says how.

No headline of the matrix changes but `refill`'s, if its variants without caches are left out. With
one fault a CPU little is ever put back: what `populate`, `refill` and `reserve` do not need after
all, and what an unmap or an exit frees. With two faults a CPU (these three fixes in `contention`,
lap and lock as in the first line of each table) the verdicts are the same, and so they are with
lists of two items.

"""

AFTER = """

In all situations, the properties that end otherwise:

"""

LAST = """

What a CPU puts back only that CPU finds. So nobody steals what a `refill` left; and so the tables
of a process that exits are of no use to a fault on another CPU. Who was not told that they came (a
lost wakeup) would be none the better for it (a deadlock), and `lock-retry`, which finds them
without caches, goes round for ever: see [findings](findings.md).
"""


def whole(variant: dict) -> str:
    states, complete = variant["evidence"]["states"], variant["evidence"]["complete"]
    return f"{states:,}" if complete else f"> {states:,}"


def told(verdict: dict) -> str:
    return verdict["kind"] or verdict["verdict"]


def read(files: list[str]) -> dict[tuple[str, str, bool], dict[str, dict]]:
    """Fix, situation, with caches? -> variant -> its verdict document."""
    found: dict[tuple[str, str, bool], dict[str, dict]] = {}
    for name in files:
        for cell in json.loads(Path(name).read_text())["cells"]:
            for variant in cell["variants"]:
                cached = variant["params"]["pool_cache"] > 0
                one = {k: v for k, v in variant["variant"].items() if k != "pool_cache"}
                word = " ".join(f"{key}={value}" for key, value in one.items())
                found.setdefault((cell["fix"], cell["situation"], cached), {})[word] = variant
    return found


def worst(variants: dict[str, dict], order: tuple[str, ...]) -> str:
    return min((told(one) for one in variants.values()), key=order.index)


def table(found: dict[tuple[str, str, bool], dict[str, dict]]) -> str:
    """A line a fix: verdict and largest variant, without and with."""
    from kmodel.explore.severity import SEVERITY

    order = (*SEVERITY, "inconclusive", "holds")
    lines = ["| fix |" + "".join(f" {place} | states | with caches | states |" for place in TOLD)]
    lines.append("|---|" + "---|--:|---|--:|" * len(TOLD))
    for fix in fixes.names():
        cells = [found[fix, place, cached] for place in TOLD for cached in (False, True)]
        parts = [
            f"{worst(cell, order)} | {max((whole(one) for one in cell.values()), key=_size)}"
            for cell in cells
        ]
        lines.append(f"| `{fix}` | " + " | ".join(parts) + " |")
    return "\n".join(lines)


def _size(text: str) -> int:
    return int(text.removeprefix("> ").replace(",", ""))


def differences(found: dict[tuple[str, str, bool], dict[str, dict]]) -> str:
    """A line for each property of a cell of which some variant ends otherwise."""
    lines = ["| situation | fix | property | without | with | variants |", "|---|" + "---|" * 5]
    for place in situations.names():
        for fix in fixes.names():
            same: dict[tuple[str, str, str], list[str]] = {}
            without, cached = (found.get((fix, place, some), {}) for some in (False, True))
            for word in (word for word in without if word in cached):
                both = [one[word]["properties"] for one in (without, cached)]
                for name in both[0]:
                    ends = [told(each[name]) for each in both]
                    if len(set(ends)) > 1 and "inconclusive" not in ends:
                        same.setdefault((name, *ends), []).append(word)
            lines += [
                f"| `{place}` | `{fix}` | {' | '.join(how)} | {len(words)} of {len(without)}: "
                f"{merged(words)} |"
                for how, words in same.items()
            ]
    return "\n".join(lines)


def unfinished(found: dict[tuple[str, str, bool], dict[str, dict]]) -> str:
    """The cells of which a variant with caches was not searched to its end."""
    cut = [
        f"`{fix}` in `{place}`"
        for (fix, place, cached), variants in found.items()
        if cached and not all(one["evidence"]["complete"] for one in variants.values())
    ]
    if not cut:
        return ""
    return f"\nSome variants were not searched to their end with caches: {', '.join(cut)}.\n"


def merged(variants: list[str]) -> str:
    """``a=1 b=2`` and ``a=1 b=3`` are ``a=1 b=2|3``."""
    values: dict[str, list[str]] = {}
    for word in " ".join(variants).split():
        name, _, value = word.partition("=")
        if value not in values.setdefault(name, []):
            values[name].append(value)
    return ", ".join(f"{name} {' or '.join(some)}" for name, some in values.items())


if __name__ == "__main__":
    found = read(sys.argv[1:])
    PAGE.write_text(HEAD + table(found) + AFTER + differences(found) + LAST + unfinished(found))
