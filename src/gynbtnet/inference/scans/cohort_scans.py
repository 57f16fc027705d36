"""Scans of an ingested cohort as input of predictions."""

from collections.abc import Sequence
from dataclasses import replace

from gynbtnet.datasets.case import Case
from gynbtnet.datasets.cohort import Cohort
from gynbtnet.inference.scans.scan_input import ScanFiles, locate_scan
from gynbtnet.runtime.errors import BadInput

_NO_DICOM = "The DICOM files that this case was ingested from no longer exist, so it gets no RTSTRUCT."


def cohort_scans(cohort: Cohort, channels: Sequence[str]) -> tuple[list[ScanFiles], list[tuple[str, str]]]:
    """Return the scans of a cohort under the ids of their cases, and id and reason of those that can't be read.

    Args:
        cohort: the cohort.
        channels: channels of the model.

    Raises:
        BadInput: If the cohort has other channels than the model.
    """
    if len(cohort.channels) != len(channels):
        raise BadInput(
            f"The cohort {cohort.folder} has the channels {', '.join(cohort.channels)}, but the model reads "
            f"{', '.join(channels)}; give a cohort with these channels."
        )
    scans: list[ScanFiles] = []
    failed: list[tuple[str, str]] = []
    for case in cohort.cases:
        try:
            scans.append(replace(_scan_of(case, channels), name=case.id, synthetic=case.synthetic))
        except BadInput as error:
            failed.append((case.id, str(error)))
    return scans, failed


def _scan_of(case: Case, channels: Sequence[str]) -> ScanFiles:
    """Return the DICOM series of a case or, if it has none, its image files."""
    folder, uid = case.source.ct_folder, case.source.series_uid
    if not (folder and uid):
        return ScanFiles(case.image, None, case.images[1:])
    if not folder.is_dir():
        return ScanFiles(case.image, None, case.images[1:], warnings=(_NO_DICOM,))
    return locate_scan(folder, channels, given=case.images[1:], series_uid=uid)
