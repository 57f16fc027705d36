"""Ingestion of the scans that an adapter found as a cohort on disk, the same for every layout.

A scan that can't be read doesn't stop the others. They are ingested, and at the end the failing ones are listed. By
default the result is an error, without a manifest; with ``leave_out_failing`` it is a cohort of the other scans.
"""

import hashlib
import json
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path

from gynbtnet.datasets.case import Case
from gynbtnet.datasets.cohort import MANIFEST, Cohort
from gynbtnet.datasets.ingestion.found_scans import FoundScans
from gynbtnet.datasets.ingestion.integrity import REPORT, IntegrityReport, Problem, raise_first_problem
from gynbtnet.datasets.ingestion.notes import notes_on_cases
from gynbtnet.datasets.ingestion.scan_numbering import NumberedScan, number_scans
from gynbtnet.datasets.ingestion.scan_reader import MASKS, ScanReader
from gynbtnet.datasets.patient_key import KEY, PatientKey
from gynbtnet.imaging.files.mask_bits import write_mask_bits
from gynbtnet.imaging.files.volume_files import write_volume
from gynbtnet.imaging.roi_matching import is_unusable_note
from gynbtnet.imaging.structure_masks import OverlappingSegmentation
from gynbtnet.imaging.structure_names import StructureNames
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.json_files import read_json, sha256_of, write_json
from gynbtnet.runtime.parallel import failure_reason, map_scans
from gynbtnet.runtime.phrases import counted

_INGESTION_VERSION = 6
_RECORDS = "cases"
_IMAGES = {"imagesTr": r"_\d{4}\.nii\.gz", "labelsTr": r"\.nii\.gz", MASKS: r"\.nii\.gz"}
"""Folders of images, and the endings that follow the id of a case there."""

_INCOMPLETE = ""
"""Key of a case whose files are being written."""


@dataclass(frozen=True)
class Ingestion:
    """Result of an ingestion.

    Attributes:
        cohort: the cohort.
        report: integrity of its source.
    """

    cohort: Cohort
    report: IntegrityReport


def ingest_found(
    found_scans: FoundScans,
    out: Path,
    *,
    key: PatientKey | None = None,
    name: str | None = None,
    jobs: int = 1,
    resample_channels: bool = False,
    leave_out_failing: bool = False,
    allow_overlap: bool = False,
    priority: Sequence[str] = (),
    all_structures: bool = True,
) -> Ingestion:
    """Write every scan as a case, and then the manifest.

    ``out`` is not a cohort until it has a manifest; an interrupted ingestion resumes when it is called again. A case is
    written again if its source, its position in the cohort or anything that reading depends on has changed. Among
    scans with the same voxels, only the first is taken.

    Args:
        found_scans: scans that an adapter found.
        out: folder for the cohort: absent, empty, or written by an earlier call. Nothing else in it is deleted.
        key: key that assigns study IDs to the patients of DICOM scans, or to all patients if it is stored separately.
            None is ``patients.csv`` in ``out``. Its file is read again first, since another ingestion may have added
            patients.
        name: name of the cohort; None is the name of ``out``.
        jobs: number of scans that are read at the same time, each in its own process.
        resample_channels: resample further channels that are not on the grid of the first, by linear interpolation,
            instead of refusing them. They must be registered to it.
        leave_out_failing: make a cohort of the scans that can be read, and list the others in the report.
        allow_overlap: take a scan even if a structure loses more than
            :data:`~gynbtnet.imaging.overlap_losses.LARGEST_LOSS` of its volume to others in the label map.
        priority: structures that get shared voxels in the label map, see
            :func:`~gynbtnet.imaging.label_map.painting_order`.
        all_structures: refuse a cohort in which no case has one of the structures.

    Raises:
        BadInput: If ``out`` contains something else, or no scan can be taken. Also if no case has one of the
            structures and ``all_structures``, or a scan can't be taken and is not to be left out.
    """
    if not found_scans.scans:
        raise_first_problem(found_scans.problems)
    out = Path(out).absolute()
    check_destination(out, key)
    key = PatientKey.load(key.path, separate=key.separate) if key else PatientKey.load(out / KEY)
    numbered, key = number_scans(found_scans.scans, key)
    check_only_own_images(out, {scan.id for scan in numbered})
    reader = ScanReader.create(
        found_scans,
        out,
        key,
        resample_channels=resample_channels,
        allow_overlap=allow_overlap,
        priority=priority,
    )
    (out / _RECORDS).mkdir(parents=True, exist_ok=True)
    (out / MANIFEST).unlink(missing_ok=True)
    key.save()
    results = map_scans(_CaseWriter(reader).write, numbered, name=attrgetter("id"), title="Ingesting", jobs=jobs)
    cases, problems = select_cases(
        found_scans, numbered, results, out, leave_out_failing=leave_out_failing, all_structures=all_structures
    )
    _remove_others(out, {case.id for case in cases})
    report = make_report(found_scans, len(numbered), cases, problems)
    report.save(out / REPORT, nameless=key.separate)
    notes = collect_notes(found_scans, report, cases)
    cohort = Cohort(name or out.name, found_scans.structures, tuple(cases), out, notes, found_scans.channels)
    cohort.save()
    return Ingestion(cohort, report)


def check_destination(out: Path, key: PatientKey | None) -> None:
    """Check that a cohort can be written to ``out``.

    Raises:
        BadInput: If ``out`` is a file or contains something else, or if it would contain a key that is to be stored
            separately.
    """
    out = Path(out).absolute()
    if out.exists() and not out.is_dir():
        raise BadInput(f"{out} is a file; expected a folder for the cohort: name one that is empty or absent.")
    if out.is_dir() and any(out.iterdir()) and not _is_own(out):
        raise BadInput(f"{out} contains files but is not a cohort; name a folder that is empty or absent.")
    if key and key.separate and key.path.is_relative_to(out):
        raise BadInput(
            f"The key {key.path} would be in the cohort {out}; name a file outside it that only you can read."
        )


def check_only_own_images(out: Path, ids: Collection[str]) -> None:
    """Check that all images in the folders of a cohort are from an ingestion.

    Args:
        out: folder of the cohort; it may be absent.
        ids: ids of the cases that are to be written. An interrupted ingestion leaves images of them without a record.

    Raises:
        BadInput: If one is not.
    """
    for folder, ending in _IMAGES.items():
        for path in sorted((Path(out) / folder).glob("[!.]*.nii.gz")):
            case_id = re.sub(f"{ending}$", "", path.name)
            if case_id not in ids and not _has_record(Path(out), case_id):
                raise BadInput(
                    f"{path} is not from an ingestion, but would count as an image of the cohort. Move it to another "
                    "folder, or name a folder for the cohort that is empty or absent."
                )


def _is_own(out: Path) -> bool:
    """Check if an ingestion made a folder: it has a manifest, or was interrupted before it had one again."""
    if (out / MANIFEST).is_file():
        return True
    records = list((out / _RECORDS).glob("[!.]*"))
    if not (out / _RECORDS).is_dir() or not all(_has_record(out, path.name.removesuffix(".json")) for path in records):
        return False
    return bool(records) or (out / KEY).is_file() or all(path.name == _RECORDS for path in out.glob("[!.]*"))


def _has_record(out: Path, case_id: str) -> bool:
    try:
        return read_json(_Record, out / _RECORDS / f"{case_id}.json", "").case.id == case_id
    except BadInput:
        return False


def select_cases(
    found_scans: FoundScans,
    numbered: Sequence[NumberedScan],
    results: Sequence[Case | Problem],
    out: Path,
    *,
    leave_out_failing: bool,
    all_structures: bool = True,
) -> tuple[list[Case], list[Problem]]:
    """Return the cases of the cohort without duplicates, and all problems.

    Args:
        found_scans: scans that the adapter found.
        numbered: these scans with their ids.
        results: case or problem of each of them.
        out: folder of the cohort, for messages.
        leave_out_failing: see :func:`ingest_found`.
        all_structures: see :func:`ingest_found`.

    Raises:
        BadInput: If no scan can be taken, one fails and is not to be left out, or no case has one of the structures.
    """
    problems = [*found_scans.problems, *(result for result in results if isinstance(result, Problem))]
    cases, duplicates = _without_duplicates([result for result in results if isinstance(result, Case)], numbered)
    problems += duplicates
    if problems and (not leave_out_failing or not cases):
        raise_first_problem(problems)
    if all_structures:
        _check_structures(cases, found_scans.structures, out)
    return cases, problems


def make_report(
    found_scans: FoundScans, scans: int, cases: Sequence[Case], problems: Sequence[Problem]
) -> IntegrityReport:
    """Return the integrity report of a source with this number of ``scans``."""
    archive = found_scans.real_archive
    return IntegrityReport(scans, len(cases), archive.scans if archive else None, tuple(problems))


def collect_notes(found_scans: FoundScans, report: IntegrityReport, cases: Sequence[Case]) -> tuple[str, ...]:
    """Return the notes of a cohort for readers of results, one sentence each."""
    archive = found_scans.real_archive
    archive_notes = (archive.note,) if archive else ()
    return (*archive_notes, *report.notes, *found_scans.notes, *notes_on_cases(cases, found_scans.structures))


@dataclass(frozen=True)
class _CaseWriter:
    """Writer of the cases that ``reader`` reads."""

    reader: ScanReader

    def write(self, numbered: NumberedScan) -> Case | Problem:
        """Return the case, or the reason why there is none; one scan never stops the others."""
        try:
            return self._write(numbered)
        except Exception as error:
            path = numbered.scan.path
            return Problem("unreadable", str(path), f"In {path}: {failure_reason(error)}")

    def _write(self, numbered: NumberedScan) -> Case | Problem:
        scan, reader = numbered.scan, self.reader
        digests = {str(scan.path): sha256_of(*scan.files)}
        digests |= {str(path): sha256_of(path) for path in (*scan.contours, *scan.plans, *scan.channels)}
        key = _digest(
            *(_INGESTION_VERSION, scan.patient, numbered.fraction, scan.synthetic, digests, reader.record_source),
            *(
                reader.found_scans.structures,
                reader.found_scans.channels,
                reader.found_scans.depends_on,
                reader.resample_channels,
            ),
            *(
                scan.applicator,
                scan.applicator_source,
                scan.position,
                scan.notes + numbered.notes,
                reader.allow_overlap,
            ),
            *reader.priority,
        )
        record_path = reader.out / _RECORDS / f"{numbered.id}.json"
        if record_path.is_file():
            record = read_json(_Record, record_path, "delete it and ingest again")
            case = record.case.below(reader.out)
            if record.key == key and all(path.is_file() for path in case.files):
                return case
            for path in (record_path, *case.files):
                path.unlink(missing_ok=True)
        result = reader.read(numbered, digests)
        if isinstance(result, Problem):
            return result
        recorded = result.case.relative_to(reader.out)
        write_json(_Record(_INCOMPLETE, recorded), record_path)  # marks the files below as ours
        for image, path in zip(result.images, result.case.images, strict=True):
            write_volume(image, path)
        if result.segmentation and result.case.labels:
            write_volume(result.segmentation.labels, result.case.labels)
        if isinstance(result.segmentation, OverlappingSegmentation) and result.case.masks:
            write_mask_bits(result.segmentation.own, result.case.masks)
        write_json(_Record(key, recorded), record_path)
        return result.case


def _without_duplicates(cases: Sequence[Case], numbered: Sequence[NumberedScan]) -> tuple[list[Case], list[Problem]]:
    """Return the cases with only the first of those with the same voxels, and problems for the others."""
    paths = {scan.id: scan.scan.path for scan in numbered}
    first: dict[str, str] = {}
    kept, duplicates = [], []
    for case in cases:
        earlier = first.setdefault(case.sha256, case.id)
        if earlier == case.id:
            kept.append(case)
        else:
            reason = (
                f"The scan in {paths[case.id]} has the same voxels as that in {paths[earlier]}. It might be used for "
                "training and for testing: remove one of them."
            )
            duplicates.append(Problem("duplicate", str(paths[case.id]), reason))
    return kept, duplicates


_MAX_REASONS = 3  # sentences on ROIs in one message


def _check_structures(cases: Sequence[Case], structures: tuple[str, ...], out: Path) -> None:
    """Raise BadInput if no case has one of the structures."""
    absent = [name for name in structures if all(name in case.missing for case in cases)]
    if absent:
        names = sorted({roi for case in cases for roi in case.unmapped})
        reasons = sorted({note for case in cases for note in case.notes if is_unusable_note(note)})
        raise BadInput(
            f"None of {counted(len(cases), 'case')} for {out} has {', '.join(absent)}. "
            f"{StructureNames.load().did_you_mean(absent)}"
            f"{''.join(f'{reason} ' for reason in reasons[:_MAX_REASONS])}Names that don't map to a requested "
            f"structure: {', '.join(names) or 'none'}. Map one in an alias file, or leave the structure out."
        )


def _digest(*values: object) -> str:
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()


def _remove_others(out: Path, ids: set[str]) -> None:
    """Remove files of cases that an earlier ingestion wrote and that the source no longer has."""
    for record in (out / _RECORDS).glob("[!.]*.json"):
        case_id = record.stem
        if case_id in ids or not _has_record(out, case_id):
            continue
        for folder, ending in _IMAGES.items():
            for path in (out / folder).glob("[!.]*.nii.gz"):
                if re.fullmatch(re.escape(case_id) + ending, path.name):
                    path.unlink()
        record.unlink()


@dataclass(frozen=True)
class _Record:
    key: str
    case: Case
