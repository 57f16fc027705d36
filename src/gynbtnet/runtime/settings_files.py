"""Settings in YAML files that people write, checked when they are read."""

import re
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.json_files import first_problem
from gynbtnet.runtime.plain_data import PlainDataError, load_yaml
from gynbtnet.runtime.settings import Settings

S = TypeVar("S", bound=Settings)

_POINT = "write decimals with a point, such as 2.5"


def read_settings(kind: type[S], path: Path, name: str, remedy: str) -> S:
    """Read settings from a YAML file.

    Args:
        kind: class of the settings.
        path: the file.
        name: name of the content in messages, such as "limits".
        remedy: advice for a file that is absent or can't be used, as the end of a sentence.

    Returns:
        The settings.

    Raises:
        BadInput: If the file is absent or isn't YAML, or has an unknown key or an impossible value.
    """
    path = Path(path)
    if not path.is_file():
        raise BadInput(f"There is no file {path}; {remedy}.")
    try:
        values = load_yaml(path)
        _check_keys(values)
        return kind.model_validate(values)
    except ValidationError as error:
        raise BadInput(f"The {name} {path} cannot be used ({_problem(error)}); {remedy}.") from error
    except UnicodeDecodeError as error:
        raise BadInput(f"The {name} {path} cannot be read as YAML (it is not UTF-8 text); {remedy}.") from error
    except (OSError, PlainDataError) as error:
        raise BadInput(f"The {name} {path} cannot be read as YAML ({error}); {remedy}.") from error


def _check_keys(values: Any) -> None:
    """Check that no key is a number, such as the 5 that YAML reads in ``{limit: 2,5}``.

    Raises:
        PlainDataError: If one is.
    """
    if isinstance(values, dict):
        for key, value in values.items():
            if isinstance(key, int | float):
                raise PlainDataError(f"it has the key {key}; {_POINT}, and quote a name that is a number")
            _check_keys(value)
    elif isinstance(values, list):
        for value in values:
            _check_keys(value)


def _problem(error: ValidationError) -> str:
    """Return the first problem of a validation; that of a decimal comma with a remedy."""
    value = error.errors(include_url=False)[0]["input"]
    comma = isinstance(value, str) and re.fullmatch(r"\s*[+-]?\d+,\d+\s*", value)
    return f"{first_problem(error)}{f', {_POINT}' if comma else ''}"
