"""Integrity of a source: missing, unreadable, mismatched and duplicate scans."""

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from gynbtnet.imaging.geometry import Geometry
from gynbtnet.imaging.overlap_losses import OverlapTooLarge
from gynbtnet.imaging.resample_to_grid import outside_notes
from gynbtnet.imaging.volume import Volume
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.json_files import write_json
from gynbtnet.runtime.phrases import counted

ProblemKind = Literal["missing", "unreadable", "mismatch", "duplicate", "ambiguous", "overlap"]
REPORT = "integrity.json"
_MAX_LISTED_PATHS = 10


class LabelMismatch(BadInput):
    """Contours that don't fit their scan: they are on another grid, or have a label without a name."""


def lost_by_resampling(masks: Iterable[tuple[str, Volume]], scan: Geometry, path: Path) -> tuple[str, ...]:
    """Return the notes of :func:`gynbtnet.imaging.resample_to_grid.outside_notes`.

    Raises:
        LabelMismatch: If all structures are outside of the scan.
    """
    try:
        return outside_notes(masks, scan, path)
    except BadInput as error:
        raise LabelMismatch(str(error)) from error


@dataclass(frozen=True)
class Problem:
    """Reason why a scan is not in the cohort.

    Attributes:
        kind: "missing" if a file doesn't exist. "unreadable" if it can't be read. "mismatch" if labels or a further
            channel don't fit their scan. "duplicate" if an earlier scan has the same voxels. "ambiguous" if several
            structure sets are on one scan. "overlap" if a structure would lose too much of its volume to others.
        path: file or folder; empty if the patients' key is stored separately.
        reason: one sentence; empty if the patients' key is stored separately.
    """

    kind: ProblemKind
    path: str
    reason: str

    def __post_init__(self) -> None:
        for name in ("path", "reason"):  # a path that is not UTF-8 can't be written to a file
            text = "".join(character if character.isprintable() else "?" for character in getattr(self, name))
            object.__setattr__(self, name, text)

    @classmethod
    def from_error(cls, error: BadInput, path: Path) -> "Problem":
        """Return the problem of a scan that could not be read."""
        kind: ProblemKind = "mismatch" if isinstance(error, LabelMismatch) else "unreadable"
        if isinstance(error, OverlapTooLarge):
            kind = "overlap"
        return cls(kind, str(path), str(error))


@dataclass(frozen=True)
class IntegrityReport:
    """Numbers of scans in a source and in the cohort, and the problems.

    Attributes:
        found: number of scans in the source.
        taken: number of these scans that are in the cohort, or would be.
        expected: number that the paper took from this archive; None if it took none.
        problems: problems, one per scan or file.
    """

    found: int
    taken: int
    expected: int | None
    problems: tuple[Problem, ...]

    @property
    def counts(self) -> str:
        """Number of problems per kind, such as "2 unreadable, 1 duplicate"."""
        kinds = Counter(problem.kind for problem in self.problems)
        return ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes for readers of results: numbers without paths.

        A number of scans other than the paper's is not a fault: a source may be a part, or a later release.
        """
        notes = []
        if self.problems and self.found > self.taken:
            notes.append(f"Took {self.taken} of {counted(self.found, 'scan')} in the source; not taken: {self.counts}.")
        elif self.problems:
            notes.append(f"Took {counted(self.taken, 'scan')}; the source has more that can't be taken: {self.counts}.")
        if self.expected is not None and self.expected != self.taken:
            expected = counted(self.expected, "scan")
            notes.append(f"The paper took {expected} from this archive; this cohort has {self.taken}.")
        return tuple(notes)

    def save(self, path: Path, *, nameless: bool) -> None:
        """Write as JSON, atomically; ``nameless`` omits paths and reasons, which lead to the source."""
        problems = tuple(Problem(problem.kind, "", "") for problem in self.problems) if nameless else self.problems
        write_json(IntegrityReport(self.found, self.taken, self.expected, problems), path)


def raise_first_problem(problems: Sequence[Problem]) -> None:
    """Raise BadInput with the first problem and the paths of the others."""
    if len(problems) == 1:
        raise BadInput(problems[0].reason)
    if problems:
        others = sorted({problem.path for problem in problems[1:]})
        listed = ", ".join(others[:_MAX_LISTED_PATHS]) + (", …" if len(others) > _MAX_LISTED_PATHS else "")
        raise BadInput(
            f"{len(problems)} scans can't be taken. The first problem: {problems[0].reason} Others: {listed}."
        )


def total_bytes(files: Iterable[Path]) -> tuple[int, int]:
    """Return number and total size of files in bytes; scans that differ in these are not copies of one another."""
    sizes = [os.stat(path).st_size for path in files]  # noqa: PTH116 - of many slices, quicker than a Path's
    return len(sizes), sum(sizes)
