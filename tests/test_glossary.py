"""The glossary names modules that exist, and each term once."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
ROWS = [
    [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
    for line in (ROOT / "docs" / "reference" / "glossary.md").read_text(encoding="utf-8").splitlines()
    if line.startswith("|") and not line.startswith(("| term |", "|---"))
]


def test_modules_exist() -> None:
    assert len(ROWS) > 80
    for term, _, module in ROWS:
        path = re.fullmatch(r"`([\w/.]+)`", module)
        assert path is not None, f"{term}: one module in backticks, not {module}"
        assert (ROOT / "src" / "gynbtnet" / path[1]).is_file(), f"{term}: {path[1]} does not exist"


def test_terms_are_explained_once() -> None:
    terms = [term.lower() for term, _, _ in ROWS]
    assert len(set(terms)) == len(terms)
    assert all(meaning for _, meaning, _ in ROWS)
