"""Names of structures: ids in the code, TG-263 names, and the names that clinics use."""

import colorsys
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gynbtnet.imaging.printed_names import unicode_composed
from gynbtnet.imaging.targets import target_type
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.plain_data import PlainDataError, load_yaml

Colour = tuple[int, int, int]

_TABLE = Path(__file__).with_suffix(".yaml")


@dataclass(frozen=True)
class StructureNames:
    """The names of structures; see ``structure_names.yaml``.

    Attributes:
        entries: values of the table by structure: ``tg263``, ``type``, ``colour``, ``code`` and ``aliases``.
        aliases: structure by normalised name.
    """

    entries: Mapping[str, Mapping[str, Any]]
    aliases: Mapping[str, str]

    @classmethod
    def load(cls, alias_file: Path | None = None) -> "StructureNames":
        """Return the table of the package, extended by a clinic's alias file.

        Args:
            alias_file: YAML file that maps each structure to a list of ROI names. Its aliases take precedence over
                those of the package.

        Raises:
            BadInput: If the file is absent, is not such a mapping, or gives one name to two structures.
        """
        entries = load_yaml(_TABLE)
        aliases = {
            normalise_name(name): structure
            for structure, entry in entries.items()
            for name in (structure, entry["tg263"], *entry["aliases"])
        }
        return cls(entries, aliases | (_read_aliases(Path(alias_file)) if alias_file is not None else {}))

    def resolve(self, roi_name: str, structures: Sequence[str] = ()) -> str | None:
        """Return the structure to which a name in a clinic's file belongs; None if there is none.

        Args:
            roi_name: name of a ROI.
            structures: requested structures; their ids take precedence over the aliases.

        Example:
            >>> names = StructureNames.load()
            >>> names.resolve("HR-CTV"), names.resolve("BLADDER"), names.resolve("Couch")
            ('hr_ctv', 'bladder', None)
        """
        name = normalise_name(roi_name)
        for structure in structures:
            if normalise_name(structure) == name:
                return structure
        return self.aliases.get(name)

    def display_name(self, structure: str) -> str:
        """Return the name that people read in reports and pictures; a structure outside the table keeps its id."""
        return str(self.entries[structure]["name"]) if structure in self.entries else structure

    def tg263(self, structure: str) -> str:
        """Return the name that is written to DICOM; a structure outside the table keeps its id."""
        return str(self.entries[structure]["tg263"]) if structure in self.entries else structure

    def interpreted_type(self, structure: str) -> str:
        """Return DICOM's RT ROI Interpreted Type; outside the table, a target's type by its name, otherwise ORGAN."""
        if structure in self.entries:
            return str(self.entries[structure]["type"])
        return target_type(structure) or "ORGAN"

    def snomed_code(self, structure: str) -> tuple[str, str]:
        """Return SNOMED CT value and meaning; outside the table, those of a clinical target volume or of a tissue."""
        if structure in self.entries:
            value, meaning = self.entries[structure]["code"]
            return str(value), str(meaning)
        if self.interpreted_type(structure) == "CTV":
            return "228792002", "Clinical target volume"
        return "85756007", "Tissue"

    def colour(self, structure: str) -> Colour:
        """Return red, green and blue from 0 to 255; outside the table, a hue computed from the name."""
        if structure in self.entries:
            red, green, blue = self.entries[structure]["colour"]
            return red, green, blue
        hue = int.from_bytes(hashlib.sha256(structure.encode()).digest()[:4], "big") / 2**32
        red, green, blue = (round(255 * part) for part in colorsys.hsv_to_rgb(hue, 0.8, 0.9))
        return red, green, blue


def normalise_name(name: str) -> str:
    """Return a name without case, spaces, hyphens, underscores and coding of accents, which comparisons ignore."""
    folded = unicode_composed(unicode_composed(name).casefold())
    return "".join(character for character in folded if not character.isspace() and character not in "-_")


def _read_aliases(path: Path) -> dict[str, str]:
    """Read a clinic's alias file: structure by normalised name."""
    expected = "expected one line per structure, such as “hr_ctv: [CTV MR, HR CTV D1]”"
    try:
        table = load_yaml(path)
    except (OSError, UnicodeDecodeError, PlainDataError) as error:
        raise BadInput(f"The alias file {path} can't be read as YAML; {expected}.") from error
    if not isinstance(table, dict) or not all(isinstance(structure, str) for structure in table):
        raise BadInput(f"The alias file {path} is not a table of structures; {expected}.")
    aliases: dict[str, str] = {}
    for written, names in table.items():
        structure = unicode_composed(written)
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise BadInput(f"The alias file {path} does not give “{structure}” a list of names; {expected}.")
        for name in names:
            other = aliases.setdefault(normalise_name(name), structure)
            if other != structure:
                raise BadInput(
                    f"The alias file {path} gives “{name}” to both {other} and {structure}; "
                    "expected one structure per name: delete it from one of them."
                )
    return aliases
