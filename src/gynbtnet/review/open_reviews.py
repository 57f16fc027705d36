"""Reviews that are open in the server: read when first asked for, the longest unused ones closed again."""

import threading
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

from gynbtnet.evaluation.dose.dvh import DoseVolumeHistogram
from gynbtnet.review.case import ReviewCase, open_case
from gynbtnet.review.lease import Lease
from gynbtnet.review.opened_case import open_session
from gynbtnet.review.reference import References
from gynbtnet.review.session import ReviewSession
from gynbtnet.review.worklist import WorklistItem, list_predictions

MOST_OPEN = 3
"""Number of cases in memory at once, unless more are edited at once."""
_DELETED = "Its files were deleted."


@dataclass(frozen=True)
class ReviewOptions:
    """Options of ``gynbtnet review``.

    Attributes:
        scan: image file, or folder that is searched for the scans; None: their paths when they were predicted.
        references: reference contours of evaluated cases.
        dose: dose of the case, or folder that is searched.
        seg: also write a DICOM SEG.
        reviewer: name of the person who approves what is written; None leaves it unapproved.
        report: report page whose cases are reviewed; None: no report.
    """

    scan: Path | None = None
    references: References | None = None
    dose: Path | None = None
    seg: bool = False
    reviewer: str | None = None
    report: Path | None = None


@dataclass(eq=False)
class OpenReview:
    """One open review.

    Attributes:
        case: the case.
        session: its review; use it only while holding ``lock``.
        lease: right of one tab to edit.
        lock: held while the session is used.
        predicted_doses: dose-volume histogram of the predicted structures that were asked for.
        closed: True once its session is closed; get it again from :class:`OpenReviews`.
    """

    case: ReviewCase
    session: ReviewSession
    resources: ExitStack
    lease: Lease = field(default_factory=Lease)
    lock: threading.Lock = field(default_factory=threading.Lock)
    predicted_doses: dict[str, DoseVolumeHistogram] = field(default_factory=dict)
    closed: bool = False


class OpenReviews:
    """All cases of a worklist.

    Args:
        items: the worklist.
        options: options of the command.
        folder: folder in which predictions appear and disappear meanwhile; None: the worklist stays as it is.
    """

    def __init__(self, items: Sequence[WorklistItem], options: ReviewOptions, folder: Path | None = None) -> None:
        self.items = list(items)
        self.options = options
        self._folder = folder
        self._open: OrderedDict[int, OpenReview] = OrderedDict()
        self._opening: dict[int, threading.Lock] = {}
        self._lock = threading.Lock()  # held for moments only, also by those who hold the lock of a case

    def get(self, number: int) -> OpenReview:
        """Return a case of the worklist, opened if it isn't yet.

        Raises:
            BadInput: If it can't be opened.
            IndexError: If there is no such case.
        """
        if not 0 <= number < len(self.items):
            raise IndexError(number)
        with self._lock:
            opening = self._opening.setdefault(number, threading.Lock())
        with opening:  # a slow scan doesn't hold up the other cases
            with self._lock:
                if number in self._open:
                    self._open.move_to_end(number)
                    return self._open[number]
            review = self._read(self.items[number].folder)
            with self._lock:
                self._open[number] = review
                self._close_unused(number)
            return review

    def release(self, number: int, tab: str) -> None:
        """Give the lease of a case back, if the case is open and the tab holds it."""
        with self._lock:
            review = self._open.get(number)
        if review is not None:
            with review.lock:
                review.lease.release(tab)

    @property
    def grows(self) -> bool:
        """True if predictions can join the worklist."""
        return self._folder is not None

    def current_items(self) -> list[WorklistItem]:
        """Return the worklist by number, after new predictions have joined it at the end."""
        with self._lock:
            if self._folder is not None:
                self.items += list_predictions(self._folder, {item.folder for item in self.items})
                self.items = [item if item.folder.is_dir() else replace(item, problem=_DELETED) for item in self.items]
            return list(self.items)

    def mark_written(self, number: int) -> None:
        """Note that a review of a case was written."""
        with self._lock:
            self.items[number] = replace(self.items[number], is_written=True)

    def close(self) -> None:
        """Close all cases."""
        with ExitStack() as stack:
            for opening in list(self._opening.values()):
                stack.enter_context(opening)
            while self._open:
                self._open.popitem()[1].resources.close()

    def _close_unused(self, opened: int) -> None:
        """Close the longest unused cases beyond :data:`MOST_OPEN`, except those that a tab edits or a request uses."""
        for number, review in list(self._open.items()):
            if number == opened or len(self._open) <= MOST_OPEN or not review.lock.acquire(blocking=False):
                continue
            try:
                if not review.lease.is_held:
                    review.closed = True
                    review.resources.close()
                    del self._open[number]
            finally:
                review.lock.release()

    def _read(self, folder: Path) -> OpenReview:
        case = open_case(folder, scan=self.options.scan, references=self.options.references, dose=self.options.dose)
        with ExitStack() as stack:
            session = stack.enter_context(open_session(case))
            return OpenReview(case, session, stack.pop_all())
