"""Patient, fraction and applicator of every scan, by its own header, by folder names or by a table."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path, PurePath

from gynbtnet.datasets.ingestion.folder_pattern import FolderPattern
from gynbtnet.datasets.ingestion.found_scans import FoundScan, FoundScans
from gynbtnet.datasets.ingestion.integrity import Problem
from gynbtnet.datasets.ingestion.patient_table import PatientTable
from gynbtnet.imaging.files.volume_files import without_suffix
from gynbtnet.imaging.printed_names import check_utf8, unicode_composed
from gynbtnet.runtime.errors import BadInput

DICOM = "dicom"
_PATTERNS = {"folder": "{patient}"}


def assign_patients(
    found_scans: FoundScans, sources: Sequence[Path], patient_id_from: str = DICOM, *, leave_out_failing: bool = False
) -> FoundScans:
    """Return the scans with their patient, fraction, applicator and further channels.

    Args:
        found_scans: scans as an adapter found them.
        sources: folders in which it found them.
        patient_id_from: source of the patient identifiers. "dicom" keeps those of the adapter: PatientID, or the names
            of image files. "folder" takes the first folder below the source. For a pattern with ``{patient}`` see
            :class:`~gynbtnet.datasets.ingestion.folder_pattern.FolderPattern`; for the path of a table see
            :class:`~gynbtnet.datasets.ingestion.patient_table.PatientTable`.
        leave_out_failing: turn a scan that would raise an error into a problem of the source.

    Raises:
        BadInput: If ``patient_id_from`` is none of these or its table can't be read. Also if a scan has no patient or
            isn't in the table, or its contours are of another patient.
    """
    if patient_id_from == DICOM:
        identify: Callable[[FoundScan], FoundScan] = _check_contour_patient
        problems: tuple[Problem, ...] = ()
        channels = found_scans.channels
    else:
        metadata = _metadata_source(patient_id_from, sources)
        identify = partial(_with_metadata, metadata=metadata, sources=sources)
        problems = _unused_rows(metadata, found_scans.scans, sources) if isinstance(metadata, PatientTable) else ()
        channels = found_scans.channels + metadata.channels
    scans, failed = [], []
    for scan in found_scans.scans:
        if problem := _name_problem(scan):
            if not leave_out_failing:
                raise BadInput(problem.reason)
            failed.append(problem)
            continue
        try:
            scans.append(_check_has_patient(identify(scan)))
        except BadInput as error:
            if not leave_out_failing:
                raise
            failed.append(Problem("mismatch" if scan.patient else "missing", str(scan.path), str(error)))
    return replace(
        found_scans, scans=tuple(scans), channels=channels, problems=(*found_scans.problems, *failed, *problems)
    )


def _name_problem(scan: FoundScan) -> Problem | None:
    """Return the problem of a scan with a file whose name is not UTF-8; None if it has none."""
    try:
        for path in (*scan.files, *scan.contours, *scan.channels, *scan.plans):
            check_utf8(path)
    except BadInput as error:
        return Problem.from_error(error, scan.path)
    return None


def _check_has_patient(scan: FoundScan) -> FoundScan:
    """Return the scan with its patient, or raise BadInput if it has none.

    White space around an identifier and the form of its accents don't distinguish patients.
    """
    scan = replace(scan, patient=unicode_composed(scan.patient).strip())
    if not scan.patient:
        raise BadInput(
            f"The CT in {scan.folder} has no PatientID; identify patients by the names of folders with "
            "--patient-id-from folder, or by a table."
        )
    return scan


def _metadata_source(patient_id_from: str, sources: Sequence[Path]) -> FolderPattern | PatientTable:
    pattern = _PATTERNS.get(patient_id_from, patient_id_from)
    if "{" in pattern:
        return FolderPattern(pattern)
    if Path(pattern).is_file():
        return PatientTable.load(Path(pattern), sources)
    raise BadInput(
        f"Patients can't be identified by {patient_id_from}; expected dicom, folder, a pattern such as "
        f"{{patient}}/{{fraction}}, or the path of a table."
    )


def _with_metadata(scan: FoundScan, metadata: FolderPattern | PatientTable, sources: Sequence[Path]) -> FoundScan:
    """Return the scan with the metadata of a pattern or table."""
    given = metadata.read_metadata(*_split_path(scan.path, sources))
    if given.patient is None:
        _check_contour_patient(scan)
    elif scan.rtstruct:
        _check_contour_folder(scan, given.patient, metadata, sources)
    patient = given.patient or scan.patient
    fraction = scan.fraction if given.fraction is None else given.fraction
    if given.applicator:
        scan = replace(scan, applicator=given.applicator, applicator_source=metadata.source)
    return replace(scan, patient=patient, fraction=fraction, channels=scan.channels + given.channels)


def _check_contour_patient(scan: FoundScan) -> FoundScan:
    """Return the scan, or raise BadInput if its contours have another PatientID."""
    if scan.contour_patient and scan.patient and scan.contour_patient != scan.patient:
        raise BadInput(
            f"{scan.rtstruct} has another PatientID than the CT in {scan.folder} that it was drawn on. Export both of "
            "one patient, or identify patients by the names of folders with --patient-id-from folder."
        )
    return scan


def _check_contour_folder(
    scan: FoundScan, patient: str, metadata: FolderPattern | PatientTable, sources: Sequence[Path]
) -> None:
    """Raise BadInput if the contours are in the folder of another patient."""
    assert scan.rtstruct
    path, root = _split_path(scan.rtstruct.parent, sources)
    if isinstance(metadata, PatientTable) and metadata.find_row(path) is None:
        return  # a table may list only the folder of the CT
    if metadata.read_metadata(path, root).patient != patient:
        raise BadInput(
            f"{scan.rtstruct} is in the folder of another patient than the CT in {scan.folder} that it was drawn on; "
            "put both of one patient together."
        )


def _split_path(path: Path, sources: Sequence[Path]) -> tuple[PurePath, Path]:
    """Return the path relative to its source, an image file without its suffix, and the source."""
    root = next(source for source in sources if path.is_relative_to(source))
    relative = path.relative_to(root)
    without = relative if path.is_dir() else relative.with_name(without_suffix(relative.name))
    return PurePath(unicode_composed(str(without))), root


def _unused_rows(table: PatientTable, scans: Sequence[FoundScan], sources: Sequence[Path]) -> tuple[Problem, ...]:
    """Return a problem for each row of a table without a scan."""
    used = {table.find_row(_split_path(scan.path, sources)[0]) for scan in scans}
    return tuple(
        Problem("missing", str(row), f"The table {table.path} lists {row}, but there is no scan.")
        for row in table.rows
        if row not in used
    )
