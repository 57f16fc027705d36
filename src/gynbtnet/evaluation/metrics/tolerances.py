"""Tolerances of the surface DSC by structure, read from a YAML table."""

from collections.abc import Mapping
from pathlib import Path

from pydantic import Field, ValidationError

from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.plain_data import PlainDataError, load_yaml
from gynbtnet.runtime.settings import Settings

EXAMPLE = Path(__file__).with_name("tolerances.yaml")
"""File of tolerances to start from."""


class Tolerance(Settings):
    """Tolerance of one structure."""

    tolerance_mm: float = Field(gt=0, le=100)
    source: str = Field(min_length=1)


class Tolerances(Settings):
    """Table of tolerances; see ``tolerances.yaml``.

    Attributes:
        structures: tolerance of each structure with its source.
    """

    structures: Mapping[str, Tolerance] = Field(min_length=1)

    @classmethod
    def load(cls, path: Path = EXAMPLE) -> "Tolerances":
        """Read a table.

        Raises:
            BadInput: If the file is missing or is not such a table.
        """
        try:
            return cls.model_validate(load_yaml(Path(path)))
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            location = ".".join(map(str, first["loc"])) or "the whole file"
            raise BadInput(
                f"The tolerances {path} cannot be used ({location}: {first['msg']}); expected the form of "
                f"{EXAMPLE.name}, which is included in this package."
            ) from error
        except (OSError, UnicodeDecodeError, PlainDataError) as error:
            raise BadInput(f"The tolerances {path} cannot be read as YAML; give an existing file.") from error

    @property
    def tolerances_mm(self) -> dict[str, float]:
        """Tolerance in mm by structure."""
        return {structure: entry.tolerance_mm for structure, entry in self.structures.items()}
