"""Makes the lines that are pinned: ``python tests/log/pinned.py > tests/log/events-1.txt``."""

from __future__ import annotations

from kmodel.log.vocabulary import words


def lines() -> list[str]:
    """Each event with its fields: ``lock.try obj:text result:flag write:flag``."""
    return [
        " ".join(
            [
                word.event,
                *(f"{f.name}{'' if f.required else '?'}:{f.type}" for f in word.fields),
            ]
        )
        for word in words()
    ]


if __name__ == "__main__":
    print("\n".join(lines()))
