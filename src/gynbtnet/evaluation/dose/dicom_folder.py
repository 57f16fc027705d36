"""Doses of a DICOM folder without an ingested cohort: CT series, their RTSTRUCTs and RTDOSEs."""

from dataclasses import dataclass, field
from pathlib import Path

from gynbtnet.datasets.cohort import MANIFEST, Cohort
from gynbtnet.datasets.ingest_scans import ingest
from gynbtnet.datasets.ingestion.integrity import Problem
from gynbtnet.datasets.patient_key import PatientKey
from gynbtnet.imaging.dicom.objects import RT_DOSE, RT_PLAN
from gynbtnet.imaging.dicom.rt.rtstruct_rois import list_rois
from gynbtnet.imaging.dicom.series import SeriesSearch, search_series
from gynbtnet.imaging.printed_names import unicode_composed
from gynbtnet.imaging.structure_names import StructureNames
from gynbtnet.runtime.errors import BadInput


@dataclass(frozen=True)
class DoseFolder:
    """Cohort of a DICOM folder, without the patients of whom a scan can't be used.

    Attributes:
        cohort: all scans of the other patients.
        left_out: path in the folder and reason of each CT or RTSTRUCT that can't be used.
        patients_left_out: PatientIDs of these patients.
    """

    cohort: Cohort
    left_out: tuple[tuple[str, str], ...] = ()
    patients_left_out: frozenset[str] = field(default_factory=frozenset, repr=False)


def is_cohort(folder: Path) -> bool:
    """Return whether a folder is a cohort, or is not there at all."""
    return (folder / MANIFEST).is_file() or not folder.is_dir()


def cohort_of_folder(folder: Path, out: Path, names: StructureNames) -> DoseFolder:
    """Ingest the scans of a DICOM folder with all structures that have a known name.

    If a scan of a patient can't be used, all scans of this patient are left out: the course would lack a fraction.

    Args:
        folder: DICOM folder of one or several patients.
        out: folder of the cohort.
        names: table of ROI names.

    Raises:
        BadInput: If the folder has no RTSTRUCT with a known name, or no scan can be used. Also if it is unknown which
            patient a damaged file belongs to, or two scans have the same voxels.
    """
    search = search_series(folder.absolute())
    structures = _known_structures(search, folder, names)
    ingestion = ingest(
        folder,
        out,
        structures=structures,
        names=names,
        name="DICOM export",
        allow_overlap=True,
        leave_out_failing=True,
    )
    problems = [problem for problem in ingestion.report.problems if not _is_of_dose_or_plan(problem, search)]
    if not problems:
        return DoseFolder(ingestion.cohort)
    left_out = frozenset(patient for problem in problems for patient in _patients_of(problem, search))
    key = PatientKey.of_cohort(ingestion.cohort.folder)
    study_ids = {key.study_ids.get(unicode_composed(patient)) for patient in left_out}
    remaining = [patient for patient in ingestion.cohort.patients if patient not in study_ids]
    if not remaining:
        raise BadInput(problems[0].reason)
    listed = tuple((_relative(problem.path, folder), problem.reason) for problem in problems)
    return DoseFolder(ingestion.cohort.of_patients(remaining), listed, left_out)


def _known_structures(search: SeriesSearch, folder: Path, names: StructureNames) -> list[str]:
    """Return the structures of all RTSTRUCTs that can be read, in the order of the table.

    Raises:
        BadInput: If there is none.
    """
    rois: set[str] = set()
    reasons: list[str] = [file.reason for file in search.damaged]
    for path in (path for series in search.series if series.modality == "RTSTRUCT" for path in series.files):
        try:
            rois.update(roi.name for roi in list_rois(path) if roi.contours)
        except BadInput as error:
            reasons.append(str(error))
    known = {structure for roi in rois if (structure := names.resolve(roi)) is not None}
    if known:
        return [*(name for name in names.entries if name in known), *sorted(known.difference(names.entries))]
    if reasons:
        raise BadInput(reasons[0])
    raise BadInput(
        f"{folder} is no cohort made by `gynbtnet ingest`, and has no RTSTRUCT with a structure of a known name. "
        "Expected a cohort, or a folder with a CT series, its RTSTRUCT and its RTDOSE; map the names of ROIs with "
        "--aliases."
    )


def _is_of_dose_or_plan(problem: Problem, search: SeriesSearch) -> bool:
    """Return whether a problem is one of an RTDOSE or RTPLAN, which matters only if a case needs the file."""
    path = Path(problem.path)
    plans = {file for series in search.series if series.modality in ("RTDOSE", "RTPLAN") for file in series.files}
    damaged = {file.path for file in search.damaged if file.sop_class_uid in (RT_DOSE, RT_PLAN)}
    return path in plans | damaged


def _patients_of(problem: Problem, search: SeriesSearch) -> set[str]:
    """Return the PatientIDs of the scans that a problem affects.

    Raises:
        BadInput: If they are unknown, or the problem is that two scans have the same voxels.
    """
    path = Path(problem.path)
    patients = {
        series.patient_id.strip()
        for series in search.series
        if any(path in (file, file.parent) for file in series.files)
    }
    patients |= {file.patient_id.strip() for file in search.damaged if path in (file.path, file.path.parent)}
    if not patients or "" in patients or problem.kind == "duplicate":
        raise BadInput(problem.reason)
    return patients


def _relative(path: str, folder: Path) -> str:
    """Return a path within the folder as a name for a list."""
    inside = Path(path).absolute()
    return str(inside.relative_to(folder.absolute())) if inside.is_relative_to(folder.absolute()) else path
