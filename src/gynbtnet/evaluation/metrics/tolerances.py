"""Tolerances of the surface DSC by structure, read from a YAML table."""

from collections.abc import Mapping
from pathlib import Path

from pydantic import Field

from gynbtnet.runtime.settings import Settings
from gynbtnet.runtime.settings_files import read_settings

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
        remedy = f"expected the form of {EXAMPLE.name}, which is included in this package"
        return read_settings(cls, path, "tolerances", remedy)

    @property
    def tolerances_mm(self) -> dict[str, float]:
        """Tolerance in mm by structure."""
        return {structure: entry.tolerance_mm for structure, entry in self.structures.items()}
