"""What an ingestion would do, without writing anything: headers are read, voxels are not."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from gynbtnet.datasets.found_scans import FoundScan, FoundScans
from gynbtnet.datasets.ingestion import NumberedScan, number_scans
from gynbtnet.datasets.integrity import IntegrityReport, Problem, size_of
from gynbtnet.datasets.json_files import sha256_of
from gynbtnet.datasets.patient_key import PatientKey
from gynbtnet.errors import BadInput
from gynbtnet.imaging.volume_files import is_image_file, read_header
from gynbtnet.progress import track


@dataclass(frozen=True)
class DryRun:
    """The scans that would become cases, and what is seen to be wrong already."""

    scans: tuple[NumberedScan, ...]
    report: IntegrityReport


def dry_run(found: FoundScans, key: PatientKey, *, resample_channels: bool = False) -> DryRun:
    """Number the scans found, and look at their headers.

    It sees what is missing, headers that can't be read, labels and channels on another grid than their scan that aren't
    to be resampled, and files that are copies of one another. What only the voxels tell the ingestion itself will tell.
    """
    numbered = number_scans(found.scans, key)
    problems: dict[str, Problem] = {}
    for one in track(numbered, "Looking"):
        labels = () if found.resamples_labels else one.scan.contours
        seen = _header_problem(one.scan, [*labels, *(() if resample_channels else one.scan.channels)])
        if seen:
            problems[one.id] = seen
    problems |= _copies([one for one in numbered if one.id not in problems])
    taken = tuple(one for one in numbered if one.id not in problems)
    archive = found.own_archive
    everything = (*found.problems, *problems.values())
    return DryRun(taken, IntegrityReport(len(numbered), len(taken), archive.scans if archive else None, everything))


def _header_problem(scan: FoundScan, on_its_grid: Sequence[Path]) -> Problem | None:
    if scan.series_uid is not None:
        return None  # of a DICOM series every header was read to find it
    grids = []
    for path in (scan.files[0], *(path for path in on_its_grid if is_image_file(path))):
        try:
            grids.append((path, read_header(path).geometry))
        except BadInput as error:
            return Problem.of(error, path)
        except Exception:  # whatever a library raises on one header, the others are looked at
            return Problem("unreadable", str(path), f"{path} has no header that can be read; is it cut short?")
    (_, first), *others = grids
    for path, grid in others:
        if not first.is_same(grid):
            reason = f"{path} lies on another grid than its scan, {first.difference(grid)}."
            return Problem("mismatch", str(path), reason)
    return None


def _copies(numbered: Sequence[NumberedScan]) -> dict[str, Problem]:
    """By id those that are copies of an earlier one; only files of equal size are read."""
    by_size: dict[tuple[int, int], list[NumberedScan]] = {}
    for one in numbered:
        by_size.setdefault(size_of(one.scan.files), []).append(one)
    return dict(copy for alike in by_size.values() if len(alike) > 1 for copy in _copies_of(alike))


def _copies_of(alike: Sequence[NumberedScan]) -> Iterator[tuple[str, Problem]]:
    first: dict[str, NumberedScan] = {}
    for one in alike:
        earlier = first.setdefault(sha256_of(*one.scan.files), one)
        if earlier is not one:
            places = one.scan.place, earlier.scan.place
            yield one.id, Problem("duplicate", str(places[0]), f"{places[0]} is a copy of {places[1]}.")
