"""CT series in a folder tree as scans to ingest."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gynbtnet.datasets.ingestion.found_scans import FoundScan, ScanContents, natural_order
from gynbtnet.datasets.ingestion.integrity import Problem
from gynbtnet.datasets.ingestion.synthetic_flag import dicom_is_synthetic
from gynbtnet.imaging.dicom.ct_series import read_ct_files
from gynbtnet.imaging.dicom.damaged_files import DamagedFile
from gynbtnet.imaging.dicom.incomplete_series import POSSIBLY_SHORTER, Completeness, assess_completeness
from gynbtnet.imaging.dicom.objects import dicom_errors_as_bad_input, read_header
from gynbtnet.imaging.dicom.series import FoundSeries, search_series
from gynbtnet.imaging.dicom.slice_repairs import Repairs
from gynbtnet.runtime.errors import BadInput

_DATES = ("StudyDate", "StudyTime", "SeriesDate", "SeriesTime")
_DESCRIPTIONS = ("StudyDescription", "SeriesDescription")

_MAX_LISTED_FILES = 3  # damaged files of one folder that are listed one by one

MIN_SLICES = 16
"""Smallest number of images in a series of an archive; shorter series are scouts, timing runs or single planes."""


def dicom_scan(series: FoundSeries, *, doubtful: bool = False) -> FoundScan:
    """Return a CT series as a scan, with its PatientID and its date and time.

    The scan is ordered by date and time of study and series and, if these are absent, by folder.

    Args:
        series: the series.
        doubtful: a file next to the series can't be read and may be one of its slices; a note reports it.

    Raises:
        BadInput: If the header of its first file can't be read.
    """
    with dicom_errors_as_bad_input(series.files[0]):
        header = read_header(series.files[0], "a DICOM image", [*_DATES, *_DESCRIPTIONS, "PatientPosition"])
        dates = tuple(str(header.get(keyword, "") or "") for keyword in _DATES)
        synthetic = dicom_is_synthetic(header)
        position = str(header.get("PatientPosition", "") or "").strip() or None
    folder = Path(os.path.commonpath([path.parent for path in series.files]))
    copies = len(series.copies)
    return FoundScan(
        patient=series.patient_id.strip(),
        time_order=(*dates, *natural_order(folder)),
        folder=folder,
        files=series.files,
        series_uid=series.series_uid,
        synthetic=synthetic,
        position=position,
        notes=(
            *((POSSIBLY_SHORTER,) if doubtful else ()),
            *((f"Left out {copies} file(s) that are exact copies of others.",) if copies else ()),
        ),
    )


def read_dicom_scan(scan: FoundScan, repairs: Repairs | None) -> ScanContents:
    """Read a CT series without contours.

    Raises:
        BadInput: If it can't be read.
    """
    ct = read_ct_files(scan.files, repairs)
    return ScanContents(ct.volume, notes=(*scan.notes, *ct.notes))


def damaged_problems(damaged: Sequence[DamagedFile], completeness: Completeness) -> list[Problem]:
    """Return damaged files as problems, each with the scans that may lack it; many in one folder are one problem."""
    by_folder: dict[Path, list[DamagedFile]] = {}
    for file in damaged:
        by_folder.setdefault(file.path.parent, []).append(file)
    problems = []
    for folder, files in by_folder.items():
        is_listed = len(files) <= _MAX_LISTED_FILES
        for group in [[file] for file in files] if is_listed else [files]:
            lost = {str(series.files[0].parent) for file in group for series in completeness.made_incomplete_by(file)}
            cost = f" The scan in {', '.join(sorted(lost))} may lack it and is not taken." if lost else ""
            others = "" if is_listed else f" {len(files) - 1} more files in this folder can't be used either."
            path = folder if lost or not is_listed else group[0].path
            problems.append(Problem("unreadable", str(path), f"{group[0].reason}{others}{cost}"))
    return problems


def ct_series(folder: Path) -> tuple[list[FoundScan], tuple[Problem, ...]]:
    """Return the CT series below a folder as scans, and the problems of those that can't be taken.

    A series is left out if it may lack a damaged file, or lacks a file that a DICOMDIR lists.
    """
    series, problems = _usable_series(folder)
    return [scan for _, scan in series], problems


@dataclass(frozen=True)
class ArchiveSeries:
    """CT series in a download of an archive.

    Attributes:
        series: axial series of at least ``MIN_SLICES`` images, each as a scan too.
        problems: files and series that can't be read.
        excluded: number of CT series that are shorter or not axial.
    """

    series: tuple[tuple[FoundSeries, FoundScan], ...]
    problems: tuple[Problem, ...]
    excluded: int


def archive_series(folder: Path) -> ArchiveSeries:
    """Return the axial CT series of a download of an archive.

    Raises:
        BadInput: If there is none of at least ``MIN_SLICES`` images.
    """
    usable, problems = _usable_series(folder)
    kept = tuple((series, scan) for series, scan in usable if series.axial and series.images >= MIN_SLICES)
    if not kept:
        raise BadInput(
            f"There is no axial CT series of at least {MIN_SLICES} images below {folder}; expected the archive's "
            "DICOM files as its downloader writes them."
        )
    return ArchiveSeries(kept, problems, len(usable) - len(kept))


def _usable_series(folder: Path) -> tuple[list[tuple[FoundSeries, FoundScan]], tuple[Problem, ...]]:
    """Return the complete CT series below a folder, and the problems of the others."""
    search = search_series(folder)
    completeness = assess_completeness(search)
    problems = damaged_problems(search.damaged, completeness)
    usable = []
    for series in completeness.usable:
        path = series.files[0].parent
        if series.missing_files:
            reason = (
                f"The DICOMDIR lists {len(series.missing_files)} file(s) of the CT series in {path} that don't exist, "
                f"first {series.missing_files[0]}; copy the whole export."
            )
            problems.append(Problem("missing", str(path), reason))
            continue
        try:
            usable.append((series, dicom_scan(series, doubtful=series in completeness.doubtful)))
        except BadInput as error:
            problems.append(Problem.from_error(error, path))
    return usable, tuple(problems)
