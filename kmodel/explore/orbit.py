"""Search up to the symmetry of like tasks: of the states that differ only in which of them
is which (an *orbit*) one is kept and looked at.

Sound if changing places is an automorphism of the state graph: then all that one state can
show, its whole orbit shows. That is not believed but checked. Each step of model code that
is run is run again with the tasks in each other's places, and must read, write and lead to
the counterparts; the initial state must be its own. A step is a function of its node and
of what it reads, so this covers the states that the search meets and those that it leaves
out. At the first difference ``Unlike`` is raised, and nothing has been concluded. A check
must say the same of all states of an orbit, or is asked about each.

It shows what one state or step shows: panics, checks, nobody able to step. Who waits for
ever is lost where tasks change places on the way (Emerson and Sistla 1996). The silent
first steps that a search takes alone stay sound: what can go wrong after such a choice is
no further away, and the same is so in any place (Emerson, Jha and Peled 1997).
"""

from __future__ import annotations

from operator import itemgetter

from kmodel.explore.graph import Limits, Search
from kmodel.explore.history import DONE, Histories, Node
from kmodel.explore.likeness import Unlike, changes, then
from kmodel.explore.tree import BLOCKED, Leaf, Predicate, State, path, walk
from kmodel.explore.turn import Turn
from kmodel.world import Check, World

Ran = tuple[Node, "State[int]", Leaf]
"""A step of model code: where its task stood, in what state, and what it did."""


class LikeHistories(Histories):
    """Histories of a world with like tasks: what a task does is compared with what the
    others do in its place (``Unlike`` if that differs).

    ``turns`` are all the changes of places, that of staying first, and ``number`` finds one
    by its ``tasks``.
    """

    def __init__(self, world: World) -> None:
        found = changes(world)
        super().__init__(world)
        self.turns = [Turn(places, world, self.recorder) for places in found]
        self.number = {turn.tasks: number for number, turn in enumerate(self.turns)}
        self._words = _words([turn.tasks for turn in self.turns])
        self._made = [self.turns[word[0]] for word in self._words if len(word) == 1]
        # nodes that come in each other's places have one number here
        self._orbit: list[dict[int, int]] = [{DONE: DONE, 1: 1} for _ in world.tasks]
        self._orbits = 2
        moving = sorted({t for turn in self.turns for t, to in enumerate(turn.tasks) if t != to})
        self._moving = [(self.locations + task, self._orbit[task]) for task in moving]
        self._reordered = [
            itemgetter(*(moving.index(turn.tasks.index(place)) for place in moving))
            for turn in self.turns
        ]
        self._sorting: dict[tuple[int, ...], list[int]] = {}
        self._learnt = 0
        self._learn()
        for turn in self._made:
            self._check_start(turn)

    def _check_start(self, turn: Turn) -> None:
        for location, (code, now) in enumerate(zip(self.initial, turn.state(self.initial))):
            if code != now:
                name = self.recorder.names[location]
                raise Unlike(f"{name} is not the same at the start with {self._moved(turn)}")

    def _learn(self) -> None:
        """Have all turns know what each code becomes."""
        while self._learnt < len(self.recorder.values):
            self._learnt = len(self.recorder.values)
            for turn in self.turns:
                turn.learn()

    def _execute(self, node: Node, state: State[int]) -> Leaf:
        """Run a step, and then the steps that come in its place."""
        leaf = super()._execute(node, state)
        todo: list[Ran] = [(node, state, leaf)]
        for ran in todo:
            self._learn()
            for turn in self._made:
                twin, there = self._twin(turn, ran[0]), turn.shared(ran[1])
                other = walk(twin.tree, there)
                if other is None:
                    other = super()._execute(twin, there)
                    todo.append((twin, there, other))
                    self._learn()
                self._compare(turn, ran, (twin, there, other))
        for _, _, ran_leaf in todo:
            if ran_leaf.next is not None:
                self._settle(ran_leaf.next)
        return leaf

    def _twin(self, turn: Turn, node: Node) -> Node:
        """The node that comes in the place of ``node``."""
        task = node.task.index
        return self.nodes[turn.tasks[task]][turn.nodes[task][node.index]]

    def _compare(self, turn: Turn, one: Ran, other: Ran) -> None:
        """Does the other step do in its place what the one does?"""
        (node, state, leaf), (twin, there, same) = one, other
        read = {(turn.to[at], turn.codes[code]) for at, code in path(node.tree, state)}
        wrote = {(turn.to[at], turn.codes[code]) for at, code in leaf.stores}
        panic, panics = leaf.panic, same.panic
        to, place = leaf.next, same.next
        if differing := read ^ set(path(twin.tree, there)):
            self._refuse(turn, twin, f"reads {self._named(differing)} differently")
        if (leaf is BLOCKED) is not (same is BLOCKED):
            self._refuse(turn, twin, "can go when it should not, or cannot when it should")
        if (panic and (panic.kind, turn.text(panic.message))) != (
            panics and (panics.kind, panics.message)
        ):
            self._refuse(turn, twin, f"fails differently ({panics or panic})")
        if differing := wrote ^ set(same.stores):
            self._refuse(turn, twin, f"writes {self._named(differing)} differently")
        if to is None or place is None:
            return  # both panic, or cannot go
        if turn.nodes[node.task.index].setdefault(to.index, place.index) != place.index:
            self._refuse(turn, twin, "comes to another place, or knows other things there")

    def _named(self, accesses: set[tuple[int, int]]) -> str:
        return self.recorder.names[min(accesses)[0]]

    def _refuse(self, turn: Turn, twin: Node, what: str) -> None:
        event = twin.op[0].event if twin.op else "its end"
        raise Unlike(f"with {self._moved(turn)}, {twin.task} {what} in the step of {event}")

    def _moved(self, turn: Turn) -> str:
        names = [task.name for task in self.world.tasks if turn.tasks[task.index] != task.index]
        return " and ".join(names) + " in each other's places"

    def _settle(self, node: Node) -> None:
        """Enter the nodes that come in each other's places with ``node``."""
        task = node.task.index
        if node.index in self.turns[0].nodes[task]:
            return  # that of staying: entered here only
        number = self._orbit[task].get(node.index, self._orbits)
        for turn, word in zip(self.turns, self._words):
            at, index = task, node.index
            for one in word:
                at, index = self.turns[one].tasks[at], self.turns[one].nodes[at][index]
            turn.nodes[task][node.index] = index
            self._orbit[at][index] = number
        self._orbits = max(self._orbits, number + 1)

    def canonical(self, state: State[int]) -> tuple[State[int], int]:
        """The state that stands for the orbit of ``state``, and the number of a turn that
        leads to it."""
        nodes = tuple([orbit[state[where]] for where, orbit in self._moving])
        turns = self._sorting.get(nodes)
        if turns is None:
            turns = self._sorting[nodes] = self._least(nodes)
        if turns == [0]:
            return state, 0
        found = [self.turns[number].state(state) if number else state for number in turns]
        best = min(found)
        return best, turns[found.index(best)]

    def _least(self, nodes: tuple[int, ...]) -> list[int]:
        """The turns that bring the nodes of like tasks into the least order: mostly one, as
        they seldom stand at the same."""
        orders = [reordered(nodes) for reordered in self._reordered]
        least = min(orders)
        return [number for number, order in enumerate(orders) if order == least]


def _words(orders: list[tuple[int, ...]]) -> list[tuple[int, ...]]:
    """Each element of a group as a product of a few of them (by number, the first acts
    first), the unit (the first of ``orders``) as none."""
    words: dict[tuple[int, ...], tuple[int, ...]] = {orders[0]: ()}
    made: list[int] = []
    # those that move the fewest first: two tasks change places wherever they can
    for number in sorted(range(1, len(orders)), key=lambda one: (_moves(orders[one]), one)):
        if orders[number] not in words:
            made.append(number)
            words[orders[number]] = (number,)
            todo = list(words)
            for order in todo:
                for one in made:
                    after = then(order, orders[one])
                    if after not in words:
                        words[after] = (*words[order], one)
                        todo.append(after)
    return [words[order] for order in orders]


def _moves(order: tuple[int, ...]) -> int:
    return sum(task != place for task, place in enumerate(order))


class Orbital(Search):
    """Fills a graph with one state of each orbit; a step leads to whatever state stands for
    the orbit of the one that it comes to. ``Unfolded`` has the real ones.

    Raises ``Unlike`` when it is made and from ``advance``.
    """

    def __init__(self, world: World, limits: Limits) -> None:
        self.like = LikeHistories(world)
        self._each: set[Predicate] = set()
        super().__init__(world, limits, "dfs", self.like)

    def advance(self, expansions: int) -> bool:
        try:
            return super().advance(expansions)
        except Unlike:
            self.histories.close()
            raise

    def _discover(self, packed: int) -> int:
        keys = self.graph.keys
        state, way = self.like.canonical(keys.unpack(packed))
        if way:
            packed = keys.pack(state)
        known = keys.number.get(packed)
        return super()._discover(packed) if known is None else known

    def _test(self, checks: list[tuple[Check, Predicate]], number: int, state: State[int]) -> None:
        for check, predicate in checks:
            if predicate not in self._each:
                asked_before = walk(predicate.tree, state) is not None
                wrong = predicate.value(state, self.graph.world)
                if asked_before or self._says_alike(predicate, state):
                    self._note(check, wrong, number)
                    continue
                # of the states before, it has been seen to say the same of the whole orbit
                self._each.add(predicate)
            for turn in self.like.turns:
                self._note(check, predicate.value(turn.state(state), self.graph.world), number)

    def tells_apart(self, check: Check) -> bool:
        """Has ``check`` said different things of states of one orbit?"""
        asked = [*self._always, *self._end]
        return any(one is check and predicate in self._each for one, predicate in asked)

    def _says_alike(self, predicate: Predicate, state: State[int]) -> bool:
        """Does a check say the same of every state in the orbit of ``state``?"""
        wrong = predicate.value(state, self.graph.world)
        read = path(predicate.tree, state)
        for turn in self.like.turns:
            there = turn.state(state)
            if predicate.value(there, self.graph.world) != (wrong and turn.text(wrong)):
                return False
            if set(path(predicate.tree, there)) != {(turn.to[a], turn.codes[c]) for a, c in read}:
                return False
        return True
