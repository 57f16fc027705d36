"""The house: data flows one way through the folders, and files are named after what they hold."""

import ast
from collections import Counter
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "gynbtnet"

# A package imports only from packages before its own. docs/explanation/house.md says what each is.
ORDER = [
    "runtime",
    "imaging",
    "pictures",
    "datasets",
    "phantom",
    "networks",
    "preparation",
    "sparse",
    "training",
    "inference",
    "baselines",
    "evaluation",
    "recipes",
    "experiment",
    "cli",
]
MOST_FILES = 21
"""Modules of a package; with more, a reader finds nothing in it."""


def module_name(path: Path) -> str:
    parts = path.relative_to(SOURCE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted(SOURCE.rglob("*.py"))}


def imports_of(module: str) -> set[str]:
    """Modules of ours that a module imports, delayed imports and those for type checking included."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(MODULES[module].read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute, so that they can be read anywhere"
            if (node.module or "").split(".")[0] == "gynbtnet":
                names = {f"{node.module}.{alias.name}" for alias in node.names}
                found |= {name if name in MODULES else str(node.module) for name in names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.split(".")[0] == "gynbtnet"}
    return found - {module}


@pytest.mark.parametrize("module", [name for name in MODULES if name.count(".") > 0])
def test_imports_go_one_way(module: str) -> None:
    """Between packages, in the order above."""
    own = module.split(".")[1]
    if own == "__main__":
        pytest.skip("it calls the command line and is imported by nothing")
    for imported in imports_of(module) - {"gynbtnet"}:
        part = imported.split(".")[1]
        assert ORDER.index(part) <= ORDER.index(own), f"{module} imports {imported}, which stands after {own}"


def test_no_circle_between_modules() -> None:
    tuple(TopologicalSorter({module: imports_of(module) for module in MODULES if module != "gynbtnet"}).static_order())


def test_no_circle_within_a_package() -> None:
    """The modules and packages of a package have an order in which each imports only earlier ones."""
    neighbours: dict[str, dict[str, set[str]]] = {}
    for module in MODULES:
        for imported in imports_of(module) if MODULES[module].name != "__init__.py" else ():
            here, there = module.split("."), imported.split(".")
            shared = next((i for i, pair in enumerate(zip(here, there, strict=False)) if len(set(pair)) > 1), None)
            if shared is not None:
                package = neighbours.setdefault(".".join(here[:shared]), {})
                package.setdefault(here[shared], set()).add(there[shared])
    assert len(neighbours) > 20
    for name, graph in neighbours.items():
        try:
            tuple(TopologicalSorter(graph).static_order())
        except CycleError as circle:
            raise AssertionError(f"{name} has a circle: {circle.args[1]}") from circle


def test_packages_are_of_a_size_to_be_read() -> None:
    assert {path.name for path in SOURCE.glob("*.py")} == {"__init__.py", "__main__.py"}
    sizes = Counter(path.parent for path in SOURCE.rglob("*.py"))
    assert {str(folder): size for folder, size in sizes.items() if size > MOST_FILES} == {}


def test_the_order_names_every_package() -> None:
    assert {path.name for path in SOURCE.iterdir() if path.is_dir()} - {"__pycache__"} == set(ORDER)


def test_no_file_is_named_after_nothing() -> None:
    nothing = {"utils", "helpers", "common", "misc"}
    assert [p for p in SOURCE.rglob("*.py") if p.stem in nothing] == []
