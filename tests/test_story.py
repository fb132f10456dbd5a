"""Scenario files: what is read from them, and what is said about bad ones."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import attrs
import pytest
import stories

from kmodel import fixes, settings, story
from kmodel.case import Case
from kmodel.param import KernelParams
from kmodel.settings import UsageError
from kmodel.world import ScenarioError

OWN = '''"""Tells of parameters.

And more."""
from typing import Literal

from kmodel import Machine, parameter, scenario


@scenario
def own(
    m: Machine,
    many: int = parameter(2, 1, 5, "how many"),
    plain: int = 7,
    flag: bool = False,
    word: str = "hey",
    mode: Literal["fast", "slow"] = "fast",
) -> None:
    m.cpu("A", m.process().fault(0x20_0000))
'''


def load(folder: Path, text: str) -> story.Scenario:
    return story.load(stories.write(folder, text))


# loading


def test_every_packaged_scenario_loads_and_builds() -> None:
    """By name, with its defaults; its docstring's first line is its summary."""
    assert "contended_kernel_map" in story.names()
    for name in story.names():
        loaded = story.load(name)
        assert (loaded.name, loaded.story.splitlines()[0]) == (name, loaded.summary)
        own, kernel = settings.structure(loaded.own, loaded.needs({}), not loaded.bare)
        world = loaded.build(own, *(() if loaded.bare else (kernel, fixes.load("wait"))))
        assert any(task.obliged for task in world.tasks)


NEEDS = '''"""One fault on a small machine."""
from kmodel import Machine, scenario


@scenario(npages=20, lap="silent")
def needs(m: Machine) -> None:
    m.cpu("A", m.process().fault(0x20_0000))
'''


def test_a_story_can_say_what_it_needs_of_a_machine(tmp_path: Path) -> None:
    """Unless somebody says otherwise; and a token carries it."""
    path = stories.write(tmp_path, NEEDS)
    case = Case.of(path, {"npages": 30})
    assert (case.params["npages"], case.params["lap"]) == (30, "silent")
    assert case.differing() == {"npages": 30, "lap": "silent"}
    assert Case.of(path, {"lap": "wakes"}).differing() == {"npages": 20, "lap": "wakes"}
    wrong = stories.write(tmp_path, NEEDS.replace("npages=20", "nopages=20"))
    with pytest.raises(UsageError, match=r"nopages: no such parameter\. Did you mean 'npages'"):
        Case.of(wrong, {})


def test_a_file_of_ones_own_is_found_by_its_path(tmp_path: Path) -> None:
    """Its name is the path, so that a token finds it again."""
    path = stories.write(tmp_path, OWN)
    loaded = story.load(path)
    assert loaded.name == path
    assert loaded.summary == "Tells of parameters."


def test_the_digest_is_of_the_text(tmp_path: Path) -> None:
    """Another text, another digest; the same text, the same."""
    one = load(tmp_path, OWN).digest
    assert load(tmp_path, OWN).digest == one
    assert load(tmp_path, OWN + "\n# changed\n").digest != one


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("contended_kernel_mpa", "Did you mean 'contended_kernel_map'?"),
        ("zzz", "There are: contended_kernel_map"),
        ("nowhere.py", "No scenario file nowhere.py: there is no such file."),
        ("./no/such", "there is no such file"),
    ],
)
def test_what_is_no_scenario_is_a_usage_error(name: str, words: str) -> None:
    """A name gets a hint, a path none."""
    with pytest.raises(UsageError, match=re.escape(words)):
        story.load(name)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("def broken(:\n", "SyntaxError"),
        ("x = 1 / 0\n", "ZeroDivisionError: division by zero (story.py, line 1)"),
        ("import no_such_module_at_all\n", "ModuleNotFoundError"),
        ("x = 1\n", "has 0 functions marked @scenario, and needs one"),
        (
            OWN + "\n@scenario\ndef other(m): pass\n",
            "has 2 functions marked @scenario, and needs one",
        ),
        (OWN.replace("plain: int = 7", "plain: int"), "parameter 'plain' has no default"),
        (OWN.replace("plain: int = 7", "plain: float = 0.5"), "has type <class 'float'>; use int"),
    ],
)
def test_a_bad_file_is_an_error_of_the_scenario(tmp_path: Path, text: str, words: str) -> None:
    """The message names the file, and what to do."""
    text = text.replace(
        'many: int = parameter(2, 1, 5, "how many"),\n    plain: int,', "plain: int,"
    )
    with pytest.raises(ScenarioError) as refused:
        load(tmp_path, text)
    assert words in str(refused.value)
    assert "story.py" in str(refused.value)


def test_a_scenario_that_raises_while_it_is_built_says_where(tmp_path: Path) -> None:
    """The line of the user's own file, not of kmodel."""
    loaded = load(tmp_path, stories.build("{}['key']"))
    with pytest.raises(ScenarioError) as refused:
        loaded.build({}, KernelParams(), fixes.load("wait"))
    assert "failed while it was being built: KeyError: 'key' (story.py, line 8)" in str(
        refused.value
    )


def test_machines_that_cannot_be_built_say_which_limit(tmp_path: Path) -> None:
    """Too few pages for what boot takes: named, not a crash."""
    loaded = load(tmp_path, OWN)
    with pytest.raises(UsageError, match="kva_pages"):
        loaded.build(attrs.asdict(loaded.own()), KernelParams(kva_pages=0), fixes.load("wait"))


# parameters


@pytest.fixture
def own(tmp_path: Path) -> story.Scenario:
    return load(tmp_path, OWN)


def test_parameters_are_split_between_scenario_and_machine(own: story.Scenario) -> None:
    """Each gets its own, and defaults for the rest."""
    mine, kernel = settings.structure(own.own, {"many": 3, "npages": 32, "flag": True})
    assert mine == {"many": 3, "plain": 7, "flag": True, "word": "hey", "mode": "fast"}
    assert kernel == KernelParams(npages=32)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"many": 0}, "many: 0 is out of range: 1 to 5"),
        ({"many": 6}, "many: 6 is out of range: 1 to 5"),
        ({"many": "x"}, "many: 'x' is not a whole number"),
        ({"many": True}, "many: True is not a whole number"),
        ({"flag": 1}, "flag: 1 is not true or false"),
        ({"word": 3}, "word: 3 is not a word"),
        ({"mode": "middling"}, "mode: 'middling' is none of: fast, slow"),
        ({"lap": "loud"}, "lap: 'loud' is none of: wakes, silent"),
        ({"npages": 3}, "npages: 3 is out of range: 4 to 4096"),
        ({"plian": 3}, "plian: no such parameter. Did you mean 'plain'"),
        ({"reserve_kernel": 64}, "reserve_kernel (64) must be below npages (64)"),
        ({"swap_used": 200}, "swap_used (200) must not exceed swap_pages (100)"),
    ],
)
def test_a_bad_parameter_is_named(own: story.Scenario, given: dict[str, Any], words: str) -> None:
    """With its value and what is allowed."""
    with pytest.raises(UsageError, match=re.escape(words)):
        settings.structure(own.own, given)


def test_all_bad_parameters_are_named_at_once(own: story.Scenario) -> None:
    """Nobody likes to be told one by one."""
    given = {"many": 9, "plain": "x", "mode": "odd", "npages": 1, "lap": "loud", "nix": 1}
    with pytest.raises(UsageError) as refused:
        settings.structure(own.own, given)
    for name in given:
        assert f"  {name}: " in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1 + len(given)


def test_words_become_values() -> None:
    """Numbers in any base, truth values, and words."""
    sets = ("a=1", "b=0x20", "c=true", "d=False", "e=wake-all", "f=-3", "g=x=y", "h=")
    assert settings.parse_sets(sets) == {
        "a": 1,
        "b": 32,
        "c": True,
        "d": False,
        "e": "wake-all",
        "f": -3,
        "g": "x=y",
        "h": "",
    }


def test_all_words_that_set_nothing_are_named_at_once() -> None:
    with pytest.raises(UsageError, match="--set =3, --set foo: write it"):
        settings.parse_sets(("=3", "cpus=1", "foo"))


@pytest.mark.parametrize(
    ("given", "lacking"),
    [
        ({"kva_pages": 1}, "kva_pages (1) is less than the 2"),
        ({"kva_pages": 3, "vp_stock": 1}, "kva_pages (3) is less than the 4"),
        ({"pool_memory": "intrsafe", "kmem_pages": 1}, "kmem_pages (1) is less than the 2"),
        ({"kernel_pmap": True, "kva_boot": 0}, "kva_boot (0) is less than the 2"),
        ({"npages": 6, "reserve_kernel": 0, "reserve_pagedaemon": 0}, "npages (6) is less than"),
    ],
)
def test_a_machine_without_room_for_one_process_is_refused(
    own: story.Scenario, given: dict[str, Any], lacking: str
) -> None:
    """Addresses for less than one table page, with every other mistake, before boot."""
    with pytest.raises(UsageError) as refused:
        settings.structure(own.own, {**given, "many": 9})
    assert lacking in str(refused.value)
    assert "many: 9" in str(refused.value)


def test_sizes_that_follow_from_one_that_cannot_be_are_not_blamed(tmp_path: Path) -> None:
    """Only what was given is wrong."""
    fitting = load(tmp_path, FITTING)
    assert fitting.needs({"cpus": 10**20}) == fitting.needs({"cpus": -1}) == {}
    assert fitting.needs({"cpus": 2}) == {"anon_stock": 8}


@pytest.mark.parametrize("word", ["", "cpus", "=3", "="])
def test_a_word_that_sets_nothing_is_a_usage_error(word: str) -> None:
    """It has to be NAME=VALUE."""
    with pytest.raises(UsageError, match="NAME=VALUE"):
        settings.parse_sets((word,))


FITTING = '''"""One fault on a machine that has anons for it."""
from kmodel import Machine, parameter, scenario


@scenario(anon_stock=lambda cpus: 4 * cpus)
def fitting(m: Machine, cpus: int = parameter(1, 1, 4)) -> None:
    m.cpu("A", m.process().fault, 0x1000)
'''


def test_what_a_story_needs_of_a_machine_may_follow_from_its_own_parameters(tmp_path: Path) -> None:
    """Then no token carries it, unless somebody sets it; wrong values are refused as ever."""
    path = tmp_path / "fitting.py"
    path.write_text(FITTING)
    case = Case.of(str(path), {"cpus": 3})
    assert case.params["anon_stock"] == 12
    assert case.differing() == {"cpus": 3}
    assert Case.of(str(path), {"cpus": 3, "anon_stock": 4}).differing() == {
        "cpus": 3,
        "anon_stock": 4,
    }
    with pytest.raises(UsageError, match="cpus"):
        Case.of(str(path), {"cpus": "many"})


def test_nothing_is_short_but_the_lock_however_many_fault() -> None:
    """The thread's scenario brings the stocks for its bounds, and those of two faults are what
    they are without it."""
    for cpus in range(1, 7):
        for faults in range(1, 5):
            case = Case.of("contended_kernel_map", {"cpus": cpus, "faults": faults})
            kernel = case.kernel
            assert kernel is not None
            case.build()
            if cpus * faults <= 2:
                assert kernel == KernelParams()
            assert kernel.anon_stock >= cpus * faults + cpus
            assert kernel.pted_stock >= cpus * faults + cpus
            assert kernel.kva_pages >= 2 * (cpus * faults + 1 + cpus)
