"""DICOMDIR, the table of contents of a CD or an export folder."""

from collections.abc import Iterable
from pathlib import Path

from pydicom.dataset import Dataset

from gynbtnet.imaging.dicom.objects import read_object
from gynbtnet.runtime.errors import BadInput


def is_dicomdir(path: Path) -> bool:
    """Check by its name if a file is a DICOMDIR (PS3.10 8.6)."""
    return path.name.upper() == "DICOMDIR"


def find_missing_files(directories: Iterable[Path]) -> dict[str, tuple[Path, ...]]:
    """Return the files that DICOMDIRs list but that don't exist, by SeriesInstanceUID.

    Raises:
        BadInput: If a DICOMDIR is damaged.
    """
    missing: dict[str, list[Path]] = {}
    for directory in directories:
        contents = read_object(directory, "a DICOMDIR")
        try:
            records = list(contents.get("DirectoryRecordSequence") or ())
            for series_uid, path in _files(records, directory.parent):
                if not path.is_file():
                    missing.setdefault(series_uid, []).append(path)
        except Exception as error:  # pydicom raises any exception on damaged bytes
            raise BadInput(f"{directory} can't be parsed, it is damaged or cut short; copy it again.") from error
    return {series_uid: tuple(paths) for series_uid, paths in missing.items()}


def _files(records: Iterable[Dataset], folder: Path) -> Iterable[tuple[str, Path]]:
    """Yield series and file of every image; the record of a series precedes those of its images, as writers do."""
    series_uid = ""
    for record in records:
        kind = record.get("DirectoryRecordType")
        if kind == "SERIES":
            series_uid = str(record.get("SeriesInstanceUID", ""))
        steps = record.get("ReferencedFileID")
        if steps:
            yield series_uid, folder.joinpath(*([steps] if isinstance(steps, str) else steps))
