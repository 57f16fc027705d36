"""A clinic's alias file: its own ROI names by structure."""

import datetime
from pathlib import Path

from gynbtnet.imaging.names.spelling import normalise_name
from gynbtnet.imaging.printed_names import unicode_composed
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.plain_data import PlainDataError, load_yaml

_EXPECTED = "expected one line per structure, such as “hr_ctv: [CTV MR, HR CTV D1]”"


def read_aliases(path: Path) -> dict[str, str]:
    """Read a clinic's alias file.

    A file that contains only comments has no aliases: nothing in it is confirmed yet.

    Args:
        path: YAML file that maps each structure to a list of ROI names.

    Returns:
        Structure by name, as the file has it.

    Raises:
        BadInput: If the file is absent, is not such a mapping, or gives one name to two structures.
    """
    try:
        table = load_yaml(path)
    except PlainDataError as error:
        raise BadInput(f"The alias file {path} can't be used: {error}; {_EXPECTED}.") from error
    except UnicodeDecodeError as error:
        raise BadInput(f"The alias file {path} is not UTF-8 text; {_EXPECTED}.") from error
    except OSError as error:
        raise BadInput(f"The alias file {path} can't be read ({error.strerror or error}); {_EXPECTED}.") from error
    if table is None and path.read_text(encoding="utf-8").strip():
        return {}
    if not isinstance(table, dict):
        raise BadInput(f"The alias file {path} is not a table of structures; {_EXPECTED}.")
    for structure in table:
        if not isinstance(structure, str):
            raise BadInput(
                f"The alias file {path} has a structure that YAML reads as {_kind(structure)}; expected the "
                "identifier of a structure, such as bladder. If it is one, put it into quotes."
            )
    aliases: dict[str, str] = {}
    structures: dict[str, str] = {}
    for written, names in table.items():
        structure = unicode_composed(written)
        if not isinstance(names, list):
            raise BadInput(f"The alias file {path} does not give “{structure}” a list of names; {_EXPECTED}.")
        for name in names:
            if not isinstance(name, str):
                raise BadInput(
                    f"The alias file {path} gives “{structure}” an entry that YAML reads as {_kind(name)}; expected "
                    "names: put it into quotes, such as “bladder: ['No', '1']”."
                )
            other = structures.setdefault(normalise_name(name), structure)
            if other != structure:
                raise BadInput(
                    f"The alias file {path} gives “{name}” to both {other} and {structure}; "
                    "expected one structure per name: delete it from one of them."
                )
            aliases[name] = structure
    return aliases


def _kind(value: object) -> str:
    """Return what YAML took an entry for that isn't in quotes."""
    if value is None:
        return "empty"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, datetime.date):
        return "a date"
    return "a list or table"
