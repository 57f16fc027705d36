"""Assignment of dose files to cases, and reading of their voxels.

A DICOM dose belongs to the scan with the same identifiers, see :mod:`gynbtnet.imaging.dicom.rt.dose_of_scan`. A dose
that was exported as an image in Gy is named after its case.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gynbtnet.datasets.case import Case
from gynbtnet.evaluation.dose.plan_of_dose import PlanOfDose, find_plan
from gynbtnet.imaging.dicom.objects import RT_DOSE
from gynbtnet.imaging.dicom.rt.dose_of_scan import doses_of_scan
from gynbtnet.imaging.dicom.rt.dose_sum import group_doses_by_plan
from gynbtnet.imaging.dicom.rt.rtdose_reader import read_rtdose
from gynbtnet.imaging.dicom.rt.rtplan_reader import read_rtplan
from gynbtnet.imaging.dicom.series import FoundSeries, search_series
from gynbtnet.imaging.file_search import files_below
from gynbtnet.imaging.files.volume_files import is_image_file, read_volume, without_suffix
from gynbtnet.imaging.volume import Volume
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.phrases import counted
from gynbtnet.runtime.progress import track


@dataclass(frozen=True)
class DoseFiles:
    """Dose files of a case.

    Attributes:
        paths: RTDOSE files, or one image in Gy; empty if the case has no dose.
        plan: the RTPLAN of the dose.
    """

    paths: tuple[Path, ...] = ()
    plan: PlanOfDose = field(default_factory=PlanOfDose)

    @property
    def planned_fractions(self) -> int:
        """Number of fractions that the RTPLAN of the dose prescribes; 0 if it is unknown."""
        return self.plan.fractions


def find_doses(cases: Sequence[Case], folder: Path | None = None) -> Mapping[str, DoseFiles]:
    """Find the dose files of cases.

    Args:
        cases: cases to find doses for.
        folder: folder that is searched recursively for images ``CASE.nii.gz`` in Gy and for RTDOSEs. Default: for each
            case, RTDOSEs below the folder that contains both its CT series and its RTSTRUCT.

    Returns:
        Files by case id, for every case.

    Raises:
        BadInput: If the folder does not exist, no case has a dose, or a plan is of pulsed or low dose rate.
    """
    files = search_doses(cases, folder)
    if not any(found.paths for found in files.values()):
        searched = folder or "the folders that the cases were ingested from"
        raise BadInput(
            f"There is no dose of any of {counted(len(cases), 'case')} in {searched}. Expected: RTDOSEs in the frames "
            "of reference of their CTs, or images CASE.nii.gz in Gy: give the folder with --doses. Cases that were "
            "pseudonymised or ingested as images need images, since their DICOM files are not recorded."
        )
    return files


def search_doses(cases: Sequence[Case], folder: Path | None = None) -> Mapping[str, DoseFiles]:
    """Find the dose files of cases as :func:`find_doses` does, which may be none.

    Args:
        cases: cases to find doses for.
        folder: see :func:`find_doses`.

    Returns:
        Files by case id, for every case.

    Raises:
        BadInput: If the folder does not exist, a case has two images, a dose is damaged, or a plan is of pulsed or low
            dose rate.
    """
    if folder is not None and not Path(folder).is_dir():
        raise BadInput(
            f"There is no folder {folder}; expected a folder with RTDOSEs, or with one dose CASE.nii.gz in Gy per case."
        )
    images: dict[str, Path] = {}
    ids = {case.id for case in cases}
    for path in filter(is_image_file, files_below(folder) if folder else ()):
        case_id = without_suffix(path.name)
        if case_id in ids and images.setdefault(case_id, path) != path:
            raise BadInput(
                f"{images[case_id]} and {path} are both doses of {case_id}; expected one: remove the other one, or "
                "give a folder without it."
            )
    files = {case_id: DoseFiles((path,)) for case_id, path in images.items()}
    rest = [case for case in cases if case.id not in files and case.source.ct_folder and case.source.series_uid]
    files |= _find_rtdoses(rest, folder)
    return {case.id: files.get(case.id, DoseFiles()) for case in cases}


def read_dose(files: Sequence[Path]) -> tuple[Volume, ...]:
    """Read the dose grids of one case, in Gy; their sum is the dose.

    Args:
        files: one image file, or the RTDOSE files of the case.

    Returns:
        The dose grids in Gy, (z, y, x).

    Raises:
        BadInput: If a file cannot be read, or the doses belong to several plans. Also if a dose is not physical, below
            0 or 0 everywhere.
    """
    if len(files) == 1 and is_image_file(files[0]):
        dose = read_volume(files[0])
        if dose.array.min() < 0:
            raise BadInput(
                f"{files[0]} has values below 0; expected a dose in Gy: give the folder of doses with --doses."
            )
        if dose.array.max() <= 0:
            raise BadInput(
                f"{files[0]} holds no value above 0; expected a dose in Gy: calculate it and export it again."
            )
        return (dose,)
    doses = [read_rtdose(path) for path in files]
    plans = group_doses_by_plan(doses)
    if len(plans) > 1:
        raise BadInput(
            f"{files[0]} and {counted(len(files) - 1, 'more RTDOSE')} of one scan belong to {len(plans)} plans. "
            "Expected: the plan that was delivered: remove the others from the folder, or give a folder without them "
            "with --doses."
        )
    return tuple(dose.grid for parts in plans.values() for dose in parts)


def _find_rtdoses(cases: Sequence[Case], folder: Path | None) -> dict[str, DoseFiles]:
    searched: dict[Path, list[FoundSeries]] = {}

    def series_below(root: Path) -> list[FoundSeries]:
        if root not in searched:
            search = search_series(root)
            damaged = [file for file in search.damaged if file.is_possibly(RT_DOSE)]
            if damaged:  # without it a case would have no dose, or only a part of it
                raise BadInput(damaged[0].reason)
            searched[root] = list(search.series)
        return searched[root]

    scans: dict[str, FoundSeries] = {}
    all_scans: dict[str, FoundSeries] = {}
    doses: dict[str, list[FoundSeries]] = {}
    contour_patients: dict[str, str] = {}
    for case in track(cases, "Find doses"):
        root = _common_folder(case)
        if not root.is_dir():
            raise BadInput(
                f"The folder {root}, which cases were ingested from, no longer exists; give the doses with --doses."
            )
        all_scans |= {series.series_uid: series for series in series_below(root) if series.modality == "CT"}
        own = [series for series in series_below(root) if series.series_uid == case.source.series_uid]
        if own:
            scans[case.id] = own[0]
            doses[case.id] = [series for series in series_below(folder or root) if series.modality == "RTDOSE"]
            contour_patients[case.id] = next(
                (series.patient_id for series in series_below(root) if case.source.rtstruct in series.files), ""
            )
    dose_files = {
        case_id: doses_of_scan(scan, doses[case_id], all_scans.values(), contour_patients[case_id])
        for case_id, scan in scans.items()
    }
    if not any(dose_files.values()):
        return {case_id: DoseFiles() for case_id in dose_files}
    plan_series = [series for all_series in searched.values() for series in all_series if series.modality == "RTPLAN"]
    read = {path: read_rtplan(path) for series in plan_series for path in series.files}
    by_uid = {plan.uid: plan for plan in read.values()}
    result = {}
    for case_id, files in dose_files.items():
        candidates = [
            read[path]
            for series in plan_series
            if _is_of_scan(series, scans[case_id], contour_patients[case_id])
            for path in series.files
        ]
        result[case_id] = DoseFiles(files, find_plan(files, by_uid, candidates))
    return result


def _is_of_scan(plan: FoundSeries, scan: FoundSeries, contour_patient: str) -> bool:
    """Return whether a plan has the frame of reference or the study of a scan, and isn't of another patient."""
    frame, patient = plan.frame_of_reference_uid, plan.patient_id.strip()
    is_same_frame = bool(frame) and frame == scan.frame_of_reference_uid
    is_same_study = not frame and bool(plan.study_uid) and plan.study_uid == scan.study_uid
    is_other_patient = bool(patient) and patient not in (scan.patient_id.strip(), contour_patient.strip())
    return (is_same_frame or is_same_study) and not (is_other_patient and scan.patient_id.strip())


def _common_folder(case: Case) -> Path:
    """Return the folder that contains the scan and its structure set."""
    folders = [case.source.ct_folder, case.source.rtstruct and case.source.rtstruct.parent]
    return Path(os.path.commonpath([folder for folder in folders if folder]))
