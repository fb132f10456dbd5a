"""Random programs for trying the explorer, as data, and the code that runs them.

A program is nested tuples. Its statements touch several shared objects a step,
keep what they read in local variables and use it later, call procedures, retry,
take every kind of lock, sleep, panic and deadlock. ``fine`` runs the same program
with a point before every single access.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import cache
from random import Random
from typing import Any, Final

import attrs

from kmodel.panic import Panic
from kmodel.point import Loop, pause, procedure
from kmodel.shared import fields, shared
from kmodel.sync.channel import Channel
from kmodel.sync.mutex import Mutex
from kmodel.sync.rwlock import POLICIES, RwLock, rwlock
from kmodel.table import Sparse, Stamp, Table
from kmodel.world import World

Tree = tuple[Any, ...]
LOCALS = 3


@shared
class Item:
    """One of everything that a field may hold."""

    name: Final[str]
    count: int
    flag: bool
    other: Item | None
    pair: tuple[Any, ...]

    def __init__(self, name: str) -> None:
        self.name, self.count, self.flag, self.other, self.pair = name, 0, False, None, ()


@attrs.frozen
class Program:
    """``tasks`` and ``procedures`` are bodies; ``obliged`` says which tasks must end, and
    ``own`` whether each task begins with an item of its own in its first local variable."""

    tasks: tuple[Tree, ...]
    procedures: tuple[tuple[bool, Tree], ...]
    obliged: tuple[bool, ...]
    policy: str
    tried: bool
    stamped: bool
    own: bool = False


@attrs.frozen
class Things:
    """The shared objects of one world."""

    items: tuple[Item, ...]
    table: Table[Any]
    sparse: Sparse[Any]
    mutexes: tuple[Mutex, ...]
    lock: RwLock
    channel: Channel
    stamp: Stamp


class Return(Exception):
    """The body of a task or procedure ends here."""


class Trouble(Exception):
    """An ordinary exception, raised and caught by programs."""


class Interpreter:
    """Runs bodies on the objects of one world. Nothing in it changes."""

    def __init__(self, program: Program, things: Things, fine: bool) -> None:
        self.things, self.fine, self.stamped = things, fine, program.stamped
        self.procedures = tuple(
            self._procedure(number, plain, body)
            for number, (plain, body) in enumerate(program.procedures)
        )

    def _procedure(self, number: int, plain: bool, body: Tree) -> Callable[..., Any]:
        async def run_async(*args: Any) -> Any:
            return await self.body(body, [*args, *[None] * LOCALS][:LOCALS])

        def run_now(*args: Any) -> Any:
            return now(self.body(body, [*args, *[None] * LOCALS][:LOCALS]))

        function: Any = run_now if plain and not self.fine else run_async
        function.__qualname__ = f"procedure{number}"
        return procedure(function)

    async def task(self, body: Tree, *own: Item) -> None:
        await self.body(body, [*own, *[None] * LOCALS][:LOCALS])

    async def body(self, body: Tree, env: list[Any]) -> Any:
        try:
            await self.block(body, env)
        except Return as end:
            return end.args[0]
        return env[0]

    async def block(self, body: Tree, env: list[Any]) -> None:
        for statement in body:
            await getattr(self, "do_" + statement[0])(env, *statement[1:])

    async def _pause(self) -> None:
        if self.fine:
            await pause()

    # expressions

    async def value(self, tree: Tree, env: list[Any]) -> Any:
        kind = tree[0]
        if kind == "const":
            return tree[1]
        if kind == "local":
            return env[tree[1]]
        if kind in ("field", "through", "cell", "slot"):
            return await self.read(tree)
        left = await self.value(tree[1], env)
        if kind == "not":
            return not left
        if kind == "is_bool":
            return type(left) is bool
        right = await self.value(tree[2], env)
        if kind == "equal":
            return left == right
        if kind == "pair":
            return (flat(left), flat(right))
        return (number(left) + number(right)) % 5

    async def read(self, place: Tree) -> Any:
        things, kind = self.things, place[0]
        await self._pause()
        if kind == "cell":
            return things.table[place[1]]
        if kind == "slot":
            return things.sparse[place[1]]
        item = things.items[place[1]]
        if kind == "through":
            item = item.other or item
            await self._pause()
        return getattr(item, place[2])

    async def write(self, place: Tree, value: Any) -> None:
        things, kind = self.things, place[0]
        await self._pause()
        if kind == "cell":
            things.table[place[1]] = value
        elif kind == "slot":
            await self._write_slot(place[1], value)
        else:
            item = things.items[place[1]]
            if kind == "through":
                item = item.other or item
                await self._pause()
            setattr(item, place[2], value)

    async def _write_slot(self, index: int, value: Any) -> None:
        sparse = self.things.sparse
        if not self.fine:
            sparse[index] = value
            return
        rest = [cell for cell in sparse.used if cell[0] != index]
        if value is not None:
            rest.append((index, value))
        await pause()
        sparse.used = tuple(sorted(rest, key=lambda cell: cell[0]))

    # statements

    async def do_set(self, env: list[Any], place: Tree, tree: Tree) -> None:
        value = await self.value(tree, env)
        if place[0] == "local":
            env[place[1]] = value
        else:
            await self.write(place, fit(place, value, self.things))

    async def do_increment(self, env: list[Any], place: Tree) -> None:
        await self.write(place, number(await self.read(place)) + 1)

    async def do_forget(self, env: list[Any], local: int) -> None:
        env[local] = None

    async def do_if(self, env: list[Any], test: Tree, then: Tree, other: Tree) -> None:
        await self.block(then if await self.value(test, env) else other, env)

    async def do_pause(self, env: list[Any]) -> None:
        await pause()

    async def do_return(self, env: list[Any], tree: Tree) -> None:
        raise Return(await self.value(tree, env))

    async def do_raise(self, env: list[Any]) -> None:
        raise Trouble

    async def do_catch(self, env: list[Any], body: Tree, handler: Tree) -> None:
        try:
            await self.block(body, env)
        except Trouble:
            await self.block(handler, env)

    async def do_panic(self, env: list[Any], test: Tree, what: str) -> None:
        if await self.value(test, env):
            raise Panic(what)

    async def do_call(self, env: list[Any], which: int, local: int, *args: Tree) -> None:
        values = [await self.value(arg, env) for arg in args]
        result = self.procedures[which](*values)
        env[local] = await result if hasattr(result, "__await__") else result

    async def do_retry(self, env: list[Any], turns: int, body: Tree, until: Tree) -> None:
        loop, turn = Loop(), 0
        while turn < turns:
            loop.head(turn, *env)
            await self.block(body, env)
            if await self.value(until, env):
                break
            turn += 1

    async def do_with(self, env: list[Any], which: int, body: Tree) -> None:
        mutex = self.things.mutexes[which]
        await mutex.enter()
        await self.block(body, env)
        await mutex.leave()

    async def do_release(self, env: list[Any], which: int) -> None:
        await self.things.mutexes[which].leave()

    async def do_try(self, env: list[Any], which: int, body: Tree, other: Tree) -> None:
        mutex = self.things.mutexes[which]
        if await mutex.enter_try():
            await self.block(body, env)
            await mutex.leave()
        else:
            await self.block(other, env)

    async def do_lock(self, env: list[Any], write: bool, body: Tree) -> None:
        await self.things.lock.enter(write)
        await self.block(body, env)
        await self.things.lock.exit()

    async def do_try_lock(self, env: list[Any], write: bool, body: Tree, other: Tree) -> None:
        if await self.things.lock.enter_try(write):
            await self.block(body, env)
            await self.things.lock.exit()
        else:
            await self.block(other, env)

    async def do_sleep(self, env: list[Any], which: int, relock: bool) -> None:
        await self.things.channel.msleep(self.things.mutexes[which], relock=relock)

    async def do_wakeup(self, env: list[Any], one: bool) -> None:
        await (self.things.channel.wakeup_one() if one else self.things.channel.wakeup())

    async def do_bump(self, env: list[Any]) -> None:
        await self._pause()
        self.things.stamp.bump()

    async def do_copy(self, env: list[Any]) -> None:
        await self._pause()
        self.things.stamp.copy()

    async def do_same(self, env: list[Any], local: int) -> None:
        stamp = self.things.stamp
        await self._pause()
        env[local] = stamp.same()


def now(coro: Coroutine[Any, Any, Any]) -> Any:
    """What ``coro`` returns; it must not reach a point."""
    try:
        coro.send(None)
    except StopIteration as end:
        return end.value
    raise AssertionError("a point inside a plain procedure")


def number(value: Any) -> int:
    return value if isinstance(value, int) else 3


def flat(value: Any) -> Any:
    return len(value) if isinstance(value, tuple) else value


def fit(place: Tree, value: Any, things: Things) -> Any:
    """``value``, made to fit the kind of field that ``place`` is."""
    field = place[2] if place[0] in ("field", "through") else ""
    if field == "flag":
        return bool(value)
    if field == "pair":
        return value if isinstance(value, tuple) else (value,)
    if field == "other":
        return value if isinstance(value, Item) else things.items[number(value) % 2]
    return flat(value)


class Generator:
    """Makes programs; every choice comes from ``random``.

    Without ``tries`` nothing is tried, so that order comes from locks alone. With
    ``separated`` a point stands before each loop and procedure body, and before the
    body of each task if one is a background task.
    """

    def __init__(self, random: Random, tries: bool = True, separated: bool = False) -> None:
        self.random, self.tries, self.separated = random, tries, separated
        self.in_task = True
        self.plain = False
        self.stamped = random.random() < 0.3
        self.tried = tries and random.random() < 0.5
        # whether data is mostly touched under mutex 0: then many programs are race-free
        self.careful = random.random() < 0.5
        self.calls = 0

    def program(self) -> Program:
        random = self.random
        count = random.choice((2, 2, 2, 3))
        procedures = []
        for _ in range(random.choice((0, 1, 2, 3))):
            procedures.append(self.procedure())
            self.calls += 1
        tasks = tuple(self.body(self.budget(count)) for _ in range(count))
        obliged = tuple(number == 0 or random.random() < 0.85 for number in range(count))
        if self.separated and not all(obliged):
            tasks = tuple((("pause",), *body) for body in tasks)
        return Program(
            tasks, tuple(procedures), obliged, random.choice(sorted(POLICIES)), self.tried,
            self.stamped,
        )  # fmt: skip

    def like_tasks(self) -> Program:
        """A program of 2-4 tasks that run the same body, sometimes among others."""
        made, random = self.program(), self.random
        count = random.choice((2, 2, 2, 3, 3, 4))
        body = self.body(1 if count > 2 else random.choice((1, 2)))
        obliged = random.random() < 0.85
        tasks = [(body, obliged)] * count
        if count < 4 and random.random() < 0.4:
            tasks.insert(random.randrange(count + 1), (self.body(1), True))
        if not any(one for _, one in tasks):
            tasks = [(body, True) for body, _ in tasks]
        bodies, must = zip(*tasks)
        return attrs.evolve(made, tasks=bodies, obliged=must, own=random.random() < 0.5)

    def waiting(self) -> Tree:
        """The part of a procedure with a point in it: alone, in a loop, or in another one."""
        random = self.random
        pick = random.random()
        if pick < 0.3:
            turn = (*self.simple(1), ("pause",), *self.simple(1))
            return (("retry", 2, turn, self.argument()),)
        if pick < 0.6 and self.calls:
            local = ("local", random.randrange(LOCALS))
            return (("call", random.randrange(self.calls), random.randrange(LOCALS), local),)
        return (("pause",),)

    def budget(self, tasks: int) -> int:
        return self.random.choice((1, 2, 2, 3) if tasks == 2 else (1, 1, 1, 2))

    def procedure(self) -> tuple[bool, Tree]:
        self.plain, self.in_task = self.random.random() < 0.5, False
        body = self.simple(2)
        if not self.plain:
            first = (("pause",),) if self.separated else ()
            body = (*first, *body, *self.waiting(), *self.simple(1))
        body = (*body, ("return", self.expression(2)))
        self.plain, self.in_task = False, True
        return self.plain, body

    def body(self, budget: int) -> Tree:
        copied = (("copy",),) if self.stamped else ()
        made: Tree = (*copied, *self.simple(1))
        for _ in range(budget):
            made = (*made, *self.pointed(2), *self.simple(2))
        return made

    def simple(self, most: int) -> Tree:
        """Statements without a point."""
        if self.careful and self.in_task:
            return tuple(self.private() for _ in range(self.random.randrange(most + 1)))
        return tuple(self.plainly(1) for _ in range(self.random.randrange(most + 1)))

    def private(self) -> Tree:
        local = ("local", self.random.randrange(LOCALS))
        return ("set", local, ("sum", ("local", self.random.randrange(LOCALS)), ("const", 1)))

    def plainly(self, depth: int) -> Tree:
        random = self.random
        pick = random.random()
        if pick < 0.35:
            return ("set", ("local", random.randrange(LOCALS)), self.expression(2))
        if pick < 0.65:
            return ("set", self.place(), self.expression(2))
        if pick < 0.75:
            return ("increment", self.place(numeric=True))
        if pick < 0.9 and depth:
            then, other = (self.plainly(depth - 1),), (self.plainly(depth - 1),)
            return ("if", self.expression(1), then, other if random.random() < 0.5 else ())
        if pick < 0.93 and depth:
            risky = ("if", self.expression(1), (("raise",),), ())
            return ("catch", (risky, self.plainly(0)), (self.plainly(0),))
        if self.stamped and self.in_task:
            return random.choice((("bump",), ("copy",), ("same", random.randrange(LOCALS))))
        if self.in_task and random.random() < 0.1:
            return random.choice(
                (
                    ("panic", self.expression(1), "boom"),
                    ("if", self.expression(1), (("return", ("const", 0)),), ()),
                )
            )
        return ("forget", random.randrange(LOCALS))

    def inside(self) -> Tree:
        """Statements under a lock."""
        return tuple(self.plainly(1) for _ in range(self.random.randrange(1, 4)))

    def pointed(self, depth: int) -> Tree:
        """Statements with a point or two."""
        random = self.random
        pick = random.random()
        which = random.randrange(2)
        if pick < 0.15:
            return (("pause",),)
        if pick < 0.35 or (self.careful and pick < 0.5):
            which = 0 if self.careful else which
            nested = self.nested(1 - which) if depth and random.random() < 0.5 else ()
            return (("with", which, (*self.inside(), *nested, *self.simple(1))),)
        if pick < 0.54:
            return self.sleeping(0 if self.careful else which)
        if pick < 0.56:
            return (("wakeup", random.random() < 0.5),)
        if pick < 0.68:
            return (("lock", random.random() < 0.6, self.inside()),)
        if pick < 0.8 and self.tries:
            return self.trying()
        if pick < (0.9 if self.separated else 0.95) and self.calls:
            args = (self.argument(), self.argument())
            return (("call", random.randrange(self.calls), random.randrange(LOCALS), *args),)
        if pick < 0.97 and depth:
            first = (("pause",),) if self.separated else ()
            body = (*self.simple(1), *self.pointed(0), *self.simple(1))
            return (*first, ("retry", 2, body, self.argument()))
        if pick < 0.98:
            return (("release", which),)
        return (("pause",),)

    def nested(self, other: int) -> Tree:
        """What may stand under a mutex: the other one, or anything that is no sleep."""
        random = self.random
        if random.random() < 0.6:
            if random.random() < 0.2 and self.careful:
                other = 1 - other
            return (("with", other, self.inside()),)
        return self.pointed(0) if random.random() < 0.1 else (("pause",),)

    def trying(self) -> Tree:
        random = self.random
        if self.tried and random.random() < 0.6:
            return (("try", 1, self.inside(), self.simple(1)),)
        return (("try_lock", random.random() < 0.6, self.inside(), self.simple(1)),)

    def sleeping(self, which: int) -> Tree:
        random = self.random
        if random.random() < 0.6:
            test, relock = self.expression(1), random.random() < 0.8
            sleep = ("sleep", which, relock)
            if not relock:
                return (("with", which, (("if", test, (sleep, ("return", ("const", 0))), ()),)),)
            return (("with", which, (("if", test, (sleep, *self.inside()), ()),)),)
        return (("with", which, (*self.inside(), ("wakeup", random.random() < 0.5))),)

    def argument(self) -> Tree:
        """An expression that may read shared data only if that is not meant to race."""
        if self.careful:
            return ("local", self.random.randrange(LOCALS))
        return self.expression(1)

    def place(self, numeric: bool = False) -> Tree:
        random = self.random
        pick = random.random()
        if pick < 0.25:
            return ("cell", random.randrange(2))
        if pick < 0.35:
            return ("slot", random.randrange(3))
        kind = "field" if pick < 0.85 else "through"
        names = ("count",) if numeric else ("count", "count", "flag", "other", "pair")
        return (kind, random.randrange(2), random.choice(names))

    def expression(self, depth: int) -> Tree:
        random = self.random
        pick = random.random()
        if pick < 0.15:
            return ("const", random.choice((0, 1, 2, True, False, None, -1, -2)))
        if pick < 0.4 or (self.careful and self.plain):
            return ("local", random.randrange(LOCALS))
        if pick < 0.75 or not depth:
            return self.place()
        kind = random.choice(("sum", "sum", "equal", "pair", "not", "is_bool"))
        return (kind, self.expression(depth - 1), self.expression(depth - 1))


def program(seed: int | str, **kind: Any) -> Program:
    """The program of that seed."""
    return Generator(Random(seed), **kind).program()


def like_program(seed: int | str) -> Program:
    """The program with like tasks of that seed."""
    return Generator(Random(seed)).like_tasks()


def build(program: Program, fine: bool = False) -> World:
    """A fresh world that runs ``program``."""
    world = World()
    with world:
        items = (Item("i0"), Item("i1"))
        items[0].other = items[1]
        things = Things(
            items,
            Table([0, False]),
            Sparse(),
            (Mutex("m0"), Mutex("m1", tried=program.tried)),
            rwlock("rw", program.policy),
            Channel("ch"),
            Stamp(),
        )
    code = Interpreter(program, things, fine)
    for number_, (body, obliged) in enumerate(zip(program.tasks, program.obliged)):
        with world:
            own = (Item(f"own{number_}"),) if program.own else ()
        world.task(f"t{number_}", code.task, body, *own, obliged=obliged)
    return world


Key = tuple[Any, ...]


def plain(value: Any) -> Any:
    """``value`` as something to compare that keeps types apart and names objects."""
    if isinstance(value, tuple):
        return ("tuple", *map(plain, value))
    if hasattr(value, "_oid"):
        return ("object", value._oid)
    return (type(value).__name__, value)


@cache
def _state(cls: type) -> tuple[str, ...]:
    kinds = fields(cls)
    return tuple(name for name in kinds if kinds[name] in ("state", "atomic", "hidden"))


def contents(world: World) -> Key:
    """Every shared value, read off the objects of a world that is not recorded."""
    found: list[Any] = []
    for thing in world.objects:
        if isinstance(thing, Table):
            found += map(plain, thing._cells)
        else:
            found += [plain(thing.__dict__[name]) for name in _state(type(thing))]
    return tuple(found)
