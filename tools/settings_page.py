"""Write docs/reference/settings.md, the page of every setting of a recipe, from the classes of the settings."""

import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from gynbtnet.recipes import Recipe

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "settings.md"
_HEAD = """# Settings

<!-- Written by tools/settings_page.py from the code; a test checks that it is current. -->

Every setting of a recipe, by its name for `--set`, with its default. A recipe states only what differs from the
defaults. `gynbtnet recipes list` names the shipped recipes, and `gynbtnet recipes copy NAME` copies one to change.
`gynbtnet predict --set` takes the names under `prediction` without this word.
"""
_SIGNS = {Ge: "≥", Gt: ">", Le: "≤", Lt: "<"}


def page() -> str:
    """Return the page in Markdown."""
    parts = [_HEAD]
    top = [(name, field) for name, field in Recipe.model_fields.items() if not _classes(field.annotation)]
    parts.append(_section("The recipe", "", top))
    for name, field in Recipe.model_fields.items():
        for kind in _classes(field.annotation):
            title = name if len(_classes(field.annotation)) == 1 else f"{name} ({kind.__name__})"
            parts += list(_sections(title, name, kind))
    return "\n".join(parts)


def _sections(title: str, prefix: str, kind: type[BaseModel]) -> Iterator[str]:
    """Return the section of a class of settings, and those of the settings within it."""
    fields = [(name, field) for name, field in kind.model_fields.items() if not _classes(field.annotation)]
    if fields:
        yield _section(title, f"{prefix}.", fields)
    for name, field in kind.model_fields.items():
        for inner in _classes(field.annotation):
            yield from _sections(f"{title}: {name}", f"{prefix}.{name}", inner)


def _section(title: str, prefix: str, fields: list[tuple[str, FieldInfo]]) -> str:
    rows = "\n".join(
        f"| `{prefix}{name}` | {_values(field)} | {_default(field)} | {_text(field)} |" for name, field in fields
    )
    return f"\n## {title}\n\n| setting | values | default | meaning |\n|---|---|---|---|\n{rows}"


def _classes(annotation: Any) -> list[type[BaseModel]]:
    """Return the classes of settings in an annotation; none for a plain value."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if typing.get_origin(annotation) in (typing.Union, types.UnionType, typing.Annotated):
        return [kind for part in typing.get_args(annotation) for kind in _classes(part)]
    return []


def _values(field: FieldInfo) -> str:
    bounds = [
        f"{sign} {getattr(limit, name):g}"
        for limit in field.metadata
        for kind, sign in _SIGNS.items()
        for name in (kind.__name__.lower(),)
        if isinstance(limit, kind)
    ]
    return _escaped(" ".join([_kind(field.annotation), *bounds]))


def _kind(annotation: Any) -> str:
    origin, parts = typing.get_origin(annotation), typing.get_args(annotation)
    if annotation is type(None):
        return "null"
    if origin is typing.Literal:
        return ", ".join(map(str, parts))
    if origin in (typing.Union, types.UnionType):
        return " or ".join(map(_kind, parts))
    if origin is typing.Annotated:
        return _kind(parts[0])
    if origin is tuple:
        inner = [_kind(part) for part in parts if part is not Ellipsis]
        return f"list of {inner[0]}" if Ellipsis in parts else f"[{', '.join(inner)}]"
    names = {"int": "whole number", "float": "number", "str": "text", "bool": "true, false", "Path": "file"}
    return names.get(getattr(annotation, "__name__", ""), str(getattr(annotation, "__name__", annotation)))


def _default(field: FieldInfo) -> str:
    if field.default is PydanticUndefined:
        return "required" if field.default_factory is None else ""
    value = field.default
    if value is None or isinstance(value, bool):
        text = {None: "null", True: "true", False: "false"}[value]
    else:
        text = f"[{', '.join(map(str, value))}]" if isinstance(value, tuple) else str(value)
    return f"`{_escaped(text)}`" if text else "empty"


def _text(field: FieldInfo) -> str:
    return _escaped(" ".join((field.description or "").split()))


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(page() + "\n", encoding="utf-8")
