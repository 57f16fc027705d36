"""Settings in YAML files that people write, checked when they are read."""

from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.json_files import first_problem
from gynbtnet.runtime.plain_data import PlainDataError, load_yaml
from gynbtnet.runtime.settings import Settings

S = TypeVar("S", bound=Settings)


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
        return kind.model_validate(load_yaml(path))
    except ValidationError as error:
        raise BadInput(f"The {name} {path} cannot be used ({first_problem(error)}); {remedy}.") from error
    except (OSError, UnicodeDecodeError, PlainDataError) as error:
        raise BadInput(f"The {name} {path} cannot be read as YAML ({error}); {remedy}.") from error
