"""Record of a review, ``review.json``: who approved what, what was changed, and how long it took."""

import datetime
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Literal

from gynbtnet.review.correction import Correction
from gynbtnet.review.prediction_record import PredictionRecord
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.json_files import read_json

REVIEW_FILE = "review.json"
"""Name of the record in the folder of a review."""
SCHEMA = 1
"""Version of the format; it rises when a field changes its name or meaning."""
_FIRST_YEAR, _LAST_YEAR = 1990, 2199
"""Years in which a review can have been written; a computer with another one has no clock."""
Status = Literal[
    "accepted unchanged", "accepted edited", "edited", "not reviewed", "edited elsewhere", "unchanged", "missing"
]


@dataclass(frozen=True)
class ToolUse:
    """Use of one tool on one structure; what was undone doesn't count.

    Attributes:
        strokes: number of strokes, or of other actions such as fillings.
        planes: number of different planes that they changed.
    """

    strokes: int
    planes: int


@dataclass(frozen=True)
class StructureReview:
    """Review of one structure.

    Attributes:
        status: outcome of the review. "edited" and "not reviewed" were not accepted. For an RTSTRUCT that another
            program wrote: "edited elsewhere", "unchanged" or "missing".
        algorithm: ROIGenerationAlgorithm that was written, "AUTOMATIC" or "SEMIAUTOMATIC".
        viewed_share: share of its slices that were viewed, 0 to 1; None if unknown.
        active_seconds: time of work on it without pauses of over 30 s; None if unknown.
        correction: measures of the change; None if it is missing.
        tools: use of each tool by name; empty if the structure wasn't edited, or elsewhere.
    """

    status: Status
    algorithm: str
    viewed_share: float | None
    active_seconds: float | None
    correction: Correction | None
    tools: Mapping[str, ToolUse] = field(default_factory=dict)


@dataclass(frozen=True)
class ReviewRecord:
    """Content of ``review.json``.

    Attributes:
        schema: version of the format.
        time: when it was written, ISO 8601 with time zone.
        version: version of GynBTNet.
        synthetic: no real patient was scanned.
        model_sha256: SHA-256 of the model's weights.
        scan_sha256: SHA-256 of the scan's files.
        series_uid: SeriesInstanceUID of the scan; None for an image file.
        approved_by: name of the person who approved the contours; None if they are unapproved.
        active_seconds: time of the whole review without pauses of over 30 s; None if unknown.
        structures: review of each structure.
        files: names of the files in the same folder.
    """

    schema: int
    time: str
    version: str
    synthetic: bool
    model_sha256: str
    scan_sha256: str
    series_uid: str | None
    approved_by: str | None
    active_seconds: float | None
    structures: Mapping[str, StructureReview]
    files: tuple[str, ...] = ()

    @property
    def written(self) -> datetime.datetime:
        """Time when it was written; without a time zone, that of this computer."""
        return _zoned(self.time)


def read_review(path: Path, remedy: str) -> ReviewRecord:
    """Read a ``review.json``.

    Args:
        path: the file.
        remedy: advice for a file that can't be used, as the end of a sentence.

    Returns:
        The record, whose time can be compared with others.

    Raises:
        BadInput: If it is absent, damaged or of another version, or its time is no time of a review.
    """
    record = read_json(ReviewRecord, path, remedy)
    if record.schema != SCHEMA:
        raise BadInput(f"{path} has schema {record.schema}, expected {SCHEMA}; {remedy}.")
    try:
        possible = _FIRST_YEAR <= datetime.datetime.fromisoformat(record.time).year <= _LAST_YEAR
    except ValueError:
        possible = False
    if not possible:
        raise BadInput(f"{path} has the time {record.time}, expected one such as 2026-11-30T14:00:00+01:00; {remedy}.")
    return record


def is_newer(time: str, other: str) -> bool:
    """Return whether a time (ISO 8601) is after another; without a time zone, that of this computer is meant."""
    return _zoned(time) > _zoned(other)


def _zoned(time: str) -> datetime.datetime:
    parsed = datetime.datetime.fromisoformat(time)
    return parsed if parsed.tzinfo else parsed.astimezone()


def make_record(
    prediction: PredictionRecord,
    structures: Mapping[str, StructureReview],
    *,
    files: tuple[str, ...] = (),
    approved_by: str | None = None,
    active_seconds: float | None = None,
) -> ReviewRecord:
    """Return the record of a review that ends now."""
    return ReviewRecord(
        schema=SCHEMA,
        time=datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
        version=version("gynbtnet"),
        synthetic=prediction.synthetic,
        model_sha256=prediction.model.sha256,
        scan_sha256=prediction.input.sha256,
        series_uid=prediction.input.series_uid,
        approved_by=approved_by,
        active_seconds=active_seconds,
        structures=structures,
        files=files,
    )
