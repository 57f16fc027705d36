"""DICOM RT export of a clinic: CT series and the RTSTRUCTs contoured on them, in any folders.

The CT is the series that the RTSTRUCT refers to, or else the largest axial one in its frame of reference. Several scans
of one patient are fractions, numbered by date and time of study and series. If these are absent or equal, they are
numbered by the name of the folder. A case without some of the structures is kept, with a note. RTPLAN and RTSTRUCT name
the applicator, see :mod:`gynbtnet.datasets.ingestion.applicator`.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from gynbtnet.datasets.adapters.adapter import Adapter, AdapterOptions
from gynbtnet.datasets.adapters.dicom_scans import damaged_problems, dicom_scan
from gynbtnet.datasets.ingestion.applicator import (
    applicator_of_plan,
    find_applicator,
    find_plans,
    referenced_structure_set,
)
from gynbtnet.datasets.ingestion.found_scans import FoundScan, FoundScans, ScanContents, search_each_source
from gynbtnet.datasets.ingestion.integrity import Problem
from gynbtnet.datasets.ingestion.structure_set_choice import AmbiguousContours, choose_structure_set
from gynbtnet.imaging.dicom.ct_series import read_ct_files
from gynbtnet.imaging.dicom.incomplete_series import assess_completeness
from gynbtnet.imaging.dicom.objects import RT_PLAN
from gynbtnet.imaging.dicom.rt.referenced_images import referenced_frames, referenced_series
from gynbtnet.imaging.dicom.rt.rtstruct_origin import is_unreviewed_prediction
from gynbtnet.imaging.dicom.rt.rtstruct_reader import read_rtstruct
from gynbtnet.imaging.dicom.rtstruct_reference import RTStructReference, read_reference
from gynbtnet.imaging.dicom.series import FoundSeries, SeriesSearch, search_series
from gynbtnet.imaging.dicom.series_selection import select_ct
from gynbtnet.imaging.structure_names import StructureNames
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.parallel import failure_reason
from gynbtnet.runtime.phrases import counted

PREDICTED = "Its contours are predictions of GynBTNet that nobody has approved, not a person's contours."
"""Note on a case without contours of a person."""


def find(sources: Sequence[Path], options: AdapterOptions) -> FoundScans:
    """Return the CT series below the sources that have a structure set.

    A scan or structure set that can't be used becomes a problem: an RTSTRUCT without its CT, several on one CT, or an
    unreadable file.

    Raises:
        BadInput: If a folder contains no RTSTRUCT, or no CT.
    """
    names = options.names or StructureNames.load()
    structures = options.structures or ()

    def read(scan: FoundScan) -> ScanContents:
        ct = read_ct_files(scan.files, options.repairs)
        segmentation, report = read_rtstruct(scan.contours[0], ct, structures, names)
        notes = (*scan.notes, *ct.notes, *report.notes)
        return ScanContents(
            ct.volume,
            segmentation,
            report.missing,
            report.overlaps,
            report.unmapped,
            notes,
            interpolated=report.interpolated,
        )

    exports, problems = search_each_source(lambda folder: _search(folder, options.rtstruct), sources)
    problems += [problem for export in exports for problem in export.problems]
    without_contours = sum(export.without_contours for export in exports)
    modalities = Counter(modality for export in exports for modality in export.other_modalities)
    notes = [
        f"{count} structure set(s) drawn on {modality}, not on a CT, were left out."
        for modality, count in modalities.items()
    ]
    if without_contours:
        note = f"{without_contours} CT series in the source have no RTSTRUCT that can be taken, and were left out."
        notes.insert(0, note)
    aliases = sorted(alias for alias in names.aliases.items() if alias[1] in structures)
    return FoundScans(
        tuple(scan for export in exports for scan in export.scans),
        read,
        structures=structures,
        depends_on=repr((aliases, options.repairs)),
        problems=tuple(problems),
        notes=tuple(notes),
    )


@dataclass(frozen=True)
class _Export:
    """Result of searching a folder.

    Attributes:
        scans: scans that can be taken.
        problems: scans and files that can't.
        without_contours: number of CT series without a structure set.
        other_modalities: modality of the images of each structure set that is not on a CT.
    """

    scans: tuple[FoundScan, ...]
    problems: tuple[Problem, ...]
    without_contours: int
    other_modalities: tuple[str, ...]


@dataclass(frozen=True)
class _StructureSet:
    """A structure set and the CT on which it was contoured."""

    path: Path
    ct: FoundSeries
    reference: RTStructReference
    note: str | None

    @property
    def on_other_images(self) -> bool:
        """Return True if the structure set refers to images, but to none of this CT."""
        referenced = {series.series_uid for series in referenced_series(self.path)} - {""}
        return bool(referenced) and self.ct.series_uid not in referenced


def _search(folder: Path, rules: Sequence[str]) -> _Export:
    """Find every CT series with its structure set; a problem with one of them doesn't affect the others."""
    search = search_series(folder)
    cts = [series for series in search.series if series.modality == "CT"]
    rtstructs = sorted(_files_of(search.series, "RTSTRUCT"))
    if not search.damaged and (not cts or not rtstructs):
        content = ", ".join(sorted({series.modality for series in search.series})) or "no DICOM file"
        raise BadInput(
            f"{folder} contains {content}; expected CT series and the RTSTRUCTs drawn on them. Scans without contours "
            "are ingested with --layout scans."
        )
    problems: list[Problem] = []
    other_modalities: list[str] = []
    structure_sets: dict[FoundSeries, list[_StructureSet]] = {}
    for path in rtstructs:
        try:
            modality = _other_modality(path, search.series)
            if modality:
                other_modalities.append(modality)
                continue
            reference = read_reference(path)
        except Exception as error:
            problems.append(_unreadable(error, path))
            continue
        try:
            ct, note = _ct_of(path, reference, cts, folder)
        except BadInput as error:
            problems.append(Problem("missing", str(path), str(error)))
        else:
            structure_sets.setdefault(ct, []).append(_StructureSet(path, ct, reference, note))
    completeness = assess_completeness(search, _referenced_images(search) if search.damaged else None)
    problems += damaged_problems(search.damaged, completeness)
    plans, unreadable = _read_plans(search.series)
    problems += unreadable
    damaged_plans = [Path(problem.path) for problem in unreadable]
    damaged_plans += [file.path for file in search.damaged if file.sop_class_uid == RT_PLAN]
    scans = []
    for ct, candidates in structure_sets.items():
        if ct in completeness.incomplete:
            continue  # the problem of the damaged file reports it
        try:
            scan = _scan(candidates, rules, plans, damaged_plans, doubtful=ct in completeness.doubtful)
        except AmbiguousContours as error:
            problems.append(Problem("ambiguous", str(ct.files[0].parent), str(error)))
        except Exception as error:
            problems.append(_unreadable(error, candidates[0].path))
        else:
            scans.append(scan)
    if not scans and not problems:
        raise BadInput(
            f"{folder} contains no RTSTRUCT drawn on a CT, only on {', '.join(sorted(set(other_modalities)))}; "
            "expected CT series and the RTSTRUCTs drawn on them."
        )
    without_contours = sum(ct not in structure_sets and ct not in completeness.incomplete for ct in cts)
    return _Export(tuple(scans), tuple(problems), without_contours, tuple(other_modalities))


def _scan(
    structure_sets: Sequence[_StructureSet],
    rules: Sequence[str],
    plans: Mapping[Path, str],
    damaged_plans: Sequence[Path],
    *,
    doubtful: bool,
) -> FoundScan:
    """Return a CT with its structure set.

    Raises:
        AmbiguousContours: If there are several structure sets, and no rule selects one.
        BadInput: If one of its files can't be read.
    """
    notes: list[str] = []
    candidates = [item for item in structure_sets if not item.on_other_images] or structure_sets
    others = len(structure_sets) - len(candidates)
    by_person = [item for item in candidates if not is_unreviewed_prediction(item.path)]
    predicted = len(candidates) - len(by_person)
    candidates = by_person or candidates
    if others:
        notes.append(f"Left out {others} structure set(s) drawn on other images in the CT's frame of reference.")
    if by_person and predicted:
        notes.append(f"Left out {counted(predicted, 'structure set')} that GynBTNet predicted and nobody has approved.")
    if predicted and not by_person:
        notes.append(PREDICTED)
    if len(candidates) > 1:
        path = choose_structure_set([item.path for item in candidates], rules)
        notes.append(f"Took one of {len(candidates)} structure sets on its CT by --rtstruct {','.join(rules)}.")
        chosen = next(item for item in candidates if item.path == path)
    else:
        chosen = candidates[0]
    scan = dicom_scan(chosen.ct, doubtful=doubtful)
    own_plans = find_plans(chosen.path, plans)
    applicator = find_applicator(chosen.path, own_plans)
    if any(path.parent == chosen.path.parent for path in damaged_plans):
        notes.append("An RTPLAN next to its structure set can't be read; the applicator was determined without it.")
    return replace(
        scan,
        contours=(chosen.path,),
        rtstruct=chosen.path,
        notes=(*scan.notes, *((chosen.note,) if chosen.note else ()), *notes, *applicator.notes),
        plans=own_plans,
        applicator=applicator.type,
        applicator_source=applicator.source,
        contour_patient=chosen.reference.patient_id.strip(),
        automatic=not by_person,
    )


def _files_of(series: Sequence[FoundSeries], modality: str) -> list[Path]:
    return [path for item in series if item.modality == modality for path in item.files]


def _read_plans(series: Sequence[FoundSeries]) -> tuple[dict[Path, str], list[Problem]]:
    """Return the SOPInstanceUID of the structure set of each RTPLAN, and the plans that can't be read."""
    plans: dict[Path, str] = {}
    problems: list[Problem] = []
    for path in sorted(_files_of(series, "RTPLAN")):
        try:
            applicator_of_plan(path)
            plans[path] = referenced_structure_set(path)
        except Exception as error:
            problems.append(_unreadable(error, path))
    return plans, problems


def _unreadable(error: Exception, path: Path) -> Problem:
    reason = failure_reason(error)
    return Problem("unreadable", str(path), reason if str(path) in reason else f"{path}: {reason}")


def _referenced_images(search: SeriesSearch) -> dict[str, frozenset[str]]:
    """Return the images that structure sets list, by SeriesInstanceUID."""
    images: dict[str, frozenset[str]] = {}
    for path in _files_of(search.series, "RTSTRUCT"):
        try:
            for series in referenced_series(path):
                images[series.series_uid] = images.get(series.series_uid, frozenset()) | series.images
        except BadInput:
            continue  # its own problem reports it
    return images


def _other_modality(rtstruct: Path, series: Sequence[FoundSeries]) -> str:
    """Return the modality of the images of a structure set if they are not a CT.

    Return an empty string if they are a CT, or if a CT has their frame of reference.
    """
    referenced = referenced_series(rtstruct)
    cts = [item for item in series if item.modality == "CT"]
    if not referenced or {item.series_uid for item in referenced}.intersection(ct.series_uid for ct in cts):
        return ""
    if referenced_frames(rtstruct).intersection(ct.frame_of_reference_uid for ct in cts):
        return ""
    modalities = {item.series_uid: item.modality for item in series}
    names = {modalities.get(item.series_uid) or ("" if item.is_ct else item.kind) for item in referenced}
    return "" if "" in names else ", ".join(sorted(names))


def _ct_of(
    rtstruct: Path, reference: RTStructReference, cts: Sequence[FoundSeries], folder: Path
) -> tuple[FoundSeries, str | None]:
    """Return the series that the RTSTRUCT refers to, else the largest axial one in its frame of reference, with a note.

    If an anonymiser emptied the UIDs of the series, an empty reference refers to none of them.
    """
    referenced = [ct for ct in cts if ct.series_uid and ct.series_uid == reference.series_uid]
    same_frame = [ct for ct in cts if ct.frame_of_reference_uid == reference.frame_of_reference_uid]
    if not referenced and (not same_frame or (not reference.frame_of_reference_uid and len(same_frame) > 1)):
        target = "a CT series that is not" if reference.series_uid else "no CT series"
        raise BadInput(
            f"{rtstruct} refers to {target} in {folder}, and {len(same_frame)} of the {len(cts)} CT series there have "
            "its frame of reference; expected the CT that it was drawn on: export it too."
        )
    return select_ct(referenced or same_frame, str(folder))


ADAPTER = Adapter(
    "dicom-rt",
    "DICOM RT export",
    find,
    takes=("structures", "names", "repairs", "rtstruct"),
    needs=("structures",),
)
