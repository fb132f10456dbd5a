"""Expressions only look, and say what is wrong with them."""

from __future__ import annotations

import time
from typing import Any

import pytest

from kmodel.case import Case
from kmodel.explore.execution import Execution
from kmodel.explore.snapshot import snapshot
from kmodel.log.expression import Expression, ExpressionError
from kmodel.log.names import Names, Undefined, told
from kmodel.world import World


@pytest.fixture(scope="module")
def world() -> World:
    return Case.of("contended_kernel_map", {}, "wait").build()


@pytest.fixture(scope="module")
def names(world: World) -> Names:
    world.seal()
    return Names(world)


RIGHT: dict[str, Any] = {
    "1 + 2 * 3 == 7 and not False": True,
    "kernel_map.writer": None,
    "kernel_map.writer is None": True,
    'kernel_map.writer == "K"': False,
    "len(kernel_map.readers)": 0,
    "p0.pmap.resident_count": 0,
    "p0.pmap.pm_mtx.owner": None,
    'pool("vp").nout == 1': True,
    'pool("vp pool").nout == 1': True,
    'the("vp pool") is pool("vp")': True,
    'wakeall("kernel_map") is rwlock("kernel_map")': True,
    'mutex("vp.pr_mtx").ipl > 0': True,
    'cpu("A").held': (),
    "bits(physmem0.free)": 57,
    "kernelmemory0.backing[0] != None": True,
    "len(kernelmemory0.backing)": 24,
    "sum(one != None for one in kernelmemory0.backing)": 1,
    "[i * i for i in (1, 2, 3) if i != 2]": (1, 9),
    "max(a + b for a, b in ((1, 2), (3, 4)))": 7,
    "any(any(a == b for b in (1, 2)) for a in (5, 2))": True,
    "3 in (1, 2, 3) and 'a' in 'cat' and 4 not in (1,)": True,
    "1 if p0.pmap.exact else 2": 1,
    "p0.map.entries[0].amap.slots[512]": None,
    "kernel0.p": None,
    "-(2 << 3) % 5 | 8": 12,
    "min(3, 1, 2) < max((4, 5)) <= 5": True,
}


@pytest.mark.parametrize("text", RIGHT)
def test_what_can_be_asked(names: Names, text: str) -> None:
    found = Expression(text, names).value()
    if text != "kernel0.p":
        assert found == RIGHT[text]
    assert told(found)


WRONG = {
    "kernel_mop.writer": "Did you mean kernel_map",
    "nothing": "There are: amap0",
    'pool("x").nout': "there is no pool called 'x'.*anonpl pool",
    'pol("vp")': "no function 'pol'. Did you mean pool",
    "pool(1 + 1)": "the name in quotes",
    "p0.nope": "p0 has no 'nope': it has name, kernel",
    "p0.fault": "p0 has no 'fault'",
    "p0._oid": "begins with '_'",
    "p0.__class__": "begins with '_'",
    "p0.pmap.__init__.__globals__": "begins with '_'",
    "p0.fault(1)": "nothing of the model is run",
    "physmem0.nfree()": "nothing of the model is run",
    "().__class__": "begins with '_'",
    "__import__('os')": "no function '__import__'",
    "open('/etc/passwd')": "no function 'open'",
    "eval('1')": "no function 'eval'",
    "getattr(p0, 'fault')": "no function 'getattr'",
    "(lambda: 1)()": "nothing of the model is run",
    "lambda: 1": "can only look",
    "(x := 1)": "can only look",
    "p0.x = 1": "no expression of Python",
    "import os": "no expression of Python",
    "f'{p0}'": "can only look",
    "{1: 2}": "can only look",
    "{p0.name}": "can only look",
    "p0.name[1:2]": "can only look",
    "await p0": "can only look",
    "2 ** 3": "no \\*\\*",
    "1.5": "numbers are whole",
    "...": "numbers are whole",
    "len(*(1,))": "can only look",
    "sum((1,), start=2)": "nothing of the model is run",
    "[a for a in (1,) for b in (1,)]": "one 'for' is the most",
    "[1 for p0.name in (1,)]": "not allowed after 'for'",
    "": "no expression",
    "(" * 999: "cannot be read|no expression",
    "-" * 990 + "1": "cannot be read|no expression",
    "1" * 1001: "1000 are the most",
    "a\0b": "cannot be read|no expression",
}


@pytest.mark.parametrize("text", WRONG, ids=lambda text: text[:30])
def test_what_cannot_be_asked_is_refused_with_a_reason(names: Names, text: str) -> None:
    with pytest.raises(ExpressionError, match=WRONG[text]):
        Expression(text, names).check()


UNDEFINED = {
    "kernel_map.writer.name": "None has no 'name'",
    "kernelmemory0.backing[99]": "index 99 is outside of 24",
    "kernelmemory0.backing['a']": "no index",
    "1 // 0": "zero",
    "len(1)": "len",
    "None < 1": "not supported",
    "min(())": "empty",
    "'a' * 1000000": "whole numbers are wanted",
    "1 << 100000": "more than 4096 bits",
    "(1 << 4000) * (1 << 4000)": "more than 4096 bits",
    "kernelmemory0.backing + 1": "whole numbers are wanted",
    "p0[0]": "p0 has no items",
    "5 in p0": "no len",
    "any(a for a in physmem0.npages)": "no len",
    "bits('a')": "bits of str",
}


@pytest.mark.parametrize("text", UNDEFINED)
def test_what_has_no_value_just_now_says_so(names: Names, text: str) -> None:
    asked = Expression(text, names)
    asked.check()
    with pytest.raises(Undefined, match=UNDEFINED[text]):
        asked.value()


def test_an_expression_cannot_run_for_long(names: Names) -> None:
    deep = "1"
    for variable in "abcdefgh":
        deep = f"sum({deep} for {variable} in kernelmemory0.backing)"
    began = time.process_time()
    with pytest.raises(Undefined, match="turns of a loop"):
        Expression(deep, names).value()
    assert time.process_time() - began < 10


def test_looking_changes_nothing(world: World, names: Names) -> None:
    execution = Execution(world)
    before = snapshot(execution), {k: dict(v.__dict__) for k, v in names.things.items()}
    for text in [*RIGHT, *UNDEFINED]:
        try:
            told(Expression(text, names).value())
        except Undefined:
            pass
    after = snapshot(execution), {k: dict(v.__dict__) for k, v in names.things.items()}
    execution.close()
    assert before == after


def test_every_name_that_is_listed_can_be_written(names: Names) -> None:
    for name, thing in names.things.items():
        assert Expression(names.how(name), names).value() is thing


def test_two_objects_of_one_name_are_told_apart() -> None:
    from kmodel.sync.mutex import Mutex

    with World() as world:
        one, two = Mutex("m"), Mutex("m")
    names = Names(world)
    assert Expression("m", names).value() is one
    assert Expression('mutex("m#2")', names).value() is two


def test_a_thread_is_a_name_in_quotes(world: World, names: Names) -> None:
    task = world.tasks[0].name
    with pytest.raises(ExpressionError, match=f'is a thread: write its name in quotes, "{task}"'):
        Expression(f"{task}.held", names)
    assert Expression(f'cpu("{task}").held', names).value() == ()
