"""Table of patients, fractions, applicators and further channels."""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePath

from gynbtnet.datasets.ingestion.applicator import canonical_applicator
from gynbtnet.datasets.ingestion.scan_metadata import ScanMetadata
from gynbtnet.imaging.files.volume_files import is_image_file, without_suffix
from gynbtnet.imaging.printed_names import unicode_composed
from gynbtnet.runtime.csv_rows import read_csv_rows
from gynbtnet.runtime.errors import BadInput

_CHANNEL = "channel:"
_COLUMNS = ("folder", "patient", "fraction", "applicator")


@dataclass(frozen=True)
class PatientTable:
    """A CSV file with one row per scan, or one row for all scans below a folder.

    Columns:

    - ``folder``: path of the scan, a folder or an image file, relative to the source.
    - ``patient``: identifier of the patient. Without this column, that of the scan's own header.
    - ``fraction``: a whole number from 1. Without this column, fractions are numbered by time.
    - ``applicator``: the applicator, such as ``tandem and ring``; empty if unknown.
    - ``channel:NAME``: an image file of a further channel, registered to the scan, relative to the source.

    Columns can be in any order, separated by commas or semicolons. If several rows fit a scan, the one with the longest
    folder is used; every scan needs one.

    Attributes:
        path: path of the file.
        channels: names of further channels.
        rows: metadata by folder.
        source: source of the metadata in manifests.
    """

    path: Path
    channels: tuple[str, ...]
    rows: dict[PurePath, ScanMetadata]
    source: str = "table"

    @classmethod
    def load(cls, path: Path, sources: Sequence[Path]) -> "PatientTable":
        """Read a table for scans below ``sources``.

        Raises:
            BadInput: If the file is not such a table, or a row has too many cells. Also if two rows have the same
                folder, or the file of a further channel is absent.
        """
        table = read_csv_rows(Path(path))
        columns = table.columns
        channels = tuple(name.removeprefix(_CHANNEL).strip() for name in columns if name.startswith(_CHANNEL))
        unknown = [name for name in columns if name not in _COLUMNS and not name.startswith(_CHANNEL)]
        if "folder" not in columns or unknown or len(set(columns)) < len(columns) or not all(channels):
            raise BadInput(
                f"The table {path} has the columns {', '.join(columns) or 'none'}; expected folder and any of patient, "
                "fraction, applicator and channel:NAME, each once."
            )
        rows: dict[PurePath, ScanMetadata] = {}
        for number, cells in table.rows.items():
            folder = PurePath(unicode_composed(cells["folder"]))
            if folder in rows:
                raise BadInput(f"Line {number} of the table {path} repeats {folder}; expected one row each.")
            rows[folder] = _parse_row(cells, channels, f"Line {number} of the table {path}", sources)
        return cls(Path(path), channels, rows)

    def read_metadata(self, path: PurePath, root: Path) -> ScanMetadata:
        """Return the metadata of the scan at ``path``, relative to the source ``root``.

        Raises:
            BadInput: If no row fits the scan.
        """
        folder = self.find_row(path)
        if folder is None:
            raise BadInput(
                f"The table {self.path} has no row for the scan in {root / path}; expected one for every scan: add "
                "it, or remove the scan from the source."
            )
        return self.rows[folder]

    def find_row(self, path: PurePath) -> PurePath | None:
        """Return the folder of the row that describes ``path``; None if there is none."""
        if path in self._files:
            return self._files[path]
        return next((folder for folder in (path, *path.parents) if folder in self.rows), None)

    @cached_property
    def _files(self) -> dict[PurePath, PurePath]:
        """Rows that name image files, by the files' paths without suffix."""
        return {row.with_name(without_suffix(row.name)): row for row in self.rows if is_image_file(Path(row))}


def _parse_row(cells: Mapping[str, str], channels: tuple[str, ...], line: str, sources: Sequence[Path]) -> ScanMetadata:
    """Return the metadata of a row; ``line`` names the row in messages."""
    if not cells["folder"]:
        raise BadInput(f"{line} names no folder; expected the folder of its scan, or . for the source itself.")
    fraction = cells.get("fraction", "")
    if fraction and not re.fullmatch(r"0*[1-9][0-9]{0,3}", fraction):
        raise BadInput(f"{line} has the fraction “{fraction[:50]}”; expected a whole number from 1 to 9999.")
    files = []
    for channel in channels:
        name = cells[f"{_CHANNEL}{channel}"]
        spellings = dict.fromkeys((name, unicode_composed(name), unicodedata.normalize("NFD", name)))
        paths = [source / spelling for source in sources for spelling in spellings if spelling]
        path = next((path for path in paths if path.is_file()), None)
        if path is None:
            raise BadInput(f"{line} names “{name}” for {channel}, but there is no such file below the source.")
        files.append(path)
    applicator = cells.get("applicator", "")
    return ScanMetadata(
        patient=unicode_composed(cells.get("patient", "")) or None,
        fraction=int(fraction) if fraction else None,
        applicator=canonical_applicator(applicator) if applicator else None,
        channels=tuple(files),
    )
