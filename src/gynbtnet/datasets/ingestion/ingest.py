"""From what an adapter found to a cohort on disk; the same for every kind of source.

A scan that can't be read doesn't stop the others: they are ingested, and at the end comes the list of those that
failed. A caller who asks for it gets a cohort without these; all others get the error, and no manifest.
"""

import hashlib
import json
import re
from collections.abc import Sequence
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
from gynbtnet.imaging.files.volume_files import write_volume
from gynbtnet.imaging.roi_matching import is_unusable_note
from gynbtnet.imaging.structure_masks import OverlappingSegmentation
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.json_files import read_json, sha256_of, write_json
from gynbtnet.runtime.parallel import failure_reason, map_scans

_INGESTION_VERSION = 4
_RECORDS = "cases"


@dataclass(frozen=True)
class Ingestion:
    """A cohort, and whether its source was whole."""

    cohort: Cohort
    report: IntegrityReport


def ingest_found(
    found: FoundScans,
    out: Path,
    *,
    key: PatientKey | None = None,
    name: str | None = None,
    jobs: int = 1,
    resample_channels: bool = False,
    leave_out_failing: bool = False,
    allow_overlap: bool = False,
) -> Ingestion:
    """Write every scan found as a case, and then the manifest.

    Until the manifest stands, ``out`` is no cohort; a second call goes on where the first one was interrupted. A case
    is written again where its source, its place in the cohort or what reading depends on has changed. Of scans with the
    same voxels the first is taken.

    Args:
        found: what the adapter found.
        out: folder for the cohort: absent, empty, or one that an earlier call wrote.
        key: gives patients their study IDs: those of DICOM scans, or all where it is kept apart. Left out, the key is
            ``patients.csv`` in ``out``.
        name: of the cohort; left out, that of ``out``.
        jobs: scans at once, each in a process of its own.
        resample_channels: bring further channels on another grid than the first onto that, by linear interpolation,
            instead of refusing them. That they are registered to it is the user's word.
        leave_out_failing: make the cohort of the scans that can be taken, and tell the others in the report.
        allow_overlap: take a scan even if a structure loses more than
            :data:`~gynbtnet.imaging.overlap_losses.LARGEST_LOSS` of its volume to others in the label map.

    Raises:
        BadInput: where ``out`` holds something else, no scan can be taken, no case has one of the structures, or,
            unless they are to be left out, a scan can't be taken.
    """
    if not found.scans:
        raise_first_problem(found.problems)
    out = Path(out).absolute()
    check_destination(out, key)
    key = key or PatientKey.load(out / KEY)
    (out / _RECORDS).mkdir(parents=True, exist_ok=True)
    (out / MANIFEST).unlink(missing_ok=True)
    numbered = number_scans(found.scans, key)
    key.save()
    reader = ScanReader.of(found, out, key, resample_channels=resample_channels, allow_overlap=allow_overlap)
    in_order = map_scans(_Writer(reader).write, numbered, name=attrgetter("id"), title="Ingesting", jobs=jobs)
    cases, problems = count_taken(found, numbered, in_order, out, leave_out_failing=leave_out_failing)
    _remove_others(out, {case.id for case in cases})
    report = make_report(found, len(numbered), cases, problems)
    report.save(out / REPORT, nameless=key.apart)
    notes = collect_notes(found, report, cases)
    cohort = Cohort(name or out.name, found.structures, tuple(cases), out, notes, found.channels)
    cohort.save()
    return Ingestion(cohort, report)


def check_destination(out: Path, key: PatientKey | None) -> None:
    """See that a cohort may be written to ``out``.

    Raises:
        BadInput: If ``out`` is a file or holds something else, or a key that is kept apart would lie in it.
    """
    out = Path(out).absolute()
    if out.exists() and not out.is_dir():
        raise BadInput(f"{out} is a file; expected a folder for the cohort: name one that is empty or absent.")
    if out.is_dir() and not (out / _RECORDS).is_dir() and any(out.iterdir()):
        raise BadInput(f"{out} holds files and is no cohort; name a folder that is empty or absent.")
    if key and key.apart and key.path.is_relative_to(out):
        raise BadInput(f"The key {key.path} would lie in the cohort {out}; name a file apart, where only you can look.")


def count_taken(
    found: FoundScans,
    numbered: Sequence[NumberedScan],
    seen: Sequence[Case | Problem],
    out: Path,
    *,
    leave_out_failing: bool,
) -> tuple[list[Case], list[Problem]]:
    """The cases that make up the cohort, each once, and everything that is wrong.

    Args:
        found: what the adapter found.
        numbered: its scans.
        seen: what became of each of them.
        out: folder of the cohort, for messages.
        leave_out_failing: see :func:`ingest_found`.

    Raises:
        BadInput: If no scan can be taken, one fails and is not to be left out, or a structure is nowhere.
    """
    problems = [*found.problems, *(one for one in seen if isinstance(one, Problem))]
    cases, doubles = _without_doubles([one for one in seen if isinstance(one, Case)], numbered)
    problems += doubles
    if problems and (not leave_out_failing or not cases):
        raise_first_problem(problems)
    _check_structures(cases, found.structures, out)
    return cases, problems


def make_report(found: FoundScans, scans: int, cases: Sequence[Case], problems: Sequence[Problem]) -> IntegrityReport:
    """Whether a source with so many ``scans`` was whole."""
    archive = found.own_archive
    return IntegrityReport(scans, len(cases), archive.scans if archive else None, tuple(problems))


def collect_notes(found: FoundScans, report: IntegrityReport, cases: Sequence[Case]) -> tuple[str, ...]:
    """What readers of a cohort's results have to know, a sentence each."""
    archive = found.own_archive
    of_archive = (archive.note,) if archive else ()
    return (*of_archive, *report.notes, *found.notes, *notes_on_cases(cases, found.structures))


@dataclass(frozen=True)
class _Writer:
    """Writes the cases that ``reader`` reads into its folder."""

    reader: ScanReader

    def write(self, one: NumberedScan) -> Case | Problem:
        """Return the case, or why there is none, whatever it was: one scan never stops the others."""
        try:
            return self._written(one)
        except Exception as error:
            return Problem("unreadable", str(one.scan.place), f"In {one.scan.place}: {failure_reason(error)}")

    def _written(self, one: NumberedScan) -> Case | Problem:
        scan, reader = one.scan, self.reader
        digests = {str(scan.place): sha256_of(*scan.files)}
        digests |= {str(path): sha256_of(path) for path in (*scan.contours, *scan.plans, *scan.channels)}
        key = _digest(
            *(_INGESTION_VERSION, scan.patient, one.fraction, scan.synthetic, digests, reader.keeps_source),
            *(reader.found.structures, reader.found.channels, reader.found.depends_on, reader.resample_channels),
            *(scan.applicator, scan.applicator_by, scan.position, scan.notes, reader.allow_overlap),
        )
        record = reader.out / _RECORDS / f"{one.id}.json"
        if record.is_file():
            standing = read_json(_Record, record, "delete it and ingest again")
            case = standing.case.below(reader.out)
            if standing.key == key and all(path.is_file() for path in case.files):
                return case
            for path in (record, *case.files):
                path.unlink(missing_ok=True)
        read = reader.read(one, digests)
        if isinstance(read, Problem):
            return read
        for image, path in zip(read.images, read.case.images, strict=True):
            write_volume(image, path)
        if read.segmentation and read.case.labels:
            write_volume(read.segmentation.labels, read.case.labels)
        if isinstance(read.segmentation, OverlappingSegmentation) and read.case.masks:
            read.segmentation.own.write(read.case.masks)
        write_json(_Record(key, read.case.relative_to(reader.out)), record)
        return read.case


def _without_doubles(cases: Sequence[Case], numbered: Sequence[NumberedScan]) -> tuple[list[Case], list[Problem]]:
    """The cases, and of those with the same voxels only the first."""
    places = {one.id: one.scan.place for one in numbered}
    first: dict[str, str] = {}
    kept, doubles = [], []
    for case in cases:
        earlier = first.setdefault(case.sha256, case.id)
        if earlier == case.id:
            kept.append(case)
        else:
            reason = (
                f"The scan in {places[case.id]} has the same voxels as that in {places[earlier]}; expected every scan "
                "once, or a patient might be learned from and tested on: take one of them out."
            )
            doubles.append(Problem("duplicate", str(places[case.id]), reason))
    return kept, doubles


_MOST_REASONS = 3  # sentences on ROIs in one message


def _check_structures(cases: Sequence[Case], structures: tuple[str, ...], out: Path) -> None:
    nowhere = [name for name in structures if all(name in case.missing for case in cases)]
    if nowhere:
        others = sorted({roi for case in cases for roi in case.unmapped})
        reasons = sorted({note for case in cases for note in case.notes if is_unusable_note(note)})
        raise BadInput(
            f"None of the {len(cases)} cases for {out} has {', '.join(nowhere)}. "
            f"{''.join(f'{reason} ' for reason in reasons[:_MOST_REASONS])}Names found that mean none of the "
            f"structures wanted: {', '.join(others) or 'none'}. Map one in an alias file, or leave the structure out."
        )


def _digest(*values: object) -> str:
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()


def _remove_others(out: Path, ids: set[str]) -> None:
    """Remove what an earlier ingestion wrote of cases that the source doesn't have any more."""
    for folder, ending in (
        (_RECORDS, r"\.json"),
        ("imagesTr", r"_\d{4}\.nii\.gz"),
        ("labelsTr", r"\.nii\.gz"),
        (MASKS, r"\.nii\.gz"),
    ):
        for path in (out / folder).glob("[!.]*"):
            if re.sub(f"{ending}$", "", path.name) not in ids:
                path.unlink()


@dataclass(frozen=True)
class _Record:
    key: str
    case: Case
