"""DICOMDIR, the table of contents of a CD or an export folder."""

from collections.abc import Iterable
from pathlib import Path

from pydicom.dataset import Dataset

from gynbtnet.imaging.dicom.objects import read_object
from gynbtnet.runtime.errors import BadInput


def is_directory_file(path: Path) -> bool:
    """Whether a file is a DICOMDIR, by its name (PS3.10 8.6)."""
    return path.name.upper() == "DICOMDIR"


def find_absent_files(directories: Iterable[Path]) -> dict[str, tuple[Path, ...]]:
    """By SeriesInstanceUID, the files that DICOMDIRs name and that are not there.

    Raises:
        BadInput: where a DICOMDIR is damaged.
    """
    absent: dict[str, list[Path]] = {}
    for directory in directories:
        contents = read_object(directory, "a DICOMDIR")
        try:
            records = list(contents.get("DirectoryRecordSequence") or ())
            for series_uid, path in _files(records, directory.parent):
                if not path.is_file():
                    absent.setdefault(series_uid, []).append(path)
        except Exception as error:  # pydicom raises anything at all on damaged bytes
            raise BadInput(f"{directory} can't be parsed, it is damaged or cut short; copy it again.") from error
    return {series_uid: tuple(paths) for series_uid, paths in absent.items()}


def _files(records: Iterable[Dataset], folder: Path) -> Iterable[tuple[str, Path]]:
    """Series and file of every image; a series' record stands before those of its images, as writers order them."""
    series_uid = ""
    for record in records:
        kind = record.get("DirectoryRecordType")
        if kind == "SERIES":
            series_uid = str(record.get("SeriesInstanceUID", ""))
        steps = record.get("ReferencedFileID")
        if steps:
            yield series_uid, folder.joinpath(*([steps] if isinstance(steps, str) else steps))
