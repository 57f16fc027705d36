"""The list of extras is that of pyproject.toml, so that `gynbtnet doctor` lists all that a command can ask for."""

import ast
import re
import tomllib
from pathlib import Path

import pytest

from gynbtnet.runtime.optional_dependencies import EXTRAS
from gynbtnet.runtime.system_report import system_report

ROOT = Path(__file__).parents[2]
DECLARED = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
FOR_DEVELOPERS = {"bench", "dev", "docs"}


def names(requirement: str) -> set[str]:
    """Return the names in a requirement, such as dask and distributed for ``dask[distributed]>=2025.1``."""
    return set(re.findall(r"[a-z][a-z0-9_]*", re.split(r"[<>=;]", requirement.lower().replace("-", "_"))[0]))


def test_doctor_lists_every_extra(tmp_path: Path) -> None:
    assert set(EXTRAS) == set(DECLARED) - FOR_DEVELOPERS
    listed = {name for name, _ in system_report(tmp_path)}
    assert {f"extra {extra}" for extra in EXTRAS} <= listed


@pytest.mark.parametrize("extra", EXTRAS)
def test_an_extra_has_the_modules_of_its_libraries(extra: str) -> None:
    modules, _ = EXTRAS[extra]
    libraries = [names(requirement) for requirement in DECLARED[extra] if not requirement.startswith("gynbtnet[")]
    assert all(len(library.intersection(modules)) == 1 for library in libraries)
    assert len(libraries) == len(modules)


def test_commands_ask_for_known_extras() -> None:
    asked = set()
    for path in (ROOT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "require":
                extra = node.args[0]
                assert isinstance(extra, ast.Constant)
                asked.add(extra.value)
    assert {"review", "node", "train"} <= asked <= set(EXTRAS)
