"""Dry run of an ingestion, without writing anything.

A DICOM scan is read with its structure set, as in the ingestion, so all its problems are detected. Only the headers of
image files are read, since archives contain thousands. So a dry run can't detect what depends on the voxels of image
files:

- labels without a name, masks that overlap, a label map instead of a scan, values that are not finite;
- labels or scans that are damaged after an intact header;
- scans with the same voxels in different files.

It can't know either if the disk has room for the cohort, or if the source changes before the ingestion.
"""

import gzip
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path

from gynbtnet.datasets.case import Case, Source
from gynbtnet.datasets.ingestion.found_scans import FoundScan, FoundScans, NamedStructures
from gynbtnet.datasets.ingestion.ingest_found import (
    check_destination,
    check_only_own_images,
    collect_notes,
    make_report,
    select_cases,
)
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
from gynbtnet.runtime.phrases import counted


@dataclass(frozen=True)
class DryRun:
    """Expected result of an ingestion.

    Attributes:
        scans: scans that would become cases.
        report: problems of the source.
        notes: notes of the cohort for readers of results, as far as they are known.
    """

    scans: tuple[NumberedScan, ...]
    report: IntegrityReport
    notes: tuple[str, ...] = ()


def dry_run_found(
    found_scans: FoundScans,
    out: Path,
    *,
    key: PatientKey | None = None,
    jobs: int = 1,
    resample_channels: bool = False,
    allow_overlap: bool = False,
    priority: Sequence[str] = (),
) -> DryRun:
    """Check the scans that an adapter found as :func:`~gynbtnet.datasets.ingestion.ingest_found.ingest_found` would.

    The arguments are the same. Failing scans are left out, and nothing is written.

    Raises:
        BadInput: As the ingestion would.
    """
    if not found_scans.scans:
        raise_first_problem(found_scans.problems)
    check_destination(out, key)
    numbered, key = number_scans(found_scans.scans, key or PatientKey.load(Path(out).absolute() / KEY))
    check_only_own_images(out, {scan.id for scan in numbered})
    reader = ScanReader.create(
        found_scans,
        out,
        key,
        resample_channels=resample_channels,
        allow_overlap=allow_overlap,
        priority=priority,
    )
    checker = _ScanChecker(reader)
    results = map_scans(checker.check, numbered, name=attrgetter("id"), title="Checking", jobs=jobs)
    copies = _find_copies([scan for scan, result in zip(numbered, results, strict=True) if isinstance(result, Case)])
    results = [copies.get(scan.id, result) for scan, result in zip(numbered, results, strict=True)]
    cases, problems = select_cases(found_scans, numbered, results, Path(out).absolute(), leave_out_failing=True)
    report = make_report(found_scans, len(numbered), cases, problems)
    ids = {case.id for case in cases}
    return DryRun(tuple(scan for scan in numbered if scan.id in ids), report, collect_notes(found_scans, report, cases))


@dataclass(frozen=True)
class _ScanChecker:
    """Check of single scans, without writing."""

    reader: ScanReader

    def check(self, numbered: NumberedScan) -> Case | Problem:
        """Return the case as far as it is known, or the reason why there would be none."""
        if numbered.scan.series_uid is not None:
            result = self.reader.read(numbered, {})
            return result if isinstance(result, Problem) else result.case
        found_scans, scan = self.reader.found_scans, numbered.scan
        try:
            geometry = _check_headers(scan, found_scans, resample_channels=self.reader.resample_channels)
        except BadInput as error:
            return Problem.from_error(error, scan.path)
        except Exception as error:  # a problem with one scan must not stop the check of the others
            return Problem("unreadable", str(scan.path), f"In {scan.path}: {failure_reason(error)}")
        named = found_scans.named_structures(scan) if found_scans.named_structures else NamedStructures()
        images = tuple(Path(f"{numbered.id}_{i:04d}") for i in range(len(found_scans.channels)))
        return Case(
            *(scan.patient, numbered.fraction, numbered.id, images, None),
            source=Source(rtstruct=scan.rtstruct, synthetic=scan.synthetic),
            geometry=geometry,
            missing=named.missing,
            unmapped=named.unmapped,
            notes=(*scan.notes, *numbered.notes),
            applicator=scan.applicator,
            position=scan.position,
            sha256=numbered.id,  # voxels are not read, so no two cases count as equal
        )


def _check_headers(scan: FoundScan, found_scans: FoundScans, *, resample_channels: bool) -> Geometry:
    """Return the grid of a scan in image files.

    Raises:
        LabelMismatch: If labels or a channel are on another grid.
        BadInput: If a header can't be read.
    """
    labels = [path for path in scan.contours if is_image_file(path)]
    geometry = _read_geometry(scan.files[0], len(found_scans.channels) - len(scan.channels))
    for path in (*labels, *scan.channels):
        other = _read_geometry(path, 1)
        is_resampled = found_scans.resamples_labels if path in labels else resample_channels
        if not is_resampled and not geometry.is_same(other):
            raise LabelMismatch(f"{path} is on another grid than its scan, {geometry.difference(other)}.")
    return geometry


def _read_geometry(path: Path, channels: int) -> Geometry:
    """Return the grid of an image file with this number of channels.

    Raises:
        LabelMismatch: If it has another number of channels.
        BadInput: If its header can't be read, or doesn't describe such an image.
    """
    header = read_header(path)
    if channels > 1 and header.channels != channels:
        raise LabelMismatch(
            f"{path} has {counted(header.channels, 'channel')}; expected the {channels} that its dataset names."
        )
    if header.channels != max(channels, 1):
        raise BadInput(f"{path} has {header.channels} volumes along a fourth dimension; expected one.")
    if _is_truncated(header):
        raise BadInput(f"{path} has fewer voxels than its header states; is it cut short?")
    return header.geometry


def _is_truncated(header: ImageHeader) -> bool:
    """Return True if a compressed file ends before its voxels do; it is only decompressed if its length is odd."""
    if header.data.encoding != "gzip file":  # the header of other files shows it
        return False
    expected = header.data.offset + header.data.skipped + header.size
    with header.path.open("rb") as stream:
        stream.seek(-4, 2)
        if int.from_bytes(stream.read(), "little") == expected % 2**32:  # length at the end of a gzip file
            return False
    size = 0
    try:
        with gzip.open(header.path) as voxels:
            while size <= expected and (block := voxels.read(2**20)):
                size += len(block)
    except (OSError, EOFError, zlib.error):
        return True
    return size < expected


def _find_copies(numbered: Sequence[NumberedScan]) -> dict[str, Problem]:
    """Return a problem for each scan that is a copy of an earlier one, by id; only files of equal size are read."""
    by_size: dict[tuple[int, int], list[NumberedScan]] = {}
    for scan in numbered:
        if scan.scan.series_uid is None:
            by_size.setdefault(total_bytes(scan.scan.files), []).append(scan)
    return dict(copy for group in by_size.values() if len(group) > 1 for copy in _copies_in(group))


def _copies_in(group: Sequence[NumberedScan]) -> Iterator[tuple[str, Problem]]:
    first: dict[str, NumberedScan] = {}
    for scan in group:
        earlier = first.setdefault(sha256_of(*scan.scan.files), scan)
        if earlier is not scan:
            path, earlier_path = scan.scan.path, earlier.scan.path
            yield scan.id, Problem("duplicate", str(path), f"{path} is a copy of {earlier_path}.")
