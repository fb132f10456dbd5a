"""What happens several times in a row to one thread, and is counted up to a bound."""

from worlds import alone, at_end, search

from kmodel.point import pause
from kmodel.streak import Streak
from kmodel.world import World


def streak(most):
    world = World()
    with world:
        counted = Streak("sneezes")
    if most is not None:
        counted.bound(most)
    return world, counted


def told(counted):
    """What the check is told: how often, of what."""
    found = counted.broken()
    return found and found[1:]


def test_a_streak_is_counted_to_one_more_than_its_bound():
    """More would be states that say nothing new."""
    world, counted = streak(2)

    async def sneeze():
        seen = []
        for _ in range(5):
            await pause()
            counted.again()
            seen.append((counted.counts[0][2], told(counted)))
        return seen

    assert alone(world, sneeze) == [(1, None), (2, None), *[(3, (0, 3))] * 3]


def test_nothing_is_counted_unless_somebody_asks():
    world, counted = streak(None)

    async def sneeze():
        await pause()
        counted.again()
        return counted.counts, told(counted)

    assert alone(world, sneeze) == ((), None)


def test_a_streak_ends_where_something_else_happens():
    """Of one thing only, unless it happens again."""
    world, counted = streak(1)

    async def sneeze():
        await pause()
        counted.again(7)
        counted.again(8)
        counted.over(7)
        counted.again(7)
        seen = [told(counted)]
        counted.again(8)
        seen.append(told(counted))
        counted.over(8)
        return [*seen, told(counted)]

    assert alone(world, sneeze) == [None, (8, 2), None]


def test_two_threads_have_a_streak_each():
    """In whatever order they go; and one of them can end that of both."""
    world, counted = streak(1)

    async def sneeze(times):
        for _ in range(times):
            await pause()
            counted.again()

    world.task("A", sneeze, 1)
    world.task("B", sneeze, 1)
    assert at_end(search(world), lambda: told(counted)) == {None}

    world, counted = streak(1)

    async def hush():
        await pause()
        counted.over()
        await pause()
        counted.over(for_all=True)

    world.task("A", sneeze, 2)
    world.task("B", hush)
    assert at_end(search(world), lambda: told(counted)) == {None, (0, 2)}


def test_what_is_larger_than_the_last_time_is_noticed():
    world, counted = streak(5)

    async def sneeze():
        seen = []
        for size in (3, 3, 1, 2):
            await pause()
            counted.again(0, size)
            seen.append(counted.grown)
        return seen

    assert alone(world, sneeze) == [False, False, False, True]


def test_the_larger_of_two_bounds_is_the_bound():
    """So that no state is missing for the one who asked for more."""
    _, counted = streak(3)
    counted.bound(1)
    assert counted.most == 3
