"""The house stands: who may import whom, what is loaded when, what files are called."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import kmodel

ROOT = Path(kmodel.__file__).parent

FLOOR0 = {
    *("point", "recorder", "shared", "table", "world", "event", "panic", "param", "untracked"),
    *("remembered", "streak"),
}
FLOOR6 = {
    "log",
    "case",
    "shown",
    "judge",
    "asked",
    "page",
    "paragraph",
    "asleep",
    "hand",
    "budget",
    "refit",
    "revision",
    "trial",
    "joint",
    "kept",
    "compare",
    "cell",
    "sampling",
    "smaller",
    "counting",
    "verdict",
    "explain",
    "rerun",
    "nearest",
}
FLOORS = {
    **dict.fromkeys(FLOOR0, 0),
    "sync": 1,
    "vm": 2,
    "pmap": 3,
    **dict.fromkeys(("fault", "uvmfault", "fixes", "pagedaemon", "vmspace", "wiring"), 4),
    **dict.fromkeys(
        ("machine", "boot", "leak", "allocation", "shortage", "properties", "demands"), 5
    ),
    **dict.fromkeys(("settings", "situations", "story"), 5),
    **dict.fromkeys(FLOOR6, 6),
    **dict.fromkeys(("cli", "__main__", "fuzz", "testing"), 7),
}
KERNEL = {name for name, floor in FLOORS.items() if 1 <= floor <= 5}
UPWARD_TYPES = {("fixes", "fault")}
"""Imports that go up, and only for the type checker."""

PACKAGE = ""
"""``kmodel`` itself, which loads nothing."""

VAGUE = ("util", "helper", "common", "manager", "base", "misc")
HEAVY = ("attr", "attrs", "cattrs", "click", "hypothesis", "rich", "structlog", "trio")

FILES = sorted(path for path in ROOT.rglob("*.py") if path != ROOT / "__init__.py")


def room(module: str) -> str:
    """``kmodel.vm.pool`` -> ``vm``."""
    return module.split(".")[1] if "." in module else ""


def of_file(path: Path) -> str:
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path) -> Iterator[tuple[str, bool]]:
    """Each kmodel module that a file imports, and whether for types only."""
    tree = ast.parse(path.read_text())
    typing_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")
        for statement in node.body
        for inner in ast.walk(statement)
    }
    for node in ast.walk(tree):
        for target in _targets(node, path):
            if target.split(".")[0] == "kmodel":
                yield target, id(node) in typing_only


def _targets(node: ast.AST, path: Path) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if not isinstance(node, ast.ImportFrom):
        return []
    source = node.module or ""
    if node.level:
        package = of_file(path.parent / "__init__.py").split(".")
        upper = package[: len(package) - node.level + 1]
        source = ".".join([*upper, *([source] if source else [])])
    if source != "kmodel":
        return [source]
    return [kmodel._PUBLIC.get(alias.name, f"kmodel.{alias.name}") for alias in node.names]


def allowed(importer: str, imported: str) -> bool:
    """May a module of the first room import one of the second?"""
    if imported in (importer, PACKAGE, "__version__"):
        return True
    if importer == "explore":
        return imported in FLOOR0
    if imported == "explore":
        return FLOORS[importer] >= 6
    if importer == "log" and imported in KERNEL:
        return False
    return FLOORS[imported] <= FLOORS[importer]


@pytest.mark.parametrize("path", FILES, ids=of_file)
def test_a_module_imports_only_its_own_floor_and_lower_ones(path):
    """No import goes up a floor, or across between the kernel and the explorer."""
    importer = room(of_file(path))
    assert importer in FLOORS or importer == "explore", f"{importer} has no floor: give it one"
    wrong = [
        target
        for target, for_types in imports(path)
        if not allowed(importer, room(target))
        and not (for_types and (importer, room(target)) in UPWARD_TYPES)
    ]
    assert wrong == []


@pytest.mark.parametrize(
    ("importer", "imported", "may"),
    [
        ("vm", "sync", True),
        ("sync", "vm", False),
        ("explore", "world", True),
        ("explore", "sync", False),
        ("machine", "explore", False),
        ("joint", "explore", True),
        ("joint", "machine", True),
        ("log", "machine", False),
        ("cli", "machine", True),
    ],
)
def test_the_rule_itself(importer, imported, may):
    """The rule above can say no, and says it where it should."""
    assert allowed(importer, imported) is may


@pytest.mark.parametrize("path", FILES, ids=of_file)
def test_a_file_is_named_after_a_thing(path):
    """No module is called after the drawer that it was put in."""
    assert [word for word in VAGUE if word in path.stem] == []


def loaded_by(statement: str) -> set[str]:
    """The modules that a fresh interpreter has loaded after ``statement``."""
    program = f"{statement}\nimport sys\nprint(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT.parent,
    )
    return set(done.stdout.split())


def test_the_explorer_loads_no_kernel():
    """Searching needs nothing of the kernel, so anything else can be searched too."""
    loaded = loaded_by("import kmodel.explore.graph")
    assert "kmodel.explore.history" in loaded
    assert {name for name in loaded if room(name) in KERNEL} == set()


def test_importing_the_package_loads_nothing():
    """``import kmodel`` is free: no module of it, and no library."""
    loaded = loaded_by("import kmodel")
    assert {name for name in loaded if name.startswith("kmodel.")} == set()
    assert {name for name in loaded if name.split(".")[0] in HEAVY} == set()


def test_a_public_name_loads_its_module_when_first_used():
    """A name of the package is looked up late, and an unknown one is an error."""
    assert "kmodel.machine" in loaded_by("import kmodel; kmodel.Machine")
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = kmodel.nothing
