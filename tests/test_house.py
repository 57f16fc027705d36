"""The house: data flows one way through the folders, and files are named after what they hold."""

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "gynbtnet"

# A folder imports only from names before its own. docs/explanation/house.md says what each is.
ORDER = [
    "errors",
    "plain_data",
    "optional_libraries",
    "whole_files",
    "processes",
    "progress",
    "available_memory",
    "many_scans",
    "settings",
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
    "experiment_report",
    "pipeline",
    "single_stages",
    "cross_validation",
    "comparison",
    "inspection",
    "inspection_picture",
    "doctor",
    "comparison_results",
    "compared_experiment",
    "cli",
]


def place(part: str) -> int:
    return ORDER.index(part)


def imported_parts(tree: ast.AST) -> set[str]:
    parts = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute, so that they can be read anywhere"
            if node.module == "gynbtnet":
                parts |= {alias.name for alias in node.names}
            elif node.module and node.module.startswith("gynbtnet."):
                parts.add(node.module.split(".")[1])
        elif isinstance(node, ast.Import):
            parts |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("gynbtnet.")}
    return parts


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=lambda p: str(p.relative_to(SOURCE)))
def test_imports_go_one_way(path: Path) -> None:
    if path == SOURCE / "__init__.py":
        pytest.skip("the package's own front door names parts from everywhere")
    own = path.relative_to(SOURCE).parts[0].removesuffix(".py")
    for part in imported_parts(ast.parse(path.read_text())):
        if part in ORDER:
            assert place(part) <= place(own), f"{path.relative_to(SOURCE)} imports {part}, which stands after {own}"
            assert part != own or path.parent != SOURCE, f"{own} imports itself"


def test_the_order_names_every_part() -> None:
    parts = {p.name.removesuffix(".py") for p in SOURCE.iterdir() if p.suffix == ".py" or p.is_dir()}
    assert parts - {"__init__", "__pycache__", "py.typed"} == set(ORDER)


def test_no_file_is_named_after_nothing() -> None:
    nothing = {"utils", "helpers", "common", "misc"}
    assert [p for p in SOURCE.rglob("*.py") if p.stem in nothing] == []
