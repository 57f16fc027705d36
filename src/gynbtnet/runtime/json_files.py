"""Frozen dataclasses as JSON files: written atomically, checked field by field when read."""

import hashlib
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from gynbtnet.runtime.atomic_files import atomic_write
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.plain_data import MAX_JSON_BYTES, PlainDataError, first_bytes, parse_json

T = TypeVar("T")


def write_json(value: Any, path: Path) -> None:
    """Write a dataclass as indented JSON, atomically; it may hold dataclasses, tuples, mappings and paths.

    Args:
        value: instance of a dataclass.
        path: file to write; an existing one is replaced.
    """
    with atomic_write(path) as partial:
        partial.write_bytes(_as_json(value))


def write_changed_json(value: Any, path: Path) -> None:
    """Write a dataclass as :func:`write_json` does, unless the file has this content already.

    Args:
        value: instance of a dataclass.
        path: file to write; one with other content is replaced.
    """
    if not path.is_file() or path.read_bytes() != _as_json(value):
        write_json(value, path)


def read_json(kind: type[T], path: Path, remedy: str) -> T:
    """Read what :func:`write_json` wrote.

    Args:
        kind: the dataclass that the file must hold.
        path: the file.
        remedy: advice for an absent or damaged file, as the end of a sentence.

    Returns:
        The content as an instance of ``kind``.

    Raises:
        BadInput: If the file is absent, truncated or not JSON, or if a field is missing, unknown or of a wrong type.
    """
    if not path.is_file():
        raise BadInput(f"There is no file {path}; {remedy}.")
    try:
        content = first_bytes(path, MAX_JSON_BYTES)
        parse_json(content)  # checks limits and NaN, which pydantic does not
        return TypeAdapter(kind).validate_json(content)
    except (PlainDataError, OSError) as error:
        raise BadInput(f"{path} is damaged or was edited ({error}); {remedy}.") from error
    except ValidationError as error:
        raise BadInput(f"{path} is damaged or was edited ({first_problem(error)}); {remedy}.") from error


def _as_json(value: Any) -> bytes:
    return TypeAdapter(type(value)).dump_json(value, indent=1)


def first_problem(error: ValidationError) -> str:
    """Return the first problem of a validation with its location, such as ``structures.0: Field required``."""
    first = error.errors(include_url=False, include_input=False)[0]
    location = ".".join(map(str, first["loc"])) or "the whole file"
    return f"{location}: {first['msg']}"


def sha256_of(*files: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal; for several files, the SHA-256 of their digests in that order.

    Args:
        *files: one or several files.

    Returns:
        The digest, 64 hexadecimal digits.
    """
    digests = []
    for path in files:
        with path.open("rb") as stream:
            digests.append(hashlib.file_digest(stream, "sha256"))
    if len(digests) == 1:
        return digests[0].hexdigest()
    return hashlib.sha256(b"".join(digest.digest() for digest in digests)).hexdigest()
