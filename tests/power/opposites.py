"""The model made to do the opposite of a fact in one place: does the fact's own test notice?

``opposites.diff`` has a block for each: the test, the file below ``kmodel/``, and the lines
that change there, with as many around them as make the place the only one. A test that passes
all the same does not establish its fact. A minute or two; words choose some:

    python tests/power/opposites.py [WORD ...]
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

import attrs
from mutants import Mutant, judge

FILE: Final = Path(__file__).with_name("opposites.diff")


@attrs.frozen
class Opposite:
    """``test`` is to fail on the model with the edit ``mutant``."""

    test: str
    mutant: Mutant


def read(text: str) -> tuple[Opposite, ...]:
    """The blocks of ``opposites.diff``."""
    return tuple(map(_block, text.rstrip("\n").split("\n\n")))


def _block(text: str) -> Opposite:
    test, file, *lines = text.splitlines()
    old, new = (
        "".join(f"{line[1:]}\n" for line in lines if line[0] in signs) for signs in (" -", " +")
    )
    return Opposite(test, Mutant(test, file.removeprefix("--- "), old, new))


OPPOSITES: Final = read(FILE.read_text())


def main(words: list[str]) -> int:
    chosen = [one for one in OPPOSITES if not words or any(word in one.test for word in words)]
    unnoticed = 0
    for one in chosen:
        noticed = judge(one.mutant, (one.test,)).caught
        unnoticed += not noticed
        print("noticed " if noticed else "UNNOTICED", one.test, one.mutant.file, flush=True)
    print(f"{len(chosen) - unnoticed} of {len(chosen)} noticed")
    return 1 if unnoticed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
