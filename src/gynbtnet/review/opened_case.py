"""A case with its review: the session that belongs to it, and the lock that keeps other programs out."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

from gynbtnet.imaging.orientation import reorientation_to_lps
from gynbtnet.inference.prediction_files import REVIEWS_FOLDER
from gynbtnet.review.case import ReviewCase
from gynbtnet.review.journal import JOURNAL_FILE
from gynbtnet.review.session import Identity, ReviewSession
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.lock_file import file_lock


@contextmanager
def open_session(case: ReviewCase) -> Iterator[ReviewSession]:
    """Open the review of a case, and continue an earlier one.

    Args:
        case: the case.

    Yields:
        The session; it is closed at the end.

    Raises:
        BadInput: If another program has the review open, or its journal is damaged.
    """
    folder = case.folder / REVIEWS_FOLDER
    with file_lock(folder / ".lock", wait=False) as held:
        if not held:
            raise BadInput(f"The review of {case.folder} is open in another program; close that one first.")
        automatic = {name: case.automatic.mask(name) for name in case.record.structures}
        digest = hashlib.sha256()
        for mask in automatic.values():
            digest.update(mask.tobytes())
        turn = reorientation_to_lps(case.scan.geometry)
        identity = Identity(digest.hexdigest(), turn.geometry(case.scan.geometry).shape, case.record.structures)
        session = ReviewSession(automatic, case.scan.geometry.spacing, turn, folder / JOURNAL_FILE, identity)
        try:
            yield session
        finally:
            session.close()
