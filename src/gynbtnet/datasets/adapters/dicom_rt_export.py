"""What a clinic exports: CT series and the RTSTRUCTs drawn on them, in any folders.

The CT is the series that the RTSTRUCT refers to, or else the largest axial one in its frame of reference. Several scans
of one patient are fractions, numbered by date and time of study and series, or, where these are absent or alike, by the
name of the folder. A case without some of the structures is kept, with a note. The applicator is what RTPLAN and
RTSTRUCT name, see :mod:`gynbtnet.datasets.ingestion.applicator`.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from gynbtnet.datasets.adapters.dicom_scans import damaged_problems, dicom_scan
from gynbtnet.datasets.cohort import Cohort
from gynbtnet.datasets.ingestion.applicator import (
    applicator_of_plan,
    find_applicator,
    find_plans,
    referenced_structure_set,
)
from gynbtnet.datasets.ingestion.found_scans import FoundScan, FoundScans, ScanContents, in_each_source, source_folders
from gynbtnet.datasets.ingestion.ingest import ingest_found
from gynbtnet.datasets.ingestion.integrity import Problem
from gynbtnet.datasets.ingestion.scan_identity import DICOM, assign_patients
from gynbtnet.datasets.ingestion.structure_set_choice import AmbiguousContours, chosen_structure_set
from gynbtnet.datasets.patient_key import PatientKey
from gynbtnet.imaging.dicom.ct_series import read_ct_files
from gynbtnet.imaging.dicom.incomplete_series import assess_completeness
from gynbtnet.imaging.dicom.objects import RT_PLAN
from gynbtnet.imaging.dicom.rt.referenced_images import referenced_frames, referenced_series
from gynbtnet.imaging.dicom.rt.rtstruct_reader import read_rtstruct
from gynbtnet.imaging.dicom.rtstruct_reference import RTStructReference, read_reference
from gynbtnet.imaging.dicom.series import FoundSeries, SeriesSearch, search_series
from gynbtnet.imaging.dicom.series_selection import select_ct
from gynbtnet.imaging.dicom.slice_repairs import Repairs
from gynbtnet.imaging.structure_names import StructureNames
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.parallel import failure_reason


def ingest(
    source: Path | Sequence[Path],
    out: Path,
    *,
    structures: Sequence[str],
    names: StructureNames | None = None,
    patients_from: str = DICOM,
    repairs: Repairs | None = None,
    rtstruct: Sequence[str] = (),
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
            first folder below ``source``; see :func:`~gynbtnet.datasets.ingestion.scan_identity.assign_patients`.
        repairs: which flaws of CT series to mend instead of refusing them.
        rtstruct: which of several structure sets on one CT to take, see
            :mod:`~gynbtnet.datasets.ingestion.structure_set_choice`; left out, none.
        key: gives patients their study IDs; left out, it lies in the cohort.
        name: of the cohort; left out, that of ``out``.
        jobs: scans at once, each in a process of its own.
        allow_overlap: see :func:`~gynbtnet.datasets.ingestion.ingest.ingest_found`.

    Raises:
        BadInput: no RTSTRUCT or no CT, an RTSTRUCT without its CT, two on one CT, one of another patient than its CT
            (by PatientID, where that tells patients apart), a structure that no case has, or a scan or structure set
            that can't be read.
    """
    sources = source_folders(source, out)
    found = find(sources, structures=structures, names=names, repairs=repairs, rtstruct=rtstruct)
    return ingest_found(
        assign_patients(found, sources, patients_from), out, key=key, name=name, jobs=jobs, allow_overlap=allow_overlap
    ).cohort


def find(
    sources: Sequence[Path],
    *,
    structures: Sequence[str],
    names: StructureNames | None = None,
    repairs: Repairs | None = None,
    rtstruct: Sequence[str] = (),
) -> FoundScans:
    """The RTSTRUCTs below some folders, each with its CT; what is wrong with one of them becomes a problem.

    Raises:
        BadInput: If a folder holds no RTSTRUCT, or no CT.
    """
    names = names or StructureNames.load()
    wanted = tuple(structures)

    def read(scan: FoundScan) -> ScanContents:
        ct = read_ct_files(scan.files, repairs)
        segmentation, report = read_rtstruct(scan.contours[0], ct, wanted, names)
        notes = (*scan.notes, *ct.notes, *report.notes)
        return ScanContents(ct.volume, segmentation, report.missing, report.overlaps, report.unmapped, notes)

    held, problems = in_each_source(lambda folder: _find(folder, rtstruct), sources)
    problems += [problem for one in held for problem in one.problems]
    without = sum(one.without for one in held)
    elsewhere = Counter(kind for one in held for kind in one.elsewhere)
    notes = [
        f"{count} structure set(s) drawn on {kind}, not on a CT, were left out." for kind, count in elsewhere.items()
    ]
    if without:
        notes.insert(0, f"{without} CT series in the source have no RTSTRUCT that can be taken, and were left out.")
    return FoundScans(
        tuple(scan for one in held for scan in one.scans),
        read,
        structures=wanted,
        depends_on=repr((sorted(alias for alias in names.aliases.items() if alias[1] in wanted), repairs)),
        problems=tuple(problems),
        notes=tuple(notes),
    )


@dataclass(frozen=True)
class _Source:
    """What a folder holds: the scans that can be taken, what can't be, and what was left out."""

    scans: tuple[FoundScan, ...]
    problems: tuple[Problem, ...]
    without: int
    elsewhere: tuple[str, ...]


@dataclass(frozen=True)
class _Drawn:
    """A structure set and the CT that it was drawn on."""

    rtstruct: Path
    ct: FoundSeries
    reference: RTStructReference
    note: str | None

    @property
    def on_other_images(self) -> bool:
        """Whether the structure set names images, and none of this CT."""
        named = {one.series_uid for one in referenced_series(self.rtstruct)} - {""}
        return bool(named) and self.ct.series_uid not in named


def _find(folder: Path, rules: Sequence[str]) -> _Source:
    """Every CT series with its structure set; whatever is wrong with one of them doesn't stop the others."""
    search = search_series(folder)
    scans = [one for one in search.series if one.modality == "CT"]
    rtstructs = sorted(path for one in search.series if one.modality == "RTSTRUCT" for path in one.files)
    if not search.damaged and (not scans or not rtstructs):
        held = ", ".join(sorted({one.modality for one in search.series})) or "no DICOM file"
        raise BadInput(
            f"{folder} holds {held}; expected CT series and the RTSTRUCTs drawn on them. Scans without contours are "
            "ingested as scans, not as a DICOM RT export."
        )
    problems: list[Problem] = []
    elsewhere: list[str] = []
    drawn: dict[FoundSeries, list[_Drawn]] = {}
    for rtstruct in rtstructs:
        try:
            kind = _other_image(rtstruct, search.series)
            if kind:
                elsewhere.append(kind)
                continue
            reference = read_reference(rtstruct)
        except Exception as error:
            problems.append(_problem(error, rtstruct))
            continue
        try:
            ct, note = _ct_of(rtstruct, reference, scans, folder)
        except BadInput as error:
            problems.append(Problem("missing", str(rtstruct), str(error)))
        else:
            drawn.setdefault(ct, []).append(_Drawn(rtstruct, ct, reference, note))
    judged = assess_completeness(search, _referred(search) if search.damaged else None)
    problems += damaged_problems(search.damaged, judged)
    plans, unreadable = _plans(search.series)
    problems += unreadable
    spoilt_plans = [Path(one.place) for one in unreadable]
    spoilt_plans += [one.path for one in search.damaged if one.sop_class_uid == RT_PLAN]
    found = []
    for ct, on_it in drawn.items():
        if ct in judged.incomplete:
            continue  # which the damaged file's problem says
        try:
            scan = _scan(on_it, rules, plans, spoilt_plans, doubtful=ct in judged.doubtful)
        except AmbiguousContours as error:
            problems.append(Problem("ambiguous", str(ct.files[0].parent), str(error)))
        except Exception as error:
            problems.append(_problem(error, on_it[0].rtstruct))
        else:
            found.append(scan)
    if not found and not problems:
        raise BadInput(
            f"{folder} holds no RTSTRUCT drawn on a CT, only on {', '.join(sorted(set(elsewhere)))}; expected CT "
            "series and the RTSTRUCTs drawn on them."
        )
    without = sum(one not in drawn and one not in judged.incomplete for one in scans)
    return _Source(tuple(found), tuple(problems), without, tuple(elsewhere))


def _scan(
    drawn: Sequence[_Drawn],
    rules: Sequence[str],
    plans: Mapping[Path, str],
    spoilt_plans: Sequence[Path],
    *,
    doubtful: bool,
) -> FoundScan:
    """A CT with its structure set.

    Raises:
        AmbiguousContours: If several are drawn on it, and no rule chooses.
        BadInput: If one of its files can't be read.
    """
    notes: list[str] = []
    candidates = [one for one in drawn if not one.on_other_images] or drawn
    others = len(drawn) - len(candidates)
    if others:
        notes.append(f"Left out {others} structure set(s) drawn on other images in the CT's frame of reference.")
    if len(candidates) > 1:
        path = chosen_structure_set([one.rtstruct for one in candidates], rules)
        notes.append(f"Of {len(candidates)} structure sets on its CT took one by --rtstruct {','.join(rules)}.")
        chosen = next(one for one in candidates if one.rtstruct == path)
    else:
        chosen = candidates[0]
    scan = dicom_scan(chosen.ct, doubtful=doubtful)
    own_plans = find_plans(chosen.rtstruct, plans)
    applicator, said_by, differing = find_applicator(chosen.rtstruct, own_plans)
    if any(path.parent == chosen.rtstruct.parent for path in spoilt_plans):
        notes.append("An RTPLAN next to its structure set can't be read; the applicator is known without it.")
    return replace(
        scan,
        contours=(chosen.rtstruct,),
        rtstruct=chosen.rtstruct,
        notes=(*scan.notes, *((chosen.note,) if chosen.note else ()), *notes, *differing),
        plans=own_plans,
        applicator=applicator,
        applicator_by=said_by,
        drawn_for=chosen.reference.patient_id.strip(),
    )


def _plans(series: Sequence[FoundSeries]) -> tuple[dict[Path, str], list[Problem]]:
    """By path the structure set that each RTPLAN refers to, and the plans that can't be read."""
    plans: dict[Path, str] = {}
    problems: list[Problem] = []
    for path in sorted(path for one in series if one.modality == "RTPLAN" for path in one.files):
        try:
            applicator_of_plan(path)
            plans[path] = referenced_structure_set(path)
        except Exception as error:
            problems.append(_problem(error, path))
    return plans, problems


def _problem(error: Exception, path: Path) -> Problem:
    reason = failure_reason(error)
    return Problem("unreadable", str(path), reason if str(path) in reason else f"{path}: {reason}")


def _referred(search: SeriesSearch) -> dict[str, frozenset[str]]:
    """By SeriesInstanceUID, the images that structure sets say a series has."""
    referred: dict[str, frozenset[str]] = {}
    for path in (path for one in search.series if one.modality == "RTSTRUCT" for path in one.files):
        try:
            for one in referenced_series(path):
                referred[one.series_uid] = referred.get(one.series_uid, frozenset()) | one.images
        except BadInput:
            continue  # which has been said of it
    return referred


def _other_image(rtstruct: Path, series: Sequence[FoundSeries]) -> str:
    """The kind of image that a structure set was drawn on, if that is no CT and not in a CT's frame of reference."""
    referred = referenced_series(rtstruct)
    scans = [one for one in series if one.modality == "CT"]
    if not referred or {one.series_uid for one in referred}.intersection(one.series_uid for one in scans):
        return ""
    if referenced_frames(rtstruct).intersection(one.frame_of_reference_uid for one in scans):
        return ""
    held = {one.series_uid: one.modality for one in series}
    kinds = {held.get(one.series_uid) or ("" if one.is_ct else one.kind) for one in referred}
    return "" if "" in kinds else ", ".join(sorted(kinds))


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
    return select_ct(referred or same_frame, str(folder))
