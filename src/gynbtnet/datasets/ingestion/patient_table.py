"""Patients, fractions, applicators and further channels as a table says them."""

import csv
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePath
from typing import Any

from gynbtnet.datasets.ingestion.applicator import canonical_applicator
from gynbtnet.datasets.ingestion.scan_metadata import ScanMetadata
from gynbtnet.imaging.files.volume_files import is_image_file, without_suffix
from gynbtnet.imaging.printed_names import unicode_composed
from gynbtnet.runtime.errors import BadInput

_CHANNEL = "channel:"
_COLUMNS = ("folder", "patient", "fraction", "applicator")


@dataclass(frozen=True)
class PatientTable:
    """A CSV file with a row for each scan, or for all scans below one folder.

    ==================  ================================================================================================
    column              holds
    ==================  ================================================================================================
    ``folder``          where the scan lies: a folder or an image file, relative to the source
    ``patient``         who was scanned; without this column the scan's own header says it
    ``fraction``        a whole number from 1; without this column fractions are numbered in time
    ``applicator``      such as ``tandem and ring``; empty where unknown
    ``channel:NAME``    an image file of a further channel, registered to the scan, relative to the source
    ==================  ================================================================================================

    Columns stand in any order, separated by commas or semicolons. Of several rows that fit a scan the one with the
    longest folder counts; every scan needs one.

    Attributes:
        path: of the file.
        channels: the names of further channels.
        rows: what is told, by folder.
        source: what it is about.
    """

    path: Path
    channels: tuple[str, ...]
    rows: dict[PurePath, ScanMetadata]
    source: str = "table"

    @classmethod
    def load(cls, path: Path, sources: Sequence[Path]) -> "PatientTable":
        """Read a table for scans below ``sources``.

        Raises:
            BadInput: where the file is no such table, a row is told twice, or a file of a further channel is absent.
        """
        try:
            text = Path(path).read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise BadInput(f"The table {path} can't be read; expected a CSV file in UTF-8.") from error
        first = text.partition("\n")[0]
        reader = csv.DictReader(text.splitlines(), delimiter=";" if ";" in first and "," not in first else ",")
        columns = [name.strip() for name in reader.fieldnames or ()]
        channels = tuple(name.removeprefix(_CHANNEL).strip() for name in columns if name.startswith(_CHANNEL))
        others = [name for name in columns if name not in _COLUMNS and not name.startswith(_CHANNEL)]
        if "folder" not in columns or others or len(set(columns)) < len(columns) or not all(channels):
            raise BadInput(
                f"The table {path} has the columns {', '.join(columns) or 'none'}; expected folder and any of patient, "
                "fraction, applicator and channel:NAME, each once."
            )
        rows: dict[PurePath, ScanMetadata] = {}
        for number, row in enumerate(_rows(reader, path), start=2):
            cells = dict(
                zip(columns, ((cell or "").strip() for cell in list(row.values())[: len(columns)]), strict=True)
            )
            if any(cells.values()):
                folder = PurePath(unicode_composed(cells["folder"]))
                if folder in rows:
                    raise BadInput(f"Line {number} of the table {path} tells of {folder} again; expected one row each.")
                rows[folder] = _told(cells, channels, f"Line {number} of the table {path}", sources)
        return cls(Path(path), channels, rows)

    def told(self, place: PurePath, root: Path) -> ScanMetadata:
        """What it says of the scan at ``place``, relative to the source ``root``.

        Raises:
            BadInput: where no row fits the scan.
        """
        row = self.row_of(place)
        if row is None:
            raise BadInput(
                f"The table {self.path} has no row for the scan in {root / place}; expected one for every scan: add "
                "it, or take the scan out of the source."
            )
        return self.rows[row]

    def row_of(self, place: PurePath) -> PurePath | None:
        """The folder of the row that tells of ``place``; None where none does."""
        if place in self._files:
            return self._files[place]
        return next((above for above in (place, *place.parents) if above in self.rows), None)

    @cached_property
    def _files(self) -> dict[PurePath, PurePath]:
        """The rows that name image files, by the files' paths without suffix."""
        return {row.with_name(without_suffix(row.name)): row for row in self.rows if is_image_file(Path(row))}


def _rows(reader: Iterable[dict[str, Any]], path: Path) -> Iterator[dict[str, Any]]:
    try:
        yield from reader
    except csv.Error as error:  # a cell of more than 131,072 characters, for instance
        raise BadInput(f"The table {path} can't be read ({error}); expected a CSV file in UTF-8.") from error


def _told(cells: dict[str, str], channels: tuple[str, ...], where: str, sources: Sequence[Path]) -> ScanMetadata:
    if not cells["folder"]:
        raise BadInput(f"{where} names no folder; expected where its scan lies, or . for the source itself.")
    fraction = cells.get("fraction", "")
    if fraction and not re.fullmatch(r"0*[1-9][0-9]{0,3}", fraction):
        raise BadInput(f"{where} has the fraction “{fraction[:50]}”; expected a whole number from 1 to 9999.")
    files = []
    for channel in channels:
        named = cells[f"{_CHANNEL}{channel}"]
        spellings = dict.fromkeys((named, unicode_composed(named), unicodedata.normalize("NFD", named)))
        found = [source / one for source in sources for one in spellings if one and (source / one).is_file()]
        if not found:
            raise BadInput(f"{where} names “{named}” for {channel}, and there is no such file below the source.")
        files.append(found[0])
    applicator = cells.get("applicator", "")
    return ScanMetadata(
        patient=unicode_composed(cells.get("patient", "")) or None,
        fraction=int(fraction) if fraction else None,
        applicator=canonical_applicator(applicator) if applicator else None,
        channels=tuple(files),
    )
