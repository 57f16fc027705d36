"""Who was scanned: by the scans' own headers, by the names of folders, or by a table."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path, PurePath

from gynbtnet.datasets.ingestion.folder_pattern import FolderPattern
from gynbtnet.datasets.ingestion.found_scans import FoundScan, FoundScans
from gynbtnet.datasets.ingestion.integrity import Problem
from gynbtnet.datasets.ingestion.patient_table import PatientTable
from gynbtnet.imaging.files.volume_files import without_suffix
from gynbtnet.imaging.printed_names import unicode_composed
from gynbtnet.runtime.errors import BadInput

DICOM = "dicom"
_WORDS = {"folder": "{patient}"}


def assign_patients(
    found: FoundScans, sources: Sequence[Path], patients_from: str = DICOM, *, leave_out_failing: bool = False
) -> FoundScans:
    """The scans with patient, fraction, applicator and further channels as ``patients_from`` says.

    Args:
        found: as an adapter found them.
        sources: the folders in which it did.
        patients_from: "dicom" leaves what the adapter says: PatientID, or the names of image files; "folder" takes the
            first folder below the source; a pattern with ``{patient}`` see
            :class:`~gynbtnet.datasets.ingestion.folder_pattern.FolderPattern`; the path of a table see
            :class:`~gynbtnet.datasets.ingestion.patient_table.PatientTable`.
        leave_out_failing: make each scan that would raise a problem of the source.

    Raises:
        BadInput: If ``patients_from`` is none of these, or its table can't be read; where a scan is told nothing, its
            contours are told to be another patient's, or nobody says whose it is.
    """
    if patients_from == DICOM:
        tell: Callable[[FoundScan], FoundScan] = _checked
        problems: tuple[Problem, ...] = ()
        channels = found.channels
    else:
        teller = _teller(patients_from, sources)
        tell = partial(_told, teller=teller, sources=sources)
        problems = _unused(teller, found.scans, sources) if isinstance(teller, PatientTable) else ()
        channels = found.channels + teller.channels
    scans, unknown = [], []
    for scan in found.scans:
        try:
            scans.append(_with_patient(tell(scan)))
        except BadInput as error:
            if not leave_out_failing:
                raise
            unknown.append(Problem("mismatch" if scan.patient else "missing", str(scan.place), str(error)))
    return replace(found, scans=tuple(scans), channels=channels, problems=(*found.problems, *unknown, *problems))


def _with_patient(scan: FoundScan) -> FoundScan:
    if not scan.patient:
        raise BadInput(
            f"The CT in {scan.folder} has no PatientID; take patients from the names of folders: "
            "--patients-from folder, or from a table."
        )
    return scan


def _teller(patients_from: str, sources: Sequence[Path]) -> FolderPattern | PatientTable:
    pattern = _WORDS.get(patients_from, patients_from)
    if "{" in pattern:
        return FolderPattern(pattern)
    if Path(pattern).is_file():
        return PatientTable.load(Path(pattern), sources)
    raise BadInput(
        f"Patients can't be taken from {patients_from}; expected dicom, folder, a pattern such as "
        f"{{patient}}/{{fraction}}, or the path of a table."
    )


def _told(scan: FoundScan, teller: FolderPattern | PatientTable, sources: Sequence[Path]) -> FoundScan:
    place, root = _place(scan.place, sources)
    told = teller.told(place, root)
    if told.patient is None:
        _checked(scan)
    elif scan.rtstruct:
        _check_contours(scan, told.patient, teller, sources)
    patient, fraction = told.patient or scan.patient, told.fraction or scan.fraction
    if told.applicator:
        scan = replace(scan, applicator=told.applicator, applicator_by=teller.source)
    return replace(scan, patient=patient, fraction=fraction, channels=scan.channels + told.channels)


def _checked(scan: FoundScan) -> FoundScan:
    """The scan, whose contours are of its own patient by what both say themselves."""
    if scan.drawn_for and scan.patient and scan.drawn_for != scan.patient:
        raise BadInput(
            f"{scan.rtstruct} has another PatientID than the CT in {scan.folder} that it was drawn on; export both of "
            "one patient, or take patients from the names of folders: --patients-from folder."
        )
    return scan


def _check_contours(
    scan: FoundScan, patient: str, teller: FolderPattern | PatientTable, sources: Sequence[Path]
) -> None:
    """Contours in another patient's folder are another patient's."""
    assert scan.rtstruct
    place, root = _place(scan.rtstruct.parent, sources)
    if isinstance(teller, PatientTable) and teller.row_of(place) is None:
        return  # a table may tell of the CT's own folder alone
    if teller.told(place, root).patient != patient:
        raise BadInput(
            f"{scan.rtstruct} lies in the folder of another patient than the CT in {scan.folder} that it was drawn on; "
            "put both of one patient together."
        )


def _place(path: Path, sources: Sequence[Path]) -> tuple[PurePath, Path]:
    """Where a scan lies below its source, an image file without its suffix, and the source."""
    root = next(source for source in sources if path.is_relative_to(source))
    place = path.relative_to(root)
    named = place if path.is_dir() else place.with_name(without_suffix(place.name))
    return PurePath(unicode_composed(str(named))), root


def _unused(table: PatientTable, scans: Sequence[FoundScan], sources: Sequence[Path]) -> tuple[Problem, ...]:
    used = {table.row_of(_place(scan.place, sources)[0]) for scan in scans}
    return tuple(
        Problem("missing", str(row), f"The table {table.path} tells of {row}, and there is no scan.")
        for row in table.rows
        if row not in used
    )
