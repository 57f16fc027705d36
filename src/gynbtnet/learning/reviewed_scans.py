"""Reviews in a folder: the last one of each scan, with its digest and the origin of each accepted contour."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from gynbtnet.datasets.ingestion.found_scans import FoundScan
from gynbtnet.inference.manifest import MANIFEST
from gynbtnet.inference.prediction_files import LABELS_FILE, MASKS_FOLDER, REVIEWS_FOLDER
from gynbtnet.learning.scan_finder import ScanFinder
from gynbtnet.review.finished_reviews import finished_reviews
from gynbtnet.review.prediction_record import PredictionRecord, read_prediction_record
from gynbtnet.review.record import REVIEW_FILE, ReviewRecord, Status, is_newer, read_review
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.json_files import sha256_of
from gynbtnet.runtime.progress import track

Origin = Literal["corrected", "untouched"]
"""Origin of an accepted contour: corrected from a model's, or a model's that nobody has changed."""
_ORIGINS: Mapping[Status, Origin] = {"accepted edited": "corrected", "accepted unchanged": "untouched"}


_ELSEWHERE = (
    "It was edited in another program, and review.json has only measures of it; correct the prediction with "
    "`gynbtnet review` to learn from it."
)


@dataclass(frozen=True)
class ReviewedScan:
    """The last review of a scan.

    Attributes:
        name: path of the review below the folder of the reviews.
        folder: folder of the review.
        digest: SHA-256 of contours, decisions, scan and model; a review that is written again unchanged keeps it.
        record: content of ``review.json``.
        prediction: record of the reviewed prediction.
        scan: the scan, with its patient.
        origins: origin of each accepted structure; the others may not serve as reference.
    """

    name: str
    folder: Path
    digest: str
    record: ReviewRecord
    prediction: PredictionRecord
    scan: FoundScan
    origins: Mapping[str, Origin]

    @property
    def prediction_folder(self) -> Path:
        """Folder of the reviewed prediction."""
        return self.folder.parent.parent

    @property
    def contour_files(self) -> tuple[Path, ...]:
        """Files of the contours: a label map, or one mask for each structure."""
        return _contour_files(self.folder)


@dataclass(frozen=True)
class LeftOutReview:
    """A review that can't be used.

    Attributes:
        name: its path below the folder of the reviews.
        reason: one sentence.
    """

    name: str
    reason: str


def find_reviewed_scans(source: Path, finder: ScanFinder) -> tuple[tuple[ReviewedScan, ...], tuple[LeftOutReview, ...]]:
    """Return the last review of each scan below a folder.

    Args:
        source: folder of predictions that ``gynbtnet review`` has written reviews for, at any depth.
        finder: finder of their scans.

    Returns:
        The reviews, and those that can't be used; one of them never stops the others.
    """
    by_scan: dict[str, ReviewedScan] = {}
    left_out = [LeftOutReview(name, _ELSEWHERE) for name in _edited_elsewhere(source)]
    for folder in track(_last_reviews(source), "Reading the reviews"):
        name = folder.relative_to(source).as_posix()
        try:
            reviewed = _read(name, folder, finder)
        except BadInput as error:
            left_out.append(LeftOutReview(name, str(error)))
            continue
        earlier = by_scan.get(reviewed.record.scan_sha256)
        if earlier is None or is_newer(reviewed.record.time, earlier.record.time):
            by_scan[reviewed.record.scan_sha256] = reviewed
        if earlier is not None:
            used = by_scan[reviewed.record.scan_sha256]
            other = earlier if used is reviewed else reviewed
            reason = f"A later review of the same scan is used, {used.name}."
            if not is_newer(used.record.time, other.record.time):
                reason = f"Another review of the same scan and time is used, {used.name}."
            left_out.append(LeftOutReview(other.name, reason))
    return tuple(by_scan.values()), tuple(left_out)


def _edited_elsewhere(source: Path) -> list[str]:
    """Return the names of the predictions with a record of edits in another program, and without a review."""
    folders = [path.parent for path in finished_reviews(source) if (path.parent / MANIFEST).is_file()]
    only = [folder for folder in folders if not finished_reviews(folder / REVIEWS_FOLDER)]
    return [folder.name if folder == source else folder.relative_to(source).as_posix() for folder in only]


def _last_reviews(source: Path) -> list[Path]:
    """Return the folder of the last review of each prediction, sorted."""
    last: dict[Path, Path] = {}
    for path in finished_reviews(source):
        folder = path.parent
        if folder.parent.name == REVIEWS_FOLDER and folder.name.isdecimal():
            earlier = last.get(folder.parent)
            last[folder.parent] = max(earlier or folder, folder, key=lambda review: int(review.name))
    return sorted(last.values())


def _read(name: str, folder: Path, finder: ScanFinder) -> ReviewedScan:
    """Read one review.

    Raises:
        BadInput: If it is damaged or of another version, or its prediction or scan is missing.
    """
    record = read_review(folder / REVIEW_FILE, "write the review again")
    prediction = read_prediction_record(folder.parent.parent)
    if prediction.input.sha256 != record.scan_sha256:
        raise BadInput(f"{folder} is the review of another scan than the prediction next to it; keep them together.")
    if not _contour_files(folder):
        raise BadInput(f"{folder} has no contours; expected {LABELS_FILE} or {MASKS_FOLDER}: write the review again.")
    origins = {name: _ORIGINS[review.status] for name, review in record.structures.items() if review.status in _ORIGINS}
    scan = finder.find(folder.parent.parent, prediction)
    return ReviewedScan(name, folder, _digest(folder, record), record, prediction, scan, origins)


def _contour_files(folder: Path) -> tuple[Path, ...]:
    labels = folder / LABELS_FILE
    return (labels,) if labels.is_file() else tuple(sorted((folder / MASKS_FOLDER).glob("[!.]*")))


def _digest(folder: Path, record: ReviewRecord) -> str:
    content = {
        "scan": record.scan_sha256,
        "model": record.model_sha256,
        "structures": {name: review.status for name, review in record.structures.items()},
        "contours": {path.name: sha256_of(path) for path in _contour_files(folder)},
    }
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()
