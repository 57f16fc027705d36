"""Search for scans in files and folders, and the name of each scan's prediction."""

import os
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gynbtnet.datasets.adapters.dicom_scans import damaged_problems
from gynbtnet.datasets.adapters.scan_folders import image_scans
from gynbtnet.datasets.cohort import MANIFEST as COHORT_MANIFEST
from gynbtnet.datasets.cohort import Cohort
from gynbtnet.datasets.patient_key import PatientKey
from gynbtnet.imaging.dicom.incomplete_series import POSSIBLY_SHORTER, assess_completeness
from gynbtnet.imaging.dicom.rt.referenced_images import referenced_series
from gynbtnet.imaging.dicom.series import FoundSeries, search_series
from gynbtnet.imaging.dicom.series_selection import select_ct
from gynbtnet.imaging.files.volume_files import SUFFIXES
from gynbtnet.imaging.printed_names import check_utf8
from gynbtnet.inference.scans.cohort_scans import cohort_scans
from gynbtnet.inference.scans.output_names import name_scans
from gynbtnet.inference.scans.scan_input import ScanFiles, locate_scan
from gynbtnet.runtime.errors import BadInput


@dataclass(frozen=True)
class ScanSearch:
    """Result of a search.

    Attributes:
        scans: scans by the names of their predictions, in the order of the inputs.
        failed: path and reason of scans that can't be read.
        key: key from PatientIDs to the study IDs in the names, to be saved with the predictions.
    """

    scans: Mapping[str, ScanFiles]
    failed: tuple[tuple[str, str], ...]
    key: PatientKey


def find_scans(
    inputs: Sequence[Path],
    channels: Sequence[str],
    out: Path,
    *,
    given: Sequence[Path] = (),
    series_uid: str | None = None,
) -> ScanSearch:
    """Find every scan in files and folders: image files and DICOM series of any patients, also mixed, and cohorts.

    Series of the same patient, study and frame of reference show the same anatomy, so one of them is selected. It is
    the series that a structure set refers to, otherwise the largest axial one. Image files that are named as a label,
    mask or dose are skipped. Cases of a cohort are read from the DICOM files that they were ingested from, if these
    still exist.

    Args:
        inputs: files and folders; folders are searched recursively.
        channels: channels of the model.
        out: folder of the predictions, see :func:`~gynbtnet.inference.scans.output_names.name_scans`.
        given: image files of a single scan's channels after the first.
        series_uid: SeriesInstanceUID of the series to select in a single folder.

    Returns:
        Files of each scan by the name of its output, and the inputs that failed with the reason.

    Raises:
        BadInput: If no input contains a readable scan, or an input is absent or given twice. Also if ``given`` or
            ``series_uid`` is used with several inputs.
    """
    if (given or series_uid) and len(inputs) > 1:
        option = "--channel" if given else "--series"
        raise BadInput(f"{option} is for one scan, but {len(inputs)} inputs are given; predict them one by one.")
    if given or series_uid:
        named = name_scans([locate_scan(inputs[0], channels, given=given, series_uid=series_uid)], out)
        return ScanSearch(named.scans, (), named.key)
    scans: list[ScanFiles] = []
    failed: list[tuple[str, str]] = []
    for root in inputs:
        try:
            contained, problems = _scans_below(root, channels)
        except BadInput as error:
            if len(inputs) == 1 or not root.exists():
                raise
            contained, problems = [], [(str(root), str(error))]
        failed += problems
        scans += contained
    if not scans:
        raise BadInput(failed[0][1])
    named = name_scans(scans, out)
    return ScanSearch(named.scans, tuple(failed), named.key)


def _scans_below(root: Path, channels: Sequence[str]) -> tuple[list[ScanFiles], list[tuple[str, str]]]:
    """Return the scans in a file or folder, and path and reason of those that can't be read."""
    if not root.is_dir():
        return [locate_scan(root, channels)], []
    if (root / COHORT_MANIFEST).is_file():
        return cohort_scans(Cohort.load(root), channels)
    search = search_series(root)
    completeness = assess_completeness(search)
    failed = [(problem.path, problem.reason) for problem in damaged_problems(search.damaged, completeness)]
    complete = [series for series in search.series if series not in completeness.incomplete]
    images = image_scans(root, channels)
    failed += [(problem.path, problem.reason) for problem in images.problems]
    scans = [ScanFiles(image.files[0], None, image.channels) for image in images.scans]
    if len(channels) == 1:
        dicom_scans, unusable = _dicom_scans(complete, root, completeness.doubtful)
        scans += dicom_scans
        failed += unusable
    scans, unnamed = _with_utf8_names(scans)
    failed += unnamed
    if scans:
        return sorted(scans, key=lambda scan: (scan.path, scan.series.series_uid if scan.series else "")), failed
    if failed:
        raise BadInput(failed[0][1])
    if any(series.modality == "CT" for series in complete):
        raise BadInput(
            f"{root} contains DICOM series, which have one channel, but the model reads {', '.join(channels)}; give "
            "one scan, and an image file for each further channel with --channel."
        )
    modalities = ", ".join(sorted({series.modality for series in complete})) or "no DICOM file at all"
    raise BadInput(
        f"There is no CT below {root} (found: {modalities}); expected DICOM CT series or image files "
        f"({', '.join(SUFFIXES)})."
    )


def _with_utf8_names(scans: Sequence[ScanFiles]) -> tuple[list[ScanFiles], list[tuple[str, str]]]:
    """Return the scans whose files are named in UTF-8, as their records must be, and path and reason of the others."""
    named, failed = [], []
    for scan in scans:
        try:
            for path in (scan.path, *scan.channels, *(scan.series.files if scan.series else ())):
                check_utf8(path)
        except BadInput as error:
            failed.append((str(scan.path), str(error)))
        else:
            named.append(scan)
    return named, failed


def _dicom_scans(
    found: Sequence[FoundSeries], root: Path, doubtful: Container[FoundSeries]
) -> tuple[list[ScanFiles], list[tuple[str, str]]]:
    """Return one CT series per patient, study and frame of reference, and what could not be read or selected."""
    groups: dict[tuple[str, ...], list[FoundSeries]] = {}
    for series in found:
        if series.modality == "CT":
            frame = series.frame_of_reference_uid or str(_folder(series))  # an anonymiser may have emptied the UID
            groups.setdefault((series.patient_id, series.study_uid, frame), []).append(series)
    several = any(len(group) > 1 for group in groups.values())
    referenced, failed = _referenced_uids(found) if several else (set(), [])
    scans = []
    for group in groups.values():
        own = referenced.intersection(series.series_uid for series in group)
        try:
            selected, note = select_ct(group, str(root), referred_uid=own.pop() if len(own) == 1 else None)
        except BadInput as error:
            failed.append((str(_folder(group[0])), str(error)))
        else:
            warnings = (POSSIBLY_SHORTER,) if selected in doubtful else ()
            scans.append(ScanFiles(_folder(selected), selected, note=note, warnings=warnings))
    return scans, failed


def _referenced_uids(found: Sequence[FoundSeries]) -> tuple[set[str], list[tuple[str, str]]]:
    """Return the UIDs of series that structure sets refer to, and the structure sets that can't be read."""
    uids: set[str] = set()
    failed = []
    for path in (path for series in found if series.modality == "RTSTRUCT" for path in series.files):
        try:
            uids |= {reference.series_uid for reference in referenced_series(path)}
        except BadInput as error:
            failed.append((str(path), str(error)))
    return uids, failed


def _folder(series: FoundSeries) -> Path:
    return Path(os.path.commonpath([path.parent for path in series.files]))
