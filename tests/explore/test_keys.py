"""States kept small: nothing of them is lost, and what is the same is kept once."""

import random
from array import array

from kmodel.explore.keys import NODE, PART, Keys, place

LOCATIONS, TASKS = 5, 3


def some_states(number: int) -> list[array]:
    dice = random.Random(number)
    codes = (0, 1, 0xFFFE, 0xFFFF)
    found = {tuple(dice.choice(codes) for _ in range(LOCATIONS + TASKS)) for _ in range(number)}
    return [array("H", state) for state in sorted(found)]


def test_every_state_comes_back_as_it_was():
    keys, states = Keys(LOCATIONS, TASKS), some_states(400)
    for number, state in enumerate(states):
        assert keys.add(keys.pack(state)) == number
    assert [keys.state(number) for number in range(len(states))] == states
    assert keys[:] == [state.tobytes() for state in states]
    assert keys != Keys(LOCATIONS, TASKS)
    assert [keys.number[keys.pack(state)] for state in states] == list(range(len(states)))


def test_different_states_have_different_numbers():
    keys, states = Keys(LOCATIONS, TASKS), some_states(400)
    assert len({keys.pack(state) for state in states}) == len(states)


def test_a_shared_part_is_kept_once():
    keys = Keys(LOCATIONS, TASKS)
    one, other = array("H", [7] * LOCATIONS + [1, 2, 3]), array("H", [7] * LOCATIONS + [3, 2, 1])
    assert keys.pack(one) & PART == keys.pack(other) & PART
    assert len(keys.parts) == 1


def test_a_step_adds_the_same_wherever_it_is_taken_from():
    keys = Keys(LOCATIONS, TASKS)
    shared = array("H", [7] * LOCATIONS)
    steps = [
        keys.pack(shared + array("H", [after, other, 9]))
        - keys.pack(shared + array("H", [4, other, 9]))
        for after, other in ((6, 0), (6, NODE))
    ]
    assert steps == [2 << place(0)] * 2
