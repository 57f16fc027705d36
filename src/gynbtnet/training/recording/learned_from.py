"""Description of the reviews that a model learned from, stored with its weights."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gynbtnet.runtime.json_files import read_json, write_json
from gynbtnet.runtime.phrases import counted

LEARNED_FROM = "learned_from.json"
"""Name of the file in a run folder."""


@dataclass(frozen=True)
class LearnedReview:
    """A review that a model learned from; nothing in it leads to a patient without the files themselves.

    Attributes:
        review: digest of the review.
        scan: SHA-256 of the scan's files.
        model: SHA-256 of the weights whose contours were reviewed.
        use: "training" or "validation".
        origins: "corrected" or "untouched" by structure.
    """

    review: str
    scan: str
    model: str
    use: str
    origins: Mapping[str, str]


@dataclass(frozen=True)
class LearnedFrom:
    """Reviews that a model learned from.

    Attributes:
        round: number of the round of learning.
        start: SHA-256 of the weights that it started from.
        reviews: reviews of this round, those of earlier rounds included.
        earlier: digests of reviews that only its predecessors learned from, since newer ones have replaced them.
    """

    round: int
    start: str
    reviews: tuple[LearnedReview, ...]
    earlier: tuple[str, ...] = ()

    @property
    def sentence(self) -> str:
        """A sentence for readers of a result."""
        training = [review for review in self.reviews if review.use == "training"]
        corrected = sum(origin == "corrected" for review in training for origin in review.origins.values())
        untouched = sum(len(review.origins) for review in training) - corrected
        contours = f"{counted(corrected, 'corrected contour')}" + (
            f" and {counted(untouched, 'contour')} that were accepted unchanged" if untouched else ""
        )
        scans = counted(len(training), "reviewed scan")
        return f"In round {self.round} the model learned further from {contours} in {scans}."

    def save(self, folder: Path) -> None:
        """Write the file into a run folder, atomically."""
        write_json(self, Path(folder) / LEARNED_FROM)

    @classmethod
    def load(cls, folder: Path) -> "LearnedFrom | None":
        """Read the file of a run folder; None if the model learned from no review.

        Raises:
            BadInput: If the file is damaged.
        """
        path = Path(folder) / LEARNED_FROM
        return read_json(cls, path, "restore it from a backup") if path.is_file() else None
