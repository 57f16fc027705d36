"""CT series in a folder tree as scans to ingest."""

import os
from collections.abc import Sequence
from pathlib import Path

from gynbtnet.datasets.ingestion.found_scans import FoundScan, natural_order
from gynbtnet.datasets.ingestion.integrity import Problem
from gynbtnet.datasets.ingestion.synthetic_flag import dicom_is_synthetic
from gynbtnet.imaging.dicom.damaged_files import DamagedFile
from gynbtnet.imaging.dicom.incomplete_series import POSSIBLY_SHORTER, Completeness, assess_completeness
from gynbtnet.imaging.dicom.objects import dicom_errors_as_bad_input, read_header
from gynbtnet.imaging.dicom.series import FoundSeries, search_series
from gynbtnet.runtime.errors import BadInput

_DATES = ("StudyDate", "StudyTime", "SeriesDate", "SeriesTime")
_DESCRIPTIONS = ("StudyDescription", "SeriesDescription")

_MOST_FILES = 3  # damaged files of one folder that are listed one by one

FEWEST_SLICES = 16
"""A series of fewer images in an archive is a scout, a timing run or a single plane."""


def dicom_scan(series: FoundSeries, *, doubtful: bool = False) -> FoundScan:
    """A CT series as a scan: its patient by PatientID, its time by study, series and, failing these, folder.

    Args:
        series: the series.
        doubtful: whether a file next to it can't be read and may be one of its slices, which its notes say then.

    Raises:
        BadInput: If the header of its first file can't be read.
    """
    with dicom_errors_as_bad_input(series.files[0]):
        wanted = [*_DATES, *_DESCRIPTIONS, "PatientPosition"]
        header = read_header(series.files[0], "a DICOM image", wanted)
        dates = tuple(str(header.get(keyword, "") or "") for keyword in _DATES)
        synthetic = dicom_is_synthetic(header)
        position = str(header.get("PatientPosition", "") or "").strip() or None
    folder = Path(os.path.commonpath([path.parent for path in series.files]))
    copies = len(series.copies)
    return FoundScan(
        patient=series.patient_id.strip(),
        when=(*dates, *natural_order(folder)),
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


def damaged_problems(damaged: Sequence[DamagedFile], judged: Completeness) -> list[Problem]:
    """Damaged files as problems of their source, each with the scans that it costs; many in one folder are one."""
    by_folder: dict[Path, list[DamagedFile]] = {}
    for one in damaged:
        by_folder.setdefault(one.path.parent, []).append(one)
    problems = []
    for folder, files in by_folder.items():
        alone = len(files) <= _MOST_FILES
        for group in [[one] for one in files] if alone else [files]:
            lost = {str(series.files[0].parent) for one in group for series in judged.made_incomplete_by(one)}
            cost = f" The scan in {', '.join(sorted(lost))} may lack it and is not taken." if lost else ""
            others = "" if alone else f" {len(files) - 1} more files in this folder can't be used either."
            place = folder if lost or not alone else group[0].path
            problems.append(Problem("unreadable", str(place), f"{group[0].reason}{others}{cost}"))
    return problems


def ct_series(folder: Path) -> tuple[list[FoundScan], tuple[Problem, ...]]:
    """The CT series below a folder as scans, and what can't be taken there.

    A series that may lack a damaged file, or that lacks one by its DICOMDIR, is left out; the others are taken.
    """
    found, problems = _ct_series(folder)
    return [scan for _, scan in found], problems


def archive_series(folder: Path) -> tuple[list[tuple[FoundSeries, FoundScan]], tuple[Problem, ...], int]:
    """The axial CT series of an archive's download, what can't be read in it, and how many CT series are none to take.

    Not taken are those of fewer than ``FEWEST_SLICES`` images and those that aren't axial.

    Raises:
        BadInput: where no CT is left.
    """
    whole, problems = _ct_series(folder)
    taken = [(one, scan) for one, scan in whole if one.axial and one.images >= FEWEST_SLICES]
    if not taken:
        raise BadInput(
            f"There is no axial CT series of at least {FEWEST_SLICES} images below {folder}; expected the archive's "
            "DICOM files as its downloader writes them."
        )
    return taken, problems, len(whole) - len(taken)


def _ct_series(folder: Path) -> tuple[list[tuple[FoundSeries, FoundScan]], tuple[Problem, ...]]:
    search = search_series(folder)
    judged = assess_completeness(search)
    problems = damaged_problems(search.damaged, judged)
    found = []
    for one in judged.usable:
        place = one.files[0].parent
        if one.missing_files:
            reason = (
                f"The DICOMDIR names {len(one.missing_files)} file(s) of the CT series in {place} that are not there, "
            )
            problems.append(
                Problem("missing", str(place), f"{reason}first {one.missing_files[0]}; copy the whole export.")
            )
            continue
        try:
            found.append((one, dicom_scan(one, doubtful=one in judged.doubtful)))
        except BadInput as error:
            problems.append(Problem.of(error, place))
    return found, tuple(problems)
