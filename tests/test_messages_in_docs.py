"""The page "What to do when …" quotes messages that the package prints."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "how-to" / "when.md").read_text(encoding="utf-8")
QUOTES = re.findall(r"“([^”]+)”", PAGE)


def written_text(path: Path) -> str:
    """Return all strings of a module, with … for each value in them."""
    strings = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.JoinedStr):
            strings.append("".join(str(v.value) if isinstance(v, ast.Constant) else "…" for v in node.values))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            strings.append(node.value)
    return "\n".join(strings)


def test_quoted_messages_are_those_of_the_package() -> None:
    package = "\n".join(written_text(path) for path in (ROOT / "src" / "gynbtnet").rglob("*.py"))
    assert len(QUOTES) > 12
    assert [quote for quote in QUOTES if quote not in package] == []
