"""Reviews in a folder, each with what its prediction recorded."""

import datetime
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gynbtnet.inference.manifest import MANIFEST
from gynbtnet.inference.prediction_files import REVIEWS_FOLDER
from gynbtnet.monitoring.reviewed_patient import reviewed_patient
from gynbtnet.review.finished_reviews import finished_reviews
from gynbtnet.review.prediction_record import PredictionRecord, read_prediction_record
from gynbtnet.review.record import REVIEW_FILE, ReviewRecord, read_review
from gynbtnet.runtime.errors import BadInput


@dataclass(frozen=True)
class ReviewedPrediction:
    """Last review of one prediction.

    Attributes:
        time: when it was written.
        review: record of the review.
        prediction: record of the prediction; None if it is not in the folder or is of another scan or model.
        patient: the patient, only to be compared with others: it can be the PatientID. None if unknown.
    """

    time: datetime.datetime
    review: ReviewRecord
    prediction: PredictionRecord | None
    patient: str | None = field(repr=False)


@dataclass(frozen=True)
class FoundReviews:
    """Reviews of a folder.

    Attributes:
        reviews: the last review of each prediction, sorted by time.
        replaced: number of earlier reviews of the same predictions, which don't count.
        problems: one sentence for each file that can't be used.
    """

    reviews: tuple[ReviewedPrediction, ...]
    replaced: int
    problems: tuple[str, ...]

    @property
    def in_future(self) -> int:
        """Number of reviews whose time is more than a day after the present."""
        latest = datetime.datetime.now().astimezone() + datetime.timedelta(days=1)
        return sum(one.time > latest for one in self.reviews)


def find_reviews(folder: Path) -> FoundReviews:
    """Find the reviews in a folder of predictions, such as the results of a node.

    A ``review.json`` belongs to the ``prediction.json`` next to it, or to that of the folder whose review it is
    (``PREDICTION/review/001``).

    Args:
        folder: folder of predictions, at any depth.

    Returns:
        The reviews. A damaged file is reported and does not stop the others.

    Raises:
        BadInput: If there is no such folder, or no review in it that can be used.
    """
    if not folder.is_dir():
        raise BadInput(f"There is no folder {folder}; expected one with predictions and their reviews.")
    paths = finished_reviews(folder)
    if not paths:
        raise BadInput(
            f"{folder} contains no {REVIEW_FILE}; expected predictions that were reviewed with `gynbtnet review`."
        )
    last: dict[tuple[str, str], ReviewedPrediction] = {}
    problems, read = [], 0
    for path in paths:
        try:
            one = _read(path)
        except BadInput as error:
            problems.append(str(error))
            continue
        read += 1
        key = (one.review.scan_sha256, one.review.model_sha256)
        if key not in last or one.time >= last[key].time:
            last[key] = one
    if not last:
        raise BadInput(f"No {REVIEW_FILE} of {len(paths)} in {folder} can be used, the first because: {problems[0]}")
    reviews = sorted(last.values(), key=lambda one: (one.time, one.review.scan_sha256))
    return FoundReviews(tuple(reviews), read - len(last), tuple(problems))


def _read(path: Path) -> ReviewedPrediction:
    review = read_review(path, "review the prediction again, or remove the file")
    folders: Sequence[Path] = [path.parent]
    if path.parent.parent.name == REVIEWS_FOLDER:
        folders = [path.parent, path.parent.parent.parent]
    home = next((folder for folder in folders if (folder / MANIFEST).is_file()), None)
    prediction = read_prediction_record(home) if home else None
    if prediction and (prediction.input.sha256, prediction.model.sha256) != (review.scan_sha256, review.model_sha256):
        prediction = None  # it was replaced after the review
    return ReviewedPrediction(review.written, review, prediction, reviewed_patient(folders, review))
