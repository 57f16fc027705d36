"""Review of predictions: contours corrected in the browser, written as new files, and what the correction was.

The names below are the public ones. Each is imported when it is first used.
"""

from typing import TYPE_CHECKING

from gynbtnet.runtime.public_names import lazy_names

if TYPE_CHECKING:
    from gynbtnet.review.case import ReviewCase, open_case
    from gynbtnet.review.correction import Correction, measure_correction
    from gynbtnet.review.edited_contours import measure_edited
    from gynbtnet.review.open_reviews import OpenReviews, ReviewOptions
    from gynbtnet.review.opened_case import open_session
    from gynbtnet.review.patches import patches_between
    from gynbtnet.review.record import REVIEW_FILE, ReviewRecord, StructureReview
    from gynbtnet.review.reviewed_files import write_review
    from gynbtnet.review.web.server import ReviewServer
    from gynbtnet.review.worklist import WorklistItem, find_predictions

__all__ = [
    "REVIEW_FILE",
    "Correction",
    "OpenReviews",
    "ReviewCase",
    "ReviewOptions",
    "ReviewRecord",
    "ReviewServer",
    "StructureReview",
    "WorklistItem",
    "find_predictions",
    "measure_correction",
    "measure_edited",
    "open_case",
    "open_session",
    "patches_between",
    "write_review",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "case": ["ReviewCase", "open_case"],
        "correction": ["Correction", "measure_correction"],
        "edited_contours": ["measure_edited"],
        "open_reviews": ["OpenReviews", "ReviewOptions"],
        "opened_case": ["open_session"],
        "patches": ["patches_between"],
        "record": ["REVIEW_FILE", "ReviewRecord", "StructureReview"],
        "reviewed_files": ["write_review"],
        "web.server": ["ReviewServer"],
        "worklist": ["WorklistItem", "find_predictions"],
    },
)
