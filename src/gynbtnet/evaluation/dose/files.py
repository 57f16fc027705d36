"""Assignment of dose files to cases, and reading of their voxels.

A DICOM dose belongs to the scan with the same identifiers, see :mod:`gynbtnet.imaging.dicom.rt.dose_of_scan`. A dose
that was exported as an image in Gy is named after its case.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pydicom.uid import UID

from gynbtnet.datasets.case import Case
from gynbtnet.imaging.dicom.objects import RT_DOSE, RT_PLAN
from gynbtnet.imaging.dicom.rt.dose_of_scan import doses_of_scan
from gynbtnet.imaging.dicom.rt.dose_sum import group_doses_by_plan
from gynbtnet.imaging.dicom.rt.plan_of_dose import PlanOfDose, find_plan
from gynbtnet.imaging.dicom.rt.rtdose_reader import read_rtdose
from gynbtnet.imaging.dicom.rt.rtplan_reader import PlannedTreatment, read_rtplan
from gynbtnet.imaging.dicom.series import FoundSeries, SeriesSearch, search_series
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
        problem: reason why the dose can't be used, a sentence; empty if it can, or if there is none.
    """

    paths: tuple[Path, ...] = ()
    plan: PlanOfDose = field(default_factory=PlanOfDose)
    problem: str = ""

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
        Files by case id, for every case. A case whose dose or plan can't be used has the reason instead.

    Raises:
        BadInput: If the folder does not exist, no case has a dose, or none has one that can be used.
    """
    files = search_doses(cases, folder)
    if not any(found.paths for found in files.values()):
        problems = [found.problem for found in files.values() if found.problem]
        if problems:
            raise BadInput(describe_problems(problems, len(cases)))
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
        Files by case id, for every case. A case whose dose or plan can't be used has the reason instead. It may have
        two images, a damaged dose, or a plan of pulsed or low dose rate.

    Raises:
        BadInput: If the folder does not exist.
    """
    if folder is not None and not Path(folder).is_dir():
        raise BadInput(
            f"There is no folder {folder}; expected a folder with RTDOSEs, or with one dose CASE.nii.gz in Gy per case."
        )
    images: dict[str, DoseFiles] = {}
    ids = {case.id for case in cases}
    for path in filter(is_image_file, files_below(folder) if folder else ()):
        case_id = without_suffix(path.name)
        if case_id not in ids:
            continue
        if case_id not in images:
            images[case_id] = DoseFiles((path,))
        elif images[case_id].paths:
            images[case_id] = DoseFiles(
                problem=f"{images[case_id].paths[0]} and {path} are both doses of {case_id}; expected one: remove the "
                "other one, or give a folder without it."
            )
    rest = [case for case in cases if case.id not in images and case.source.ct_folder and case.source.series_uid]
    files = images | _find_rtdoses(rest, folder)
    return {case.id: files.get(case.id, DoseFiles()) for case in cases}


def describe_problems(problems: Sequence[str], cases: int) -> str:
    """Return the first problem, and the number of further ones.

    Args:
        problems: reasons why cases can't be evaluated, at least one.
        cases: number of cases.
    """
    more = len(problems) - 1
    return problems[0] + (f" {more} more of {cases} cases cannot be evaluated either." if more else "")


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
    searched: dict[Path, SeriesSearch] = {}

    def search(root: Path) -> SeriesSearch:
        if root not in searched:
            searched[root] = search_series(root)
        return searched[root]

    result: dict[str, DoseFiles] = {}
    scans: dict[str, FoundSeries] = {}
    for case in track(cases, "Find doses"):
        root = _common_folder(case)
        if not root.is_dir():
            result[case.id] = DoseFiles(
                problem=f"The folder {root}, which cases were ingested from, no longer exists; give the doses with "
                "--doses."
            )
            continue
        own = [series for series in search(root).series if series.series_uid == case.source.series_uid]
        if own:
            scans[case.id] = own[0]
            search(folder or root)
    roots = {_common_folder(case) for case in cases}.intersection(searched)
    every_ct = {
        series.series_uid: series for root in roots for series in searched[root].series if series.modality == "CT"
    }
    for case in cases:
        if case.id in scans:
            root = _common_folder(case)
            near, doses = searched[root], searched[folder or root]
            try:
                result[case.id] = _doses_of_case(case, scans[case.id], near, doses, tuple(every_ct.values()))
            except BadInput as error:
                result[case.id] = DoseFiles(problem=str(error))
    return result


def _doses_of_case(
    case: Case, scan: FoundSeries, near: SeriesSearch, doses: SeriesSearch, scans: Sequence[FoundSeries]
) -> DoseFiles:
    """Return the RTDOSEs of a case with their plan.

    Args:
        case: the case.
        scan: its CT series.
        near: search of the folder with its CT and contours.
        doses: search of the folder with doses, which may be the same.
        scans: all CT series that a dose could belong to.

    Raises:
        BadInput: If a dose of the case, or its plan, may be damaged or can't be used.
    """
    contour_patient = next((series.patient_id for series in near.series if case.source.rtstruct in series.files), "")
    _check_undamaged(doses, scan, contour_patient, RT_DOSE)  # otherwise the case had no dose, or a part of it
    rtdoses = [series for series in doses.series if series.modality == "RTDOSE"]
    files = doses_of_scan(scan, rtdoses, scans, contour_patient)
    if not files:
        return DoseFiles()
    searches = (near,) if doses is near else (near, doses)
    plans: dict[str, PlannedTreatment] = {}
    candidates: list[PlannedTreatment] = []
    unreadable = ""
    for series in (series for search in searches for series in search.series if series.modality == "RTPLAN"):
        is_candidate = _is_of_scan(series, scan, contour_patient)
        for path in series.files:
            try:
                plan = read_rtplan(path)
            except BadInput as error:
                unreadable = unreadable or (str(error) if is_candidate else "")
                continue
            plans[plan.uid] = plan
            candidates += [plan] if is_candidate else []
    plan_of_dose = find_plan(files, plans, candidates)
    if plan_of_dose.path is None or plan_of_dose.doubt:  # a damaged file may be the plan
        for search in searches:
            _check_undamaged(search, scan, contour_patient, RT_PLAN)
        if unreadable:
            raise BadInput(unreadable)
    return DoseFiles(files, plan_of_dose)


def _check_undamaged(search: SeriesSearch, scan: FoundSeries, contour_patient: str, sop_class: UID) -> None:
    """Check that no damaged file may be an object of this class and of the patient of the scan.

    Raises:
        BadInput: If there is one.
    """
    patients = ("", scan.patient_id.strip(), contour_patient.strip())
    for file in search.damaged:
        if file.is_possibly(sop_class) and (file.patient_id.strip() in patients or not scan.patient_id.strip()):
            raise BadInput(file.reason)


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
