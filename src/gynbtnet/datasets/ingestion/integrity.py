"""Whether a source is whole: what is missing in it, what can't be read, what is there twice."""

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from gynbtnet.imaging.overlap_losses import OverlapTooLarge
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.json_files import write_json

ProblemKind = Literal["missing", "unreadable", "mismatch", "duplicate", "ambiguous", "overlap"]
REPORT = "integrity.json"
_MOST_PLACES = 10


class LabelMismatch(BadInput):
    """Contours and scan don't belong together: another grid, or a label without a name."""


@dataclass(frozen=True)
class Problem:
    """Why a scan is not in the cohort.

    Attributes:
        kind: "missing" where a file should be and isn't, "unreadable", "mismatch" where labels or a further channel
            don't fit their scan, "duplicate" where the same voxels came before, "ambiguous" if several structure sets
            are drawn on one scan, "overlap" if a structure would lose too much of its volume to others.
        place: the file or folder; empty where the patients' key is kept apart.
        reason: a sentence; empty likewise.
    """

    kind: ProblemKind
    place: str
    reason: str

    @classmethod
    def of(cls, error: BadInput, place: Path) -> "Problem":
        """What became of a scan that could not be read."""
        kind: ProblemKind = "mismatch" if isinstance(error, LabelMismatch) else "unreadable"
        if isinstance(error, OverlapTooLarge):
            kind = "overlap"
        return cls(kind, str(place), str(error))


@dataclass(frozen=True)
class IntegrityReport:
    """What a source held.

    Attributes:
        found: scans found.
        taken: of these, the scans that are in the cohort, or would be.
        expected: how many the paper took from this archive; None where it took none.
        problems: what is wrong, one for each scan or file.
    """

    found: int
    taken: int
    expected: int | None
    problems: tuple[Problem, ...]

    @property
    def counts(self) -> str:
        """The problems in numbers, such as "2 unreadable, 1 duplicate"."""
        return ", ".join(
            f"{count} {kind}" for kind, count in sorted(Counter(one.kind for one in self.problems).items())
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of results has to know of it, in numbers and without a place.

        A number of scans other than the paper's is no fault of a source: it may be a part, or a later release.
        """
        notes = []
        if self.problems and self.found > self.taken:
            notes.append(f"Of {self.found} scans in the source {self.taken} were taken: {self.counts}.")
        elif self.problems:
            notes.append(f"{self.taken} scans were taken; the source holds more that can't be: {self.counts}.")
        if self.expected is not None and self.expected != self.taken:
            notes.append(f"The paper took {self.expected} scans from this archive; here are {self.taken}.")
        return tuple(notes)

    def save(self, path: Path, *, nameless: bool) -> None:
        """Write as JSON, whole or not at all; ``nameless`` leaves out places and reasons, which lead to the source."""
        problems = tuple(Problem(one.kind, "", "") for one in self.problems) if nameless else self.problems
        write_json(IntegrityReport(self.found, self.taken, self.expected, problems), path)


def raise_first_problem(problems: Sequence[Problem]) -> None:
    """Raise BadInput with the first problem, and where the others are."""
    if len(problems) == 1:
        raise BadInput(problems[0].reason)
    if problems:
        others = sorted({one.place for one in problems[1:]})
        listed = ", ".join(others[:_MOST_PLACES]) + (", …" if len(others) > _MOST_PLACES else "")
        raise BadInput(
            f"{len(problems)} scans can't be taken, the first for this: {problems[0].reason} Others: {listed}."
        )


def total_bytes(files: Iterable[Path]) -> tuple[int, int]:
    """Number and bytes of files: scans that differ in these are no copies of one another."""
    sizes = [os.stat(path).st_size for path in files]  # noqa: PTH116 - of many slices, quicker than a Path's
    return len(sizes), sum(sizes)
