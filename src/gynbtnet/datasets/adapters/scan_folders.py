"""Scans without contours: DICOM series and image files in any folders.

Image files that are called a label, a mask, a segmentation or a dose are skipped. The patient of a DICOM scan is its
PatientID. The patient of an image file is the file's name, or the folder's name if all files have the same generic name
(``ct.nii.gz``). If scans have several channels, ``NAME_0000.nii.gz`` is the first of them, ``NAME_0001.nii.gz`` the
second and so on.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from gynbtnet.datasets.adapters.adapter import Adapter, AdapterOptions
from gynbtnet.datasets.adapters.dicom_scans import ct_series, read_dicom_scan
from gynbtnet.datasets.cohort import Cohort
from gynbtnet.datasets.ingestion.found_scans import (
    FoundScan,
    FoundScans,
    ScanContents,
    natural_order,
    search_each_source,
)
from gynbtnet.datasets.ingestion.integrity import Problem
from gynbtnet.datasets.ingestion.synthetic_flag import image_is_synthetic
from gynbtnet.imaging.dicom.slice_repairs import Repairs
from gynbtnet.imaging.file_search import files_below
from gynbtnet.imaging.files.volume_files import SUFFIXES, is_image_file, read_volume, without_suffix
from gynbtnet.imaging.label_map import is_label_map
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.phrases import counted

_LABEL_NAME = re.compile(r"(^|[^a-z])(seg|segmentations?|labels?|masks?)([^a-z]|$)|^dose$", re.IGNORECASE)
"""Names of files that are contours or doses, not scans."""

_LABEL_FOLDERS = {"segmentations", "labels", "labelsTr", "labelsTs", "masks"}

GENERIC_NAMES = {"ct", "image", "imaging", "img", "scan"}
"""File names that don't identify the patient."""


def find(sources: Sequence[Path], options: AdapterOptions) -> FoundScans:
    """Return the DICOM series and image files below the sources, and the scans of the included cohort.

    Raises:
        BadInput: If a folder contains no CT.
    """
    channels = options.channels or ("CT",)
    folders, problems = search_each_source(lambda folder: _search(folder, channels), sources)
    scans = [scan for folder in folders for scan in folder.scans]
    problems += [problem for folder in folders for problem in folder.problems]
    if options.include_cohort is not None:
        scans += _cohort_scans(options.include_cohort, scans)
    return FoundScans(
        tuple(scans),
        partial(_read, repairs=options.repairs),
        channels=channels,
        depends_on=repr(options.repairs),
        problems=tuple(problems),
    )


def _cohort_scans(cohort: Cohort, scans: Sequence[FoundScan]) -> list[FoundScan]:
    """Return the scans of a cohort except those that are among ``scans``."""
    series_uids = {scan.series_uid for scan in scans}
    return [
        FoundScan(
            patient=case.patient,
            time_order=("", "", "", "", *natural_order(case.image)),
            folder=case.source.ct_folder or case.image.parent,
            files=(case.image,),
            synthetic=case.synthetic,
            has_study_id=True,
        )
        for case in cohort.cases
        if not case.source.series_uid or case.source.series_uid not in series_uids
    ]


def _read(scan: FoundScan, repairs: Repairs | None) -> ScanContents:
    """Read a DICOM series or an image file."""
    if scan.series_uid is not None:
        return read_dicom_scan(scan, repairs)
    image = read_volume(scan.files[0])
    if is_label_map(image):
        raise BadInput(
            f"{scan.files[0]} contains a few whole numbers from 0 to {image.array.max():g}, like a label map. "
            "Expected a CT in HU (air is about -1000): remove the file from the folder."
        )
    return ScanContents(image)


@dataclass(frozen=True)
class ImageScans:
    """Scans in image files.

    Attributes:
        scans: the scans.
        problems: scans that lack a channel.
        labels: number of files that are contours or doses by their names or folders.
    """

    scans: tuple[FoundScan, ...]
    problems: tuple[Problem, ...]
    labels: int


def _search(folder: Path, channels: Sequence[str]) -> ImageScans:
    """Find DICOM series and image files below a folder."""
    series, series_problems = ct_series(folder)
    scans = [scan if scan.patient else replace(scan, patient=scan.folder.name) for scan in series]
    problems = list(series_problems)
    if len(channels) > 1:
        problems += [
            Problem(
                "missing",
                str(scan.folder),
                f"The CT in {scan.folder} is a DICOM series, which has one channel; expected an image file for each of "
                f"{', '.join(channels)}.",
            )
            for scan in scans
        ]
        scans = []
    images = image_scans(folder, channels)
    scans += images.scans
    problems += images.problems
    if not scans and not problems:
        skipped = (
            f" (labels, masks or doses by name or folder: {counted(images.labels, 'image file')})"
            if images.labels
            else ""
        )
        named = "" if len(channels) == 1 else f" of the channels {', '.join(channels)}, NAME_0000 and so on"
        raise BadInput(
            f"There is no CT below {folder}{skipped}; expected DICOM CT series or image files{named} "
            f"({', '.join(SUFFIXES)})."
        )
    return ImageScans(tuple(scans), tuple(problems), images.labels)


def image_scans(folder: Path, channels: Sequence[str]) -> ImageScans:
    """Return the scans in image files below a folder, without reading their voxels."""
    scans: list[FoundScan] = []
    problems: list[Problem] = []
    labels = 0
    for path in files_below(folder):
        if not is_image_file(path):
            continue
        stem, folders = without_suffix(path.name), (folder.name, *path.relative_to(folder).parts[:-1])
        if _LABEL_NAME.search(stem) or _LABEL_FOLDERS.intersection(folders):
            labels += 1
        elif len(channels) == 1:
            scans.append(_file_scan(path, stem, folder))
        elif stem.endswith("_0000"):
            further = [path.with_name(path.name.replace("_0000", f"_{i:04d}")) for i in range(1, len(channels))]
            absent = [channel for channel in further if not channel.is_file()]
            if absent:
                reason = (
                    f"{path} is the first of {len(channels)} channels, but there is no {absent[0].name} next to it."
                )
                problems.append(Problem("missing", str(path), reason))
            else:
                scan = _file_scan(path, stem.removesuffix("_0000"), folder)
                scans.append(replace(scan, channels=tuple(further)))
    return ImageScans(tuple(scans), tuple(problems), labels)


def _file_scan(path: Path, stem: str, folder: Path) -> FoundScan:
    return FoundScan(
        patient=path.parent.name if stem.lower() in GENERIC_NAMES else stem,
        time_order=("", "", "", "", *natural_order(path)),
        folder=path.parent,
        files=(path,),
        synthetic=image_is_synthetic(path, folder),
    )


ADAPTER = Adapter("scans", "CT scans without contours", find, takes=("repairs", "channels", "include_cohort"))
