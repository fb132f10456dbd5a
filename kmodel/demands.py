"""What a machine is held against: properties that a story or its parameters ask for by name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from kmodel.fault import Kernel, Space
from kmodel.param import KernelParams
from kmodel.properties import PROPERTIES
from kmodel.settings import UsageError, did_you_mean
from kmodel.world import World


def add_check(
    name: str, world: World, kernel: Kernel, spaces: Sequence[Space], most: int | None = None
) -> None:
    """Have ``world`` checked for the property called ``name``, which has a test of states,
    with the bound ``most`` if it has one. ``spaces`` may still get more. ``UsageError`` where
    nothing in this machine could break it."""
    found = PROPERTIES[name]
    test = found.test
    if test is None:
        raise ValueError(f"{name!r} needs no check of its own: it is always judged")
    lacks = found.lacks(kernel.p)
    if lacks:
        raise UsageError(
            f"{name!r} would hold of this machine whatever it does: to be broken it takes {lacks}. "
            "Say so with --set, or in the story's @scenario(...)."
        )
    if most is not None and (found.most < 0 or most < 0):
        raise ValueError(f"{name!r}: most={most}, and its own bound is {found.most} (-1: none)")
    prepare(name, kernel, spaces, most)
    world.check(name, lambda: test(kernel, tuple(spaces)), when=found.when)


def asked_for(p: KernelParams) -> Iterator[tuple[str, int | None]]:
    """The properties that the machine's parameters ask for, with their bounds. ``UsageError``
    for one that is not there, or needs no asking."""
    for name in filter(None, (name.strip() for name in p.must.split(","))):
        if name not in PROPERTIES:
            asked = [name for name, one in PROPERTIES.items() if one.test is not None]
            raise UsageError(f"must={name}: no such property.{did_you_mean(name, asked)}")
        if PROPERTIES[name].test is None:
            raise UsageError(f"must={name}: that is judged always, and need not be asked for.")
        bound = p.most if p.most >= 0 and PROPERTIES[name].most >= 0 else None
        yield name, bound


def prepare(name: str, kernel: Kernel, spaces: Sequence[Space], most: int | None) -> None:
    """Have noted what the property needs to know; again if there are more processes."""
    found = PROPERTIES[name]
    if found.prepare is not None:
        found.prepare(kernel, tuple(spaces), found.most if most is None else most)
