"""The page "Where things are": the field's concepts are in the modules that it names, and most at the first guess."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "gynbtnet"
PAGE = ROOT / "docs" / "contributing" / "finding.md"


def rows(heading: str) -> list[list[str]]:
    """Return the cells of the table below a heading, without backticks."""
    section = PAGE.read_text(encoding="utf-8").split(f"\n## {heading}\n")[1].split("\n## ")[0]
    table = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip().strip("`") for cell in row] for row in table[2:]]


CONCEPTS = rows("All concepts")
MISSES = rows("Misses")


@pytest.mark.parametrize(("concept", "module", "name"), CONCEPTS, ids=[row[0] for row in CONCEPTS])
def test_a_concept_is_in_its_module(concept: str, module: str, name: str) -> None:
    path = SOURCE / module
    assert path.is_file(), f"{concept}: {module} does not exist"
    assert re.search(rf"\b{name}\b", path.read_text(encoding="utf-8")), f"{concept}: {name} is not in {module}"


def test_concepts_are_found_at_the_first_guess() -> None:
    modules = {concept: module for concept, module, _ in CONCEPTS}
    assert len(modules) == len(CONCEPTS) == 60
    for concept, guess, module in MISSES:
        assert (SOURCE / guess).is_file()
        assert guess != module == modules[concept]
    hits = len(CONCEPTS) - len(MISSES)
    assert hits >= 55
    assert f"{hits} of {len(CONCEPTS)} choices were right" in PAGE.read_text(encoding="utf-8")
