"""What a clinic exports: CT series and the RTSTRUCTs drawn on them, in any folders.

The CT is the series that the RTSTRUCT refers to, or else the largest axial one in its frame of reference. Several scans
of one patient are fractions, numbered by date and time of study and series, or, where these are absent or alike, by the
name of the folder. A case without some of the structures is kept, with a note. The applicator is what RTPLAN and
RTSTRUCT name, see :mod:`gynbtnet.datasets.applicator`.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from gynbtnet.datasets.applicator import applicator_of, plans_of
from gynbtnet.datasets.cohort import Cohort
from gynbtnet.datasets.dicom_scans import dicom_scan
from gynbtnet.datasets.found_scans import FoundScan, FoundScans, ScanContents, source_folders
from gynbtnet.datasets.ingestion import ingest_found
from gynbtnet.datasets.patient_key import PatientKey
from gynbtnet.datasets.scan_identity import DICOM, identified
from gynbtnet.errors import BadInput
from gynbtnet.imaging.ct_series import read_ct_files
from gynbtnet.imaging.dicom_series import FoundSeries, find_series
from gynbtnet.imaging.rtstruct_reader import read_rtstruct
from gynbtnet.imaging.rtstruct_reference import RTStructReference, read_reference
from gynbtnet.imaging.series_choice import choose_ct
from gynbtnet.imaging.slice_repairs import Repairs
from gynbtnet.imaging.structure_names import StructureNames


def ingest(
    source: Path | Sequence[Path],
    out: Path,
    *,
    structures: Sequence[str],
    names: StructureNames | None = None,
    patients_from: str = DICOM,
    repairs: Repairs | None = None,
    key: PatientKey | None = None,
    name: str | None = None,
    jobs: int = 1,
    allow_overlap: bool = False,
) -> Cohort:
    """Make a cohort of every RTSTRUCT below ``source`` with the CT series that it was drawn on.

    Args:
        source: one folder or several, searched with everything below.
        out: folder for the cohort.
        structures: label 1, 2, …; :func:`~gynbtnet.imaging.label_map.painting_order` decides which of two that overlap
            has the shared voxels.
        names: what ROI names mean; left out, the built-in table.
        patients_from: what tells patients apart, before they get study IDs: "dicom" takes the PatientID, "folder" the
            first folder below ``source``; see :func:`~gynbtnet.datasets.scan_identity.identified` for more.
        repairs: which flaws of CT series to mend instead of refusing them.
        key: gives patients their study IDs; left out, it lies in the cohort.
        name: of the cohort; left out, that of ``out``.
        jobs: scans at once, each in a process of its own.
        allow_overlap: see :func:`~gynbtnet.datasets.ingestion.ingest_found`.

    Raises:
        BadInput: no RTSTRUCT or no CT, an RTSTRUCT without its CT, two on one CT, one of another patient than its CT
            (by PatientID, where that tells patients apart), a structure that no case has, or a scan or structure set
            that can't be read.
    """
    sources = source_folders(source, out)
    found = find(sources, structures=structures, names=names, repairs=repairs)
    return ingest_found(
        identified(found, sources, patients_from), out, key=key, name=name, jobs=jobs, allow_overlap=allow_overlap
    ).cohort


def find(
    sources: Sequence[Path],
    *,
    structures: Sequence[str],
    names: StructureNames | None = None,
    repairs: Repairs | None = None,
) -> FoundScans:
    """The RTSTRUCTs below some folders, each with its CT.

    Raises:
        BadInput: as :func:`ingest`, for what is seen without reading voxels.
    """
    names = names or StructureNames.load()
    wanted = tuple(structures)

    def read(scan: FoundScan) -> ScanContents:
        ct = read_ct_files(scan.files, repairs)
        segmentation, report = read_rtstruct(scan.contours[0], ct, wanted, names)
        notes = (*scan.notes, *ct.notes, *report.notes)
        return ScanContents(ct.volume, segmentation, report.missing, report.overlaps, report.unmapped, notes)

    found: list[FoundScan] = []
    without = 0
    for folder in sources:
        scans, unused = _find(folder)
        found += scans
        without += unused
    return FoundScans(
        tuple(found),
        read,
        structures=wanted,
        depends_on=repr((sorted(alias for alias in names.aliases.items() if alias[1] in wanted), repairs)),
        notes=(f"{without} CT series in the source have no RTSTRUCT and were left out.",) if without else (),
    )


def _find(folder: Path) -> tuple[list[FoundScan], int]:
    """Every RTSTRUCT's scan, and the number of CT series without one."""
    series = find_series(folder)
    scans = [one for one in series if one.modality == "CT"]
    rtstructs = sorted(path for one in series if one.modality == "RTSTRUCT" for path in one.files)
    plans = sorted(path for one in series if one.modality == "RTPLAN" for path in one.files)
    if not scans or not rtstructs:
        held = ", ".join(sorted({one.modality for one in series})) or "no DICOM file"
        raise BadInput(
            f"{folder} holds {held}; expected CT series and the RTSTRUCTs drawn on them. Scans without contours are "
            "ingested as scans, not as a DICOM RT export."
        )
    drawn_on: dict[tuple[Path, ...], Path] = {}
    found = []
    for rtstruct in rtstructs:
        reference = read_reference(rtstruct)
        ct, note = _ct_of(rtstruct, reference, scans, folder)
        other = drawn_on.setdefault(ct.files, rtstruct)
        if other != rtstruct:
            raise BadInput(
                f"{other} and {rtstruct} are both drawn on the CT in {ct.files[0].parent}; expected one RTSTRUCT a "
                "scan: take the other one out of the folder."
            )
        scan = dicom_scan(ct)
        own_plans = plans_of(rtstruct, plans)
        applicator, said_by, differing = applicator_of(rtstruct, own_plans)
        found.append(
            replace(
                scan,
                contours=(rtstruct,),
                rtstruct=rtstruct,
                notes=(*((note,) if note else ()), *differing),
                plans=own_plans,
                applicator=applicator,
                applicator_by=said_by,
                drawn_for=reference.patient_id.strip(),
            )
        )
    return found, len(scans) - len(found)


def _ct_of(
    rtstruct: Path, reference: RTStructReference, scans: Sequence[FoundSeries], folder: Path
) -> tuple[FoundSeries, str | None]:
    """The series that the RTSTRUCT refers to, else the largest axial one in its frame of reference with a note.

    Where an anonymiser emptied the series' UIDs, an empty reference means none of them.
    """
    referred = [ct for ct in scans if ct.series_uid and ct.series_uid == reference.series_uid]
    same_frame = [ct for ct in scans if ct.frame_of_reference_uid == reference.frame_of_reference_uid]
    if not referred and (not same_frame or (not reference.frame_of_reference_uid and len(same_frame) > 1)):
        referring_to = "a CT series that is not" if reference.series_uid else "no CT series"
        raise BadInput(
            f"{rtstruct} refers to {referring_to} in {folder}, and {len(same_frame)} of the {len(scans)} CT "
            "series there lie in its frame of reference; expected the CT that it was drawn on: export it too."
        )
    return choose_ct(referred or same_frame, str(folder))
