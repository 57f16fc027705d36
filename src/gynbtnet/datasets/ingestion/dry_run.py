"""What an ingestion would do, without writing anything.

A DICOM scan is read as the ingestion reads it, with its structure set: what is wrong with it is known. Of image files
only headers are read, since archives hold thousands. So what a dry run cannot know is in the voxels of image files:
labels without a name, masks that overlap, labels or scans that are damaged behind a whole header, a label map in a
scan's place, values that are not finite, and scans with the same voxels in different files. Nor can it know whether the
disk has room for the cohort, or whether the source changes before the ingestion.
"""

import gzip
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path

from gynbtnet.datasets.case import Case, Source
from gynbtnet.datasets.ingestion.found_scans import FoundScan, FoundScans, NamedStructures
from gynbtnet.datasets.ingestion.ingest import check_destination, collect_notes, count_taken, make_report
from gynbtnet.datasets.ingestion.integrity import (
    IntegrityReport,
    LabelMismatch,
    Problem,
    raise_first_problem,
    total_bytes,
)
from gynbtnet.datasets.ingestion.scan_numbering import NumberedScan, number_scans
from gynbtnet.datasets.ingestion.scan_reader import ScanReader
from gynbtnet.datasets.patient_key import KEY, PatientKey
from gynbtnet.imaging.files.image_header import ImageHeader
from gynbtnet.imaging.files.volume_files import is_image_file, read_header
from gynbtnet.imaging.geometry import Geometry
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.json_files import sha256_of
from gynbtnet.runtime.parallel import failure_reason, map_scans


@dataclass(frozen=True)
class DryRun:
    """What an ingestion would make.

    Attributes:
        scans: those that would become cases.
        report: what is wrong with the source.
        notes: what the cohort's readers would have to know, as far as that is known.
    """

    scans: tuple[NumberedScan, ...]
    report: IntegrityReport
    notes: tuple[str, ...] = ()


def dry_run(
    found: FoundScans,
    out: Path,
    *,
    key: PatientKey | None = None,
    jobs: int = 1,
    resample_channels: bool = False,
    allow_overlap: bool = False,
) -> DryRun:
    """Look at the scans found as :func:`~gynbtnet.datasets.ingestion.ingest.ingest_found` would, without failing ones.

    Its arguments are as there; nothing is written.

    Raises:
        BadInput: As the ingestion would.
    """
    if not found.scans:
        raise_first_problem(found.problems)
    check_destination(out, key)
    key = key or PatientKey.load(Path(out).absolute() / KEY)
    numbered = number_scans(found.scans, key)
    reader = ScanReader.of(found, out, key, resample_channels=resample_channels, allow_overlap=allow_overlap)
    seen = map_scans(_Looker(reader).look, numbered, name=attrgetter("id"), title="Looking", jobs=jobs)
    copies = _copies([one for one, what in zip(numbered, seen, strict=True) if isinstance(what, Case)])
    seen = [copies.get(one.id, what) for one, what in zip(numbered, seen, strict=True)]
    cases, problems = count_taken(found, numbered, seen, Path(out).absolute(), leave_out_failing=True)
    report = make_report(found, len(numbered), cases, problems)
    ids = {case.id for case in cases}
    return DryRun(tuple(one for one in numbered if one.id in ids), report, collect_notes(found, report, cases))


@dataclass(frozen=True)
class _Looker:
    """Says of a scan what its case would be."""

    reader: ScanReader

    def look(self, one: NumberedScan) -> Case | Problem:
        """The case as far as it is known, or why there would be none."""
        if one.scan.series_uid is not None:
            read = self.reader.read(one, {})
            return read if isinstance(read, Problem) else read.case
        found, scan = self.reader.found, one.scan
        try:
            grid = _check_headers(scan, found, resample_channels=self.reader.resample_channels)
        except BadInput as error:
            return Problem.of(error, scan.place)
        except Exception as error:  # whatever is wrong with one scan, the others are looked at
            return Problem("unreadable", str(scan.place), f"In {scan.place}: {failure_reason(error)}")
        named = found.named(scan) if found.named else NamedStructures()
        images = tuple(Path(f"{one.id}_{i:04d}") for i in range(len(found.channels)))
        return Case(
            *(scan.patient, one.fraction, one.id, images, None),
            source=Source(rtstruct=scan.rtstruct, synthetic=scan.synthetic),
            geometry=grid,
            missing=named.missing,
            unmapped=named.unmapped,
            notes=scan.notes,
            applicator=scan.applicator,
            position=scan.position,
            sha256=one.id,  # voxels are not read: no two are known to be the same
        )


def _check_headers(scan: FoundScan, found: FoundScans, *, resample_channels: bool) -> Geometry:
    """The grid of a scan in image files.

    Raises:
        LabelMismatch: If labels or a channel lie on another grid.
        BadInput: If a header can't be read.
    """
    labels = [path for path in scan.contours if is_image_file(path)]
    grid = _grid(scan.files[0], len(found.channels) - len(scan.channels))
    for path in (*labels, *scan.channels):
        other = _grid(path, 1)
        resampled = found.resamples_labels if path in labels else resample_channels
        if not resampled and not grid.is_same(other):
            raise LabelMismatch(f"{path} lies on another grid than its scan, {grid.difference(other)}.")
    return grid


def _grid(path: Path, channels: int) -> Geometry:
    """The grid of an image file that should hold so many channels.

    Raises:
        LabelMismatch: If it holds another number of channels.
        BadInput: If its header can't be read, or shows no such image.
    """
    header = read_header(path)
    if channels > 1 and header.channels != channels:
        raise LabelMismatch(f"{path} has {header.channels} channels; expected the {channels} that its dataset names.")
    if header.channels != max(channels, 1):
        raise BadInput(f"{path} has {header.channels} volumes along a fourth dimension; expected one.")
    if _is_cut_short(header):
        raise BadInput(f"{path} holds fewer voxels than its header says; is it cut short?")
    return header.geometry


def _is_cut_short(header: ImageHeader) -> bool:
    """Whether a compressed file ends before its voxels do, by its length; it is read only if that is odd."""
    if header.data.encoding != "gzip file":  # of others the header shows it
        return False
    expected = header.data.offset + header.data.skipped + header.size
    with header.path.open("rb") as stream:
        stream.seek(-4, 2)
        if int.from_bytes(stream.read(), "little") == expected % 2**32:  # the length that gzip notes at the end
            return False
    held = 0
    try:
        with gzip.open(header.path) as voxels:
            while held <= expected and (block := voxels.read(2**20)):
                held += len(block)
    except (OSError, EOFError, zlib.error):
        return True
    return held < expected


def _copies(numbered: Sequence[NumberedScan]) -> dict[str, Problem]:
    """By id those that are copies of an earlier one; only files of equal size are read."""
    by_size: dict[tuple[int, int], list[NumberedScan]] = {}
    for one in numbered:
        if one.scan.series_uid is None:
            by_size.setdefault(total_bytes(one.scan.files), []).append(one)
    return dict(copy for alike in by_size.values() if len(alike) > 1 for copy in _copies_of(alike))


def _copies_of(alike: Sequence[NumberedScan]) -> Iterator[tuple[str, Problem]]:
    first: dict[str, NumberedScan] = {}
    for one in alike:
        earlier = first.setdefault(sha256_of(*one.scan.files), one)
        if earlier is not one:
            places = one.scan.place, earlier.scan.place
            yield one.id, Problem("duplicate", str(places[0]), f"{places[0]} is a copy of {places[1]}.")
