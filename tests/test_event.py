"""What can be said to have happened."""

import ast
from pathlib import Path

import pytest
from worlds import run

import kmodel
from kmodel.event import EVENTS, mark, say
from kmodel.point import pause
from kmodel.world import World


def literals():
    """Every event that the model's own code names: (file, event)."""
    for path in sorted(Path(kmodel.__file__).parent.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
                continue
            named = [word.value for word in node.keywords if word.arg == "event"]
            if node.func.id == "say":
                named += node.args[:1]
            for value in named:
                if isinstance(value, ast.Constant):
                    yield path.name, value.value


def test_every_event_that_is_said_is_in_the_table():
    """The table is the schema of the log: nothing is said that it does not know."""
    assert [(where, event) for where, event in literals() if event not in EVENTS] == []


@pytest.mark.parametrize("event", EVENTS)
def test_an_event_is_a_noun_and_a_verb(event):
    """Names are flat and regular; only ``mark`` is a word of its own."""
    assert event == "mark" or event.count(".") == 1
    assert EVENTS[event]


def test_what_is_said_is_heard_in_order():
    """A listener gets the fields as they were given; marks are events too."""

    async def talk():
        say("page.free", pages="1 2")
        await pause()
        mark("the place")

    world = World()
    world.task("A", talk)
    said = [(event, fields) for _, event, fields in run(world).events]
    assert said == [
        ("task.start", {}),
        ("page.free", {"pages": "1 2"}),
        ("task.pause", {}),
        ("mark", {"text": "the place"}),
        ("task.end", {"result": None}),
    ]


def test_saying_something_to_nobody_costs_nothing():
    """Outside an observed run nobody listens, and that is no error."""
    say("page.free", pages="")
    mark("nobody hears this")
