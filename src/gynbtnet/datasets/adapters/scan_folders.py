"""Scans without contours: any folders of CTs, DICOM series and image files mixed.

Image files called a label, a mask, a segmentation or a dose are passed over. A DICOM scan's patient is its PatientID,
an image file's is the file's name, or the folder's where files are all called alike (``ct.nii.gz``). Where the scans
have several channels, ``NAME_0000.nii.gz`` is the first of them, ``NAME_0001.nii.gz`` the second and so on.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from gynbtnet.datasets.adapters.dicom_scans import ct_series
from gynbtnet.datasets.cohort import Cohort
from gynbtnet.datasets.ingestion.found_scans import (
    FoundScan,
    FoundScans,
    ScanContents,
    in_each_source,
    natural_order,
    source_folders,
)
from gynbtnet.datasets.ingestion.ingest import ingest_found
from gynbtnet.datasets.ingestion.integrity import Problem
from gynbtnet.datasets.ingestion.synthetic_flag import image_is_synthetic
from gynbtnet.datasets.patient_key import KEY, PatientKey
from gynbtnet.imaging.dicom.ct_series import read_ct_files
from gynbtnet.imaging.dicom.slice_repairs import Repairs
from gynbtnet.imaging.file_search import files_below
from gynbtnet.imaging.files.volume_files import SUFFIXES, is_image_file, read_volume, without_suffix
from gynbtnet.imaging.label_map import is_label_map
from gynbtnet.runtime.errors import BadInput

_DRAWN = re.compile(r"(^|[^a-z])(seg|segmentations?|labels?|masks?)([^a-z]|$)|^dose$", re.IGNORECASE)
"""In names of files that hold what was drawn on a scan, or computed on it."""

_DRAWN_FOLDERS = {"segmentations", "labels", "labelsTr", "labelsTs", "masks"}

_ALIKE = {"ct", "image", "imaging", "img", "scan"}
"""Names that say nothing of the patient."""


def ingest(
    source: Path | Sequence[Path],
    out: Path,
    *,
    also: Cohort | None = None,
    repairs: Repairs | None = None,
    key: PatientKey | None = None,
    name: str | None = None,
    jobs: int = 1,
) -> Cohort:
    """Make a cohort without structures of every CT below ``source``: each DICOM series and each image file.

    Args:
        source: one folder or several, searched with everything below.
        out: folder for the cohort.
        also: its cases' scans are added but those found already; to learn from the training patients of a cohort,
            hand over only these.
        repairs: which flaws of CT series to mend instead of refusing them.
        key: gives patients their study IDs; left out, it lies in the cohort, or in that of ``also``.
        name: of the cohort; left out, that of ``out``.
        jobs: scans at once, each in a process of its own.

    Raises:
        BadInput: where a folder holds no CT, a scan can't be read, or an image file is a label map by its values.
    """
    found = find(source_folders(source, out), repairs=repairs)
    if also is not None:
        key = key or PatientKey.load(also.folder / KEY)
        found = replace(found, scans=(*found.scans, *_further(also, found.scans)))
    return ingest_found(found, out, key=key, name=name, jobs=jobs).cohort


def find(sources: Sequence[Path], *, channels: Sequence[str] = ("CT",), repairs: Repairs | None = None) -> FoundScans:
    """The scans below some folders.

    Raises:
        BadInput: where a folder holds no CT.
    """
    scans: list[FoundScan] = []
    held, problems = in_each_source(lambda folder: _find(folder, channels), sources)
    for found, incomplete in held:
        scans += found
        problems += incomplete

    def read(scan: FoundScan) -> ScanContents:
        return _read(scan, repairs)

    return FoundScans(tuple(scans), read, channels=tuple(channels), depends_on=repr(repairs), problems=tuple(problems))


def _further(also: Cohort, found: Sequence[FoundScan]) -> list[FoundScan]:
    """The scans of a cohort but those found already."""
    known = {scan.series_uid for scan in found}
    return [
        FoundScan(
            patient=case.patient,
            when=("", "", "", "", *natural_order(case.image)),
            folder=case.source.ct_folder or case.image.parent,
            files=(case.image,),
            synthetic=case.synthetic,
        )
        for case in also.cases
        if not case.source.series_uid or case.source.series_uid not in known
    ]


def _read(scan: FoundScan, repairs: Repairs | None) -> ScanContents:
    if scan.series_uid is not None:
        ct = read_ct_files(scan.files, repairs)
        return ScanContents(ct.volume, notes=(*scan.notes, *ct.notes))
    image = read_volume(scan.files[0])
    if is_label_map(image):
        raise BadInput(
            f"{scan.files[0]} holds a few whole numbers from 0 to {image.array.max():g}, as a label map does; expected "
            "a CT in HU, where air is about -1000: take the file out of the folder."
        )
    return ScanContents(image)


def _find(folder: Path, channels: Sequence[str]) -> tuple[list[FoundScan], list[Problem]]:
    series, damaged = ct_series(folder)
    found = [scan if scan.patient else replace(scan, patient=scan.folder.name) for scan in series]
    problems = list(damaged)
    if len(channels) > 1:
        reason = f"is a DICOM series, which has one channel; expected an image file for each of {', '.join(channels)}."
        problems += [Problem("missing", str(scan.folder), f"The CT in {scan.folder} {reason}") for scan in found]
        found = []
    files, incomplete, drawn = image_scans(folder, channels)
    found += files
    problems += incomplete
    if not found and not problems:
        passed_over = f" ({drawn} image files are labels, masks or doses by name or folder)" if drawn else ""
        wanted = "" if len(channels) == 1 else f" of the channels {', '.join(channels)}, NAME_0000 and so on"
        raise BadInput(
            f"There is no CT below {folder}{passed_over}; expected DICOM CT series or image files{wanted} "
            f"({', '.join(SUFFIXES)})."
        )
    return found, problems


def image_scans(folder: Path, channels: Sequence[str]) -> tuple[list[FoundScan], list[Problem], int]:
    """The scans in image files below a folder, those that lack a channel, and how many files hold what was drawn."""
    found: list[FoundScan] = []
    problems: list[Problem] = []
    drawn = 0
    for path in files_below(folder):
        if not is_image_file(path):
            continue
        stem, above = without_suffix(path.name), (folder.name, *path.relative_to(folder).parts[:-1])
        if _DRAWN.search(stem) or _DRAWN_FOLDERS.intersection(above):
            drawn += 1
        elif len(channels) == 1:
            found.append(_file_scan(path, stem, folder))
        elif stem.endswith("_0000"):
            further = [path.with_name(path.name.replace("_0000", f"_{i:04d}")) for i in range(1, len(channels))]
            absent = [one for one in further if not one.is_file()]
            if absent:
                reason = f"{path} is the first of {len(channels)} channels, and there is no {absent[0].name} beside it."
                problems.append(Problem("missing", str(path), reason))
            else:
                scan = _file_scan(path, stem.removesuffix("_0000"), folder)
                found.append(replace(scan, channels=tuple(further)))
    return found, problems, drawn


def _file_scan(path: Path, stem: str, folder: Path) -> FoundScan:
    return FoundScan(
        patient=path.parent.name if stem.lower() in _ALIKE else stem,
        when=("", "", "", "", *natural_order(path)),
        folder=path.parent,
        files=(path,),
        synthetic=image_is_synthetic(path, folder),
    )
