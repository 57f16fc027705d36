"""Tables in the docs are whole: a row outside a table, or with a cell too many, shows as text full of bars."""

import re
from itertools import groupby
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_tables_are_whole(page: Path) -> None:
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for is_table, group in groupby(text.splitlines(), lambda line: line.startswith("|")):
        rows = list(group)
        if is_table:
            assert len(rows) >= 2, f"a row without a table: {rows[0]}"
            assert re.fullmatch(r"\|(\s*:?-+:?\s*\|)+", rows[1]), f"no table begins with {rows[0]}"
            cells = [len(re.findall(r"(?<!\\)\|", row)) for row in rows]
            assert len(set(cells)) == 1, rows[next(n for n, count in enumerate(cells) if count != cells[0])]
