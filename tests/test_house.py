"""The house: data flows one way through the folders, and files are named after what they hold."""

import ast
import re
from collections import Counter
from graphlib import CycleError, TopologicalSorter
from importlib import import_module
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "gynbtnet"

# A package imports only from packages before its own. docs/explanation/house.md says what each is.
ORDER = [
    "runtime",
    "imaging",
    "pictures",
    "pages",
    "datasets",
    "phantom",
    "networks",
    "preparation",
    "sparse",
    "training",
    "inference",
    "baselines",
    "evaluation",
    "exports",
    "review",
    "adaptation",
    "commissioning",
    "node",
    "monitoring",
    "recipes",
    "experiment",
    "learning",
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
    modules: set[str] = set()
    for node in ast.walk(ast.parse(MODULES[module].read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute, so that they can be read anywhere"
            if (node.module or "").split(".")[0] == "gynbtnet":
                names = {f"{node.module}.{alias.name}" for alias in node.names}
                modules |= {name if name in MODULES else str(node.module) for name in names}
        elif isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names if alias.name.split(".")[0] == "gynbtnet"}
    return modules - {module}


@pytest.mark.parametrize("module", [name for name in MODULES if name.count(".") > 0])
def test_imports_go_one_way(module: str) -> None:
    """Between packages, in the order above."""
    own = module.split(".")[1]
    if own == "__main__":
        pytest.skip("it calls the command line and is imported by nothing")
    for imported in imports_of(module) - {"gynbtnet"}:
        part = imported.split(".")[1]
        assert ORDER.index(part) <= ORDER.index(own), f"{module} imports {imported}, which stands after {own}"


def test_no_log_has_the_message_of_an_unexpected_error() -> None:
    """It can quote a patient's name; traceback_without_message leaves it out."""
    quoting = re.compile(r"exc_info=|_LOG\.exception|(format|print)_exc")
    assert not [module for module, path in MODULES.items() if quoting.search(path.read_text())]


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


FRONTS = [SOURCE / "__init__.py", *(SOURCE / package / "__init__.py" for package in ORDER)]


def literal_names(tree: ast.Module) -> list[str]:
    """Return the names in ``__all__``."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == "__all__":
            return list(ast.literal_eval(node.value))
    return []


@pytest.mark.parametrize("path", FRONTS, ids=lambda path: path.parent.name)
def test_a_package_lists_its_public_names(path: Path) -> None:
    """``__all__``, ``dir()``, the names that type checkers see and those that exist are the same."""
    package = import_module(module_name(path))
    tree = ast.parse(path.read_text())
    names = literal_names(tree)
    assert names and dir(package) == sorted(names) and len(set(names)) == len(names)
    assert all(getattr(package, name) is not None for name in names)
    checked = {a.name for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) for a in n.names}
    assert set(names) <= checked
    modules = {child.stem if child.is_file() else child.name for child in path.parent.iterdir()}
    assert not modules & set(names), "a module of the same name would hide it"


def deep_imports(code: str, own: str) -> list[str]:
    """Return the modules of other packages that code imports from without their public front."""
    deep = []
    for node in ast.walk(ast.parse(code)):
        names = [node.module or ""] if isinstance(node, ast.ImportFrom) and node.level == 0 else []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        deep += [name for name in names if name.startswith("gynbtnet.") and name.count(".") > 1]
    return [name for name in deep if name.split(".")[1] != own]


ROOT = SOURCE.parents[1]
USERS = [p for folder in ("tests", "examples", "benchmarks", "docs") for p in sorted((ROOT / folder).rglob("*.py"))]


@pytest.mark.parametrize("path", USERS, ids=lambda path: str(path.relative_to(ROOT)))
def test_users_import_from_the_fronts(path: Path) -> None:
    """A package's own tests may import its modules; everything else imports the public names of a package."""
    parts = path.relative_to(ROOT).parts
    own = parts[1] if parts[0] == "tests" and len(parts) > 2 else ""
    assert deep_imports(path.read_text(), own) == []


PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
INSIDE = ROOT / "docs" / "contributing"
"""Pages on how to edit the packages themselves."""


def python_blocks(page: str) -> list[str]:
    """Return the blocks of Python code in a Markdown page."""
    return re.findall(r"^```python\n(.*?)^```", page, re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize(
    "path", [page for page in PAGES if INSIDE not in page.parents], ids=lambda path: str(path.relative_to(ROOT))
)
def test_pages_import_from_the_fronts(path: Path) -> None:
    blocks = python_blocks(path.read_text(encoding="utf-8"))
    assert [name for block in blocks for name in deep_imports(block, "")] == []


def test_blocks_of_a_page_are_read() -> None:
    page = "Text\n```python\nfrom gynbtnet.imaging.volume import Volume\n```\n```bash\nls\n```\n"
    assert [deep_imports(block, "") for block in python_blocks(page)] == [["gynbtnet.imaging.volume"]]
