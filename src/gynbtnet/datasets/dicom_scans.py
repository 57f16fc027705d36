"""CT series in a folder tree as scans to ingest."""

import os
from pathlib import Path

from gynbtnet.datasets.found_scans import FoundScan, natural_order
from gynbtnet.datasets.integrity import Problem
from gynbtnet.datasets.synthetic_marks import dicom_is_synthetic
from gynbtnet.errors import BadInput
from gynbtnet.imaging.dicom_objects import lenient, read_header
from gynbtnet.imaging.dicom_series import FoundSeries, find_series

_DATES = ("StudyDate", "StudyTime", "SeriesDate", "SeriesTime")
_DESCRIPTIONS = ("StudyDescription", "SeriesDescription")

FEWEST_SLICES = 16
"""A series of fewer images in an archive is a scout, a timing run or a single plane."""


def dicom_scan(series: FoundSeries) -> FoundScan:
    """A CT series as a scan: its patient by PatientID, its time by study, series and, failing these, folder."""
    with lenient():
        wanted = [*_DATES, *_DESCRIPTIONS, "PatientPosition"]
        header = read_header(series.files[0], "a DICOM image", wanted)
        dates = tuple(str(header.get(keyword, "") or "") for keyword in _DATES)
        synthetic = dicom_is_synthetic(header)
        position = str(header.get("PatientPosition", "") or "").strip() or None
    folder = Path(os.path.commonpath([path.parent for path in series.files]))
    return FoundScan(
        patient=series.patient_id.strip(),
        when=(*dates, *natural_order(folder)),
        folder=folder,
        files=series.files,
        series_uid=series.series_uid,
        synthetic=synthetic,
        position=position,
    )


def ct_series(folder: Path) -> tuple[list[FoundSeries], tuple[Problem, ...]]:
    """The CT series below a folder, and what can't be read there.

    A damaged file might be a slice of any series in its folder, so that these are told and left out; series in other
    folders are taken.
    """
    damaged: dict[Path, BadInput] = {}
    series = [one for one in find_series(folder, damaged) if one.modality == "CT"]
    spoilt = {path.parent: error for path, error in damaged.items()}
    whole = [one for one in series if not any(path.parent in spoilt for path in one.files)]
    return whole, tuple(Problem("unreadable", str(place), str(error)) for place, error in spoilt.items())


def archive_series(folder: Path) -> tuple[list[FoundSeries], tuple[Problem, ...], int]:
    """The axial CT series of an archive's download, what can't be read in it, and how many CT series are none to take.

    Not taken are those of fewer than ``FEWEST_SLICES`` images and those that aren't axial.

    Raises:
        BadInput: where no CT is left.
    """
    whole, problems = ct_series(folder)
    taken = [one for one in whole if one.axial and one.images >= FEWEST_SLICES]
    if not taken:
        raise BadInput(
            f"There is no axial CT series of at least {FEWEST_SLICES} images below {folder}; expected the archive's "
            "DICOM files as its downloader writes them."
        )
    return taken, problems, len(whole) - len(taken)
