"""Docstrings of public names have the Google form and name every argument, field, result and error."""

import ast
import importlib
import inspect
import re
import textwrap
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from types import FunctionType
from typing import Any

import pytest
from pydantic import BaseModel

SOURCE = Path(__file__).parents[1] / "src"
FRONTS = [
    "gynbtnet",
    *(f"gynbtnet.{path.parent.name}" for path in sorted((SOURCE / "gynbtnet").glob("*/__init__.py"))),
]
IMPERATIVE = re.compile(r"[A-Z][a-z-]+(?<![^s]s)(?<!ing)\b")
"""Neither "Returns" nor "Returning" begins a summary; ruff's D401 checks the rest."""
SECTION = re.compile(r"^(Args|Attributes|Example|Note|Raises|Returns|Yields):$")
ENTRY = re.compile(r"^ {4}(\*{0,2}\w+(?:, \*{0,2}\w+)*)(?: \(.*\))?: \S")


@cache
def syntax_tree(module: str) -> ast.Module:
    path = SOURCE / Path(*module.split("."))
    return ast.parse((path / "__init__.py" if path.is_dir() else path.with_suffix(".py")).read_text("utf-8"))


@cache
def imported_names(module: str) -> dict[str, tuple[str, str]]:
    """Names that a module imports, with the module and the name that each is imported from."""
    return {
        alias.asname or alias.name: (node.module or "", alias.name)
        for node in ast.walk(syntax_tree(module))
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


def defining_module(module: str, name: str) -> tuple[str, str]:
    """Follow imports to the module that defines a name."""
    while name in imported_names(module) and imported_names(module)[name][0].startswith("gynbtnet"):
        module, name = imported_names(module)[name]
    return module, name


def public_names() -> dict[tuple[str, str], Any]:
    """Return each public value of ours by the module that defines it and its name there."""
    values = {}
    for front in FRONTS:
        package = importlib.import_module(front)
        for name in getattr(package, "__all__", ()):
            values[defining_module(front, name)] = getattr(package, name)
    return values


PUBLIC = public_names()
FUNCTIONS = {key: value for key, value in PUBLIC.items() if isinstance(inspect.unwrap(value), FunctionType)}
CLASSES = {key: value for key, value in PUBLIC.items() if inspect.isclass(value)}
CONSTANTS = [key for key in PUBLIC if key not in FUNCTIONS and key not in CLASSES]


def sections(docstring: str) -> dict[str, list[str]]:
    """Return the lines of each section; the lines before the first section are ``""``."""
    parts: dict[str, list[str]] = {"": []}
    title = ""
    for line in docstring.splitlines():
        if match := SECTION.match(line):
            title = match[1]
            parts[title] = []
        else:
            parts[title].append(line)
    return parts


def entries(lines: list[str]) -> set[str]:
    """Return the names that a section describes; one entry may describe several, as in ``read, write: …``."""
    return {name.lstrip("*") for line in lines if (match := ENTRY.match(line)) for name in match[1].split(", ")}


def raised_errors(function: Any) -> Iterator[str]:
    """Names of the exceptions that the body itself raises and does not catch, without those of nested functions."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(inspect.unwrap(function)))).body[0]
    pending: list[tuple[ast.AST, frozenset[str]]] = [(node, frozenset()) for node in ast.iter_child_nodes(tree)]
    while pending:
        node, caught = pending.pop()
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and isinstance(node.exc.func, ast.Name):
            if node.exc.func.id not in caught:
                yield node.exc.func.id
        elif isinstance(node, ast.Try):
            types = [handler.type for handler in node.handlers if handler.type]
            names = {name.id for kind in types for name in ast.walk(kind) if isinstance(name, ast.Name)}
            pending += [(child, caught | names) for child in node.body]
            pending += [(child, caught) for child in (*node.handlers, *node.orelse, *node.finalbody)]
        elif not isinstance(node, (ast.FunctionDef, ast.Lambda, ast.ClassDef)):
            pending += [(child, caught) for child in ast.iter_child_nodes(node)]


def function_violations(function: Any) -> Iterator[str]:
    docstring = inspect.getdoc(function)
    if not docstring:
        yield "no docstring"
        return
    parts = sections(docstring)
    if not IMPERATIVE.match(docstring):
        yield f"the summary is not in the imperative: {docstring.splitlines()[0]}"
    parameters = [name for name in inspect.signature(function).parameters if name not in {"self", "cls"}]
    described = entries(parts.get("Args", []))
    if missing := [name for name in parameters if name not in described]:
        yield f"Args lacks {', '.join(missing)}"
    if unknown := sorted(described - set(parameters)):
        yield f"Args describes {', '.join(unknown)}, which the function doesn't have"
    returned = inspect.unwrap(function).__annotations__.get("return")
    if returned not in {None, "None", Iterator[None]} and not {"Returns", "Yields"} & set(parts):
        yield "no Returns"
    if returned in {None, "None"} and "Returns" in parts:
        yield "Returns of a function that returns None"
    if missing := sorted(set(raised_errors(function)) - entries(parts.get("Raises", []))):
        yield f"Raises lacks {', '.join(missing)}"


def documented_fields(cls: type) -> set[str]:
    """Return the fields that a class and the classes it extends describe in sections or by strings below them."""
    names: set[str] = set()
    for ancestor in cls.__mro__:
        if not ancestor.__module__.startswith("gynbtnet"):
            continue
        parts = sections(inspect.cleandoc(ancestor.__doc__ or ""))
        names |= entries(parts.get("Attributes", [])) | entries(parts.get("Args", []))
        body = ast.parse(textwrap.dedent(inspect.getsource(ancestor))).body[0]
        assert isinstance(body, ast.ClassDef)
        for node, following in pairwise(body.body):
            described = isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant)
            if described and isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                names.add(node.target.id)
    return names


def class_violations(cls: type) -> Iterator[str]:
    docstring = inspect.cleandoc(cls.__doc__ or "")
    if not docstring:
        yield "no docstring"
        return
    if issubclass(cls, BaseModel):
        values = [name for name, field in cls.model_fields.items() if not field.description]
    elif is_dataclass(cls):
        values = [field.name for field in fields(cls)]
    elif issubclass(cls, tuple):
        values = list(getattr(cls, "_fields", ()))
    else:
        protocol = getattr(cls, "_is_protocol", False)
        own = not protocol and any(
            "__init__" in vars(ancestor) for ancestor in cls.__mro__ if ancestor.__module__.startswith("gynbtnet")
        )
        values = list(inspect.signature(cls.__init__).parameters)[1:] if own else []
        if issubclass(cls, Exception):
            values = []
    if missing := [name for name in values if not name.startswith("_") and name not in documented_fields(cls)]:
        yield f"no description of {', '.join(missing)}"
    for name, member in vars(cls).items():
        callable_member = member.__func__ if isinstance(member, (classmethod, staticmethod)) else member
        if isinstance(callable_member, (FunctionType, property)) and not name.startswith("_"):
            if not inspect.getdoc(getattr(cls, name)):
                yield f"{name} has no docstring"
            elif isinstance(callable_member, FunctionType):
                described = entries(sections(inspect.getdoc(callable_member) or "").get("Raises", []))
                if lacking := sorted(set(raised_errors(callable_member)) - described - {"NotImplementedError"}):
                    yield f"{name}: Raises lacks {', '.join(lacking)}"


def test_names_are_found() -> None:
    assert len(FUNCTIONS) > 100
    assert len(CLASSES) > 60
    assert len(CONSTANTS) > 10


@pytest.mark.parametrize("key", FUNCTIONS, ids=".".join)
def test_function(key: tuple[str, str]) -> None:
    assert list(function_violations(FUNCTIONS[key])) == []


@pytest.mark.parametrize("key", CLASSES, ids=".".join)
def test_class(key: tuple[str, str]) -> None:
    assert list(class_violations(CLASSES[key])) == []


@pytest.mark.parametrize("key", CONSTANTS, ids=".".join)
def test_constant(key: tuple[str, str]) -> None:
    """A string below its assignment describes it."""
    module, name = key
    for node, following in pairwise(syntax_tree(module).body):
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if any(isinstance(target, ast.Name) and target.id == name for target in targets):
            assert isinstance(following, ast.Expr)
            assert isinstance(following.value, ast.Constant)
            return
    pytest.fail(f"{module} doesn't define {name}")
