"""Names of structures: ids in the code, TG-263 names, and the names that clinics use."""

import colorsys
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from gynbtnet.imaging.names.alias_file import read_aliases
from gynbtnet.imaging.names.name_cores import NameCore, find_cores, whole_core
from gynbtnet.imaging.names.proposals import propose_structures
from gynbtnet.imaging.names.spelling import normalise_name
from gynbtnet.imaging.targets import target_type
from gynbtnet.runtime.plain_data import load_yaml

Colour = tuple[int, int, int]

DEFAULT_STRUCTURES = ("hr_ctv", "bladder", "rectum", "sigmoid", "uterus")
"""Structures that are contoured unless others are requested, in label order."""

_TABLE = Path(__file__).with_suffix(".yaml")


@dataclass(frozen=True)
class NameMatch:
    """Structure that a name belongs to.

    Attributes:
        structure: the structure.
        rank: 0, a name in a clinic's alias file; 1, a name in the table; 2, such a name among other words. If several
            ROIs belong to one structure, those of the lowest rank are meant.
    """

    structure: str
    rank: int


@dataclass(frozen=True)
class StructureNames:
    """The names of structures; see ``structure_names.yaml``.

    Attributes:
        entries: values of the table by structure: ``tg263``, ``type``, ``colour``, ``code``, ``aliases`` and, for most,
            ``languages``.
        aliases: structure by normalised name.
        cores: structure by the core of a name, which is read within longer names.
        own: normalised names from a clinic's alias file.
    """

    entries: Mapping[str, Mapping[str, Any]]
    aliases: Mapping[str, str]
    cores: Mapping[NameCore, str] = field(default_factory=dict)
    own: frozenset[str] = frozenset()

    @classmethod
    def load(cls, alias_file: Path | None = None) -> "StructureNames":
        """Return the table of the package, extended by a clinic's alias file.

        Args:
            alias_file: YAML file that maps each structure to a list of ROI names. Its aliases take precedence over
                those of the package.

        Raises:
            BadInput: If the file is absent, is not such a mapping, or gives one name to two structures.
        """
        table = _built_in_names()
        if alias_file is None:
            return table
        written = read_aliases(Path(alias_file))
        aliases = {normalise_name(name): structure for name, structure in written.items()}
        cores = {core: structure for name, structure in written.items() if (core := _core(name, structure))}
        return cls(table.entries, {**table.aliases, **aliases}, {**table.cores, **cores}, frozenset(aliases))

    def unknown_structures(self, structures: Iterable[str], further: Iterable[str] = ()) -> tuple[str, ...]:
        """Return the structures that are neither in the table, nor in the alias file, nor among further ones.

        Args:
            structures: identifiers of structures, such as those of a user's table.
            further: other identifiers that are known, such as those of a cohort.

        Example:
            >>> StructureNames.load().unknown_structures(["bladder", "blader"])
            ('blader',)
        """
        known = {*self.entries, *self.aliases.values(), *further}
        return tuple(name for name in structures if name not in known)

    def resolve(self, roi_name: str, structures: Sequence[str] = ()) -> str | None:
        """Return the structure to which a name in a clinic's file belongs; None if there is none.

        Args:
            roi_name: name of a ROI.
            structures: requested structures; their ids take precedence over the aliases.

        Example:
            >>> names = StructureNames.load()
            >>> names.resolve("HR-CTV"), names.resolve("zBladder_Fx2"), names.resolve("Couch")
            ('hr_ctv', 'bladder', None)
        """
        match = self.match(roi_name, structures)
        return match.structure if match else None

    def match(self, roi_name: str, structures: Sequence[str] = ()) -> NameMatch | None:
        """Return the structure to which a name belongs and how certain that is; None if there is none.

        A name belongs to a structure if it is one of its names or aliases. Around it there may be words that don't
        change what was contoured: prefixes, fraction, plan, date, version, modality, reader. A name with any other
        word, or without the side of a structure that has one, belongs to none.

        Args:
            roi_name: name of a ROI.
            structures: requested structures; their ids take precedence over the aliases.
        """
        name = normalise_name(roi_name)
        rank = 0 if name in self.own else 1
        for structure in structures:
            if normalise_name(structure) == name:
                return NameMatch(structure, rank)
        if name in self.aliases:
            return NameMatch(self.aliases[name], rank)
        known = [(len(core.key), self.cores[core]) for core in find_cores(roi_name) if core in self.cores]
        longest = {structure for length, structure in known if length == known[0][0]}
        return NameMatch(longest.pop(), 2) if len(longest) == 1 else None

    def requested(self, written: str) -> str:
        """Return the id of a requested structure that is written as any of its names; other names are ids themselves.

        Example:
            >>> StructureNames.load().requested("HR-CTV"), StructureNames.load().requested("GTV_Mass")
            ('hr_ctv', 'GTV_Mass')
        """
        match = self.match(written)
        return match.structure if match and match.rank < 2 else written

    def propose(self, roi_name: str) -> tuple[str, ...]:
        """Return the structures that a name is similar to but doesn't belong to; several if it is ambiguous."""
        return () if self.match(roi_name) else propose_structures(roi_name, self.cores)

    def did_you_mean(self, structures: Sequence[str]) -> str:
        """Return a question with the known structures that unknown requested ones are similar to, or nothing."""
        unknown = [structure for structure in structures if structure not in self.entries]
        meant = sorted({proposal for structure in unknown for proposal in self.propose(structure)})
        return f"Did you mean {' or '.join(meant)}? " if meant else ""

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


@cache
def _built_in_names() -> StructureNames:
    entries = load_yaml(_TABLE)
    written = [
        (name, structure)
        for structure, entry in entries.items()
        for name in (structure, entry["name"], entry["tg263"], *entry["aliases"])
    ]
    # of a structure on one side, the names in other languages are those of both sides
    languages = [
        (name, structure)
        for structure, entry in entries.items()
        for names in entry.get("languages", {}).values()
        for name in names
    ]
    exact = [*written, *((name, structure) for name, structure in languages if not _side(structure))]
    aliases = {normalise_name(name): structure for name, structure in exact}
    cores = {core: structure for name, structure in written if (core := _core(name, structure))}
    cores |= {
        replace(core, side=_side(structure)): structure
        for name, structure in languages
        if (core := _core(name, structure))
    }
    return StructureNames(entries, aliases, cores)


def _core(name: str, structure: str) -> NameCore | None:
    return whole_core(name, sided=bool(_side(structure)))


def _side(structure: str) -> str:
    """Return the side that the id of a structure ends with: “left”, “right” or nothing."""
    end = structure.rpartition("_")[2]
    return end if end in ("left", "right") else ""
