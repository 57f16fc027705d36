"""Settings read from a YAML file that a person edits, with one sentence about the first mistake."""

from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.plain_data import PlainDataError, load_yaml
from gynbtnet.runtime.settings import Settings

S = TypeVar("S", bound=Settings)


def load_settings(kind: type[S], path: Path, *, name: str, if_wrong: str, if_unreadable: str) -> S:
    """Read settings from a YAML file.

    Args:
        kind: class of the settings.
        path: the file.
        name: name of the file in messages, with its article.
        if_wrong: advice if a key or value is not possible.
        if_unreadable: advice if the file is absent or not YAML.

    Returns:
        The settings.

    Raises:
        BadInput: If the file is absent, isn't YAML, or a key or value is not possible.
    """
    try:
        return kind.model_validate(load_yaml(Path(path)))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        location = ".".join(map(str, first["loc"])) or "the whole file"
        raise BadInput(f"{name} {path} cannot be used ({location}: {first['msg']}); {if_wrong}.") from error
    except (OSError, UnicodeDecodeError, PlainDataError) as error:
        reason = (isinstance(error, OSError) and error.strerror) or error
        raise BadInput(f"{name} {path} cannot be read as YAML ({reason}); {if_unreadable}.") from error
