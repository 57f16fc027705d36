"""JSON and YAML from anywhere, parsed within limits on size, depth, expansion and time.

Both formats can describe far more than they hold. YAML repeats an anchored value wherever an alias names it, so that
1 kB expands to gigabytes. Deep nesting exhausts the interpreter's stack. The limits are far above what plans, cohorts
and recipes need.
"""

import json
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import yaml

MAX_JSON_BYTES = 256 * 2**20
MAX_YAML_BYTES = 2**20
MAX_DEPTH = 64
MAX_YAML_VALUES = 100_000
"""Scalars, lists and mappings of a YAML document, each alias counted as often as it is expanded."""

_Loader: type[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class PlainDataError(ValueError):
    """Raised if a text is not JSON or YAML, or exceeds the limits of this module."""

    def __init__(self, reason: str, line: int | None = None) -> None:
        super().__init__(reason if line is None else f"{reason}, at line {line}")


def load_json(path: Path) -> Any:
    """Parse a JSON file as :func:`parse_json` does, reading no more than the limit.

    Raises:
        PlainDataError: See :func:`parse_json`.
        OSError: If the file can't be read.
    """
    return parse_json(first_bytes(path, MAX_JSON_BYTES))


def load_yaml(path: Path) -> Any:
    """Parse a YAML file in UTF-8 as :func:`parse_yaml` does, reading no more than the limit.

    Raises:
        PlainDataError: See :func:`parse_yaml`.
        UnicodeDecodeError: If it is not UTF-8 text.
        OSError: If the file can't be read.
    """
    return parse_yaml(first_bytes(path, MAX_YAML_BYTES).decode("utf-8"))


def first_bytes(path: Path, most: int) -> bytes:
    """Read a file that has at most ``most`` bytes, even if the reported size is wrong, as for a device.

    Raises:
        PlainDataError: If it has more.
        OSError: If it can't be read.
    """
    with Path(path).open("rb") as file:
        content = b"" if os.fstat(file.fileno()).st_size > most else file.read(most + 1)
        if len(content) > most or os.fstat(file.fileno()).st_size > most:
            raise PlainDataError(f"it has more than the {most / 1e6:.0f} MB allowed")
    return content


def parse_json(content: bytes) -> Any:
    """Parse JSON of finite numbers, with every key of an object once.

    Args:
        content: the bytes of a file, in UTF-8, UTF-16 or UTF-32.

    Returns:
        Mappings, lists, strings, numbers, booleans and None.

    Raises:
        PlainDataError: If it is not JSON, holds NaN, an infinity or a key twice, or exceeds a limit.
    """
    if len(content) > MAX_JSON_BYTES:
        raise PlainDataError(f"it has {len(content) / 1e6:.0f} MB, more than the {MAX_JSON_BYTES / 1e6:.0f} MB allowed")
    try:
        values = json.loads(
            content, parse_constant=_refuse_constant, parse_float=_finite, object_pairs_hook=_without_repeated_keys
        )
    except PlainDataError:
        raise
    except RecursionError as error:
        raise PlainDataError(f"it is nested more than {MAX_DEPTH} levels deep") from error
    except UnicodeDecodeError as error:
        raise PlainDataError("it is not UTF-8 text") from error
    except ValueError as error:  # JSONDecodeError, and whole numbers of thousands of digits
        raise PlainDataError(f"it is not JSON: {error}") from error
    _check_depth(values)
    return values


def parse_yaml(text: str) -> Any:
    """Parse one YAML document of plain values, with every key of a mapping once.

    The document is measured event by event before any value is built.

    Args:
        text: the document.

    Returns:
        Mappings, lists, strings, numbers, dates, booleans and None.

    Raises:
        PlainDataError: If it is not YAML, contains itself, repeats a key, or exceeds a limit.
    """
    if len(text) > MAX_YAML_BYTES:
        raise PlainDataError(f"it has {len(text) / 1e6:.1f} MB, more than the {MAX_YAML_BYTES / 1e6:.0f} MB allowed")
    try:
        _measure(yaml.parse(text, Loader=_Loader))
        root = yaml.compose(text, Loader=_Loader)
        _refuse_repeated_keys(root)
        return yaml.load(text, Loader=_Loader)  # a safe loader: plain values only
    except PlainDataError:
        raise
    except yaml.MarkedYAMLError as error:
        line = None if error.problem_mark is None else error.problem_mark.line + 1
        raise PlainDataError("it is not YAML", line) from error
    except (
        yaml.YAMLError,
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
        ArithmeticError,
        RecursionError,
    ) as error:
        # such as the date 2026-13-45 and !!bool maybe: PyYAML's constructors check little
        raise PlainDataError(f"it is not YAML: {' '.join(str(error).split())[:200]}") from error


def _refuse_constant(name: str) -> NoReturn:
    raise PlainDataError(f"it holds {name}, which is not a number")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise PlainDataError(f"it holds {text}, which is too large for a number")
    return value


def _without_repeated_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for key, value in pairs:
        if key in values:
            raise PlainDataError(f"it holds the key {key!r} twice")
        values[key] = value
    return values


def _check_depth(values: Any) -> None:
    level = [values]
    for _ in range(MAX_DEPTH + 1):
        level = [child for value in level for child in _children(value)]
        if not level:
            return
    raise PlainDataError(f"it is nested more than {MAX_DEPTH} levels deep")


def _children(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        yield from value.values()
    elif isinstance(value, list):
        yield from value


def _measure(events: Iterator[Any]) -> None:
    """Count values with aliases expanded, and the depth, of a stream of YAML events."""
    sizes: dict[str, int] = {}  # values of each complete anchor, with aliases expanded
    depths: dict[str, int] = {}
    stack: list[tuple[str | None, int, int]] = []  # anchor, values before it, deepest level before it
    values, deepest = 0, 0
    for event in events:
        if isinstance(event, yaml.CollectionStartEvent):
            stack.append((event.anchor, values, deepest))
            values, deepest = values + 1, 0
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before, deepest_before = stack.pop()
            if anchor:
                sizes[anchor], depths[anchor] = values - before, deepest + 1
            deepest = max(deepest_before, deepest + 1)
        elif isinstance(event, yaml.AliasEvent):
            name = str(event.anchor)
            if name in {anchor for anchor, _, _ in stack}:
                raise PlainDataError(f"the anchor &{name} contains itself", _line(event))
            values += sizes.get(name, 1)  # an unknown anchor is an error that the parser reports
            deepest = max(deepest, depths.get(name, 0))
        elif isinstance(event, yaml.ScalarEvent):
            values += 1
            if event.anchor:
                sizes[event.anchor], depths[event.anchor] = 1, 0
        if len(stack) + deepest > MAX_DEPTH:
            raise PlainDataError(f"it is nested more than {MAX_DEPTH} levels deep", _line(event))
        if values > MAX_YAML_VALUES:
            raise PlainDataError(f"it expands to more than {MAX_YAML_VALUES} values", _line(event))


def _line(event: yaml.Event) -> int | None:
    return None if event.start_mark is None else event.start_mark.line + 1


def _refuse_repeated_keys(root: yaml.Node | None) -> None:
    """Walk the node graph, which contains an aliased node once for all its names."""
    waiting, seen = [root], set[int]()
    while waiting:
        node = waiting.pop()
        if node is None or id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            waiting += node.value
        elif isinstance(node, yaml.MappingNode):
            names = set[tuple[str, str]]()
            for key, value in node.value:
                if isinstance(key, yaml.ScalarNode):
                    name = (key.tag, key.value)
                    if name in names and key.tag != "tag:yaml.org,2002:merge":
                        raise PlainDataError(f"it holds the key {key.value!r} twice", key.start_mark.line + 1)
                    names.add(name)
                waiting += [key, value]
