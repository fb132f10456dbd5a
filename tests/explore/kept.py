"""Searches that are kept in a file: ended anywhere, and all that is in their graphs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from kmodel.explore.checkpoint import Checkpointed
from kmodel.explore.graph import Limits, Order, Search
from kmodel.explore.journal import Journal
from kmodel.explore.rerun import plain
from kmodel.world import World

Build = Callable[[], World]
MANY = Limits(states=50_000)


def silent(text: str) -> None:
    """Nothing should have to be told."""
    raise AssertionError(text)


def begin(
    build: Build, path: Path, order: Order = "dfs", limits: Limits = MANY, tell: Any = silent
) -> Checkpointed:
    search = Checkpointed(build(), limits, order, tell)
    search.begin(Journal.create(path, {"facts": search.facts}))
    return search


def resume(build: Build, path: Path, order: Order = "dfs", limits: Limits = MANY) -> Checkpointed:
    search = Checkpointed(build(), limits, order, silent)
    journal = Journal.open(path)
    try:
        search.resume(journal)
    except BaseException:
        journal.close()
        raise
    return search


def finished(search: Search) -> Search:
    while search.advance(500):
        pass
    return search


def in_pieces(build: Build, path: Path, order: Order, pieces: Iterator[int]) -> tuple[Search, int]:
    """A search that is ended again and again, after so many pieces of work of one expansion
    each; and how often it was."""
    search, ended = begin(build, path, order), 0
    while True:
        for _ in range(next(pieces)):
            if not search.advance(1):
                return search, ended
        search.close()
        search, ended = resume(build, path, order), ended + 1


def everything(search: Search) -> dict[str, Any]:
    """All that a graph says, with what is numbered as its number."""
    graph, histories = search.graph, search.histories
    number = {leaf: place for place, (_, leaf) in enumerate(histories.leaves)}
    return {
        "keys": graph.keys[:],
        "packed": graph.keys.packed,
        "tested": search._tested,
        "succ": graph.succ,
        "leaf": [[leaf and number[leaf] for leaf in row] for row in graph.leaf],
        "leaves": [
            (task, leaf.stores, leaf.inputs, leaf.spans, plain(leaf.said), plain(leaf.result))
            for task, leaf in histories.leaves
        ],
        "next": [leaf.next and leaf.next.index for _, leaf in histories.leaves],
        "nodes": [[(node.history, plain(node.op)) for node in of] for of in histories.nodes],
        "values": plain(histories.recorder.values),
        "runs": histories.runs,
        "violations": graph.violations,
        "transitions": graph.transitions,
        "complete": graph.complete,
        "stopped": graph.stopped_by,
        "frontier": list(search._frontier),
        "broken": search._broken,
    }
