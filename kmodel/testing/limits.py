"""What bounds a test, refused where it is written and not when it runs."""

from __future__ import annotations


def at_least(where: str, **given: tuple[int | None, int]) -> None:
    """Each a whole number, and its least. Raises ``ValueError``; nothing is said of ``None``."""
    for name, (value, least) in given.items():
        if value is not None and (type(value) is not int or value < least):
            raise ValueError(f"{where}: {name} must be a whole number from {least} on: {value!r}")


def above_zero(where: str, **given: float | None) -> None:
    """The same for amounts of time."""
    for name, value in given.items():
        if value is not None and not (type(value) in (int, float) and value > 0):
            raise ValueError(f"{where}: {name} must be above 0: {value!r}")
