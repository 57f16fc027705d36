"""Search for finished reviews below a folder; those that are being written are in hidden folders."""

from pathlib import Path

from gynbtnet.review.record import REVIEW_FILE


def finished_reviews(folder: Path) -> list[Path]:
    """Return the ``review.json`` of all finished reviews below a folder, sorted.

    Args:
        folder: folder of predictions, at any depth, or of reviews.
    """
    return sorted(path for path in folder.rglob(REVIEW_FILE) if not is_hidden(path, folder))


def is_hidden(path: Path, root: Path) -> bool:
    """Return whether a file is in a hidden folder below ``root``, such as that of a result which is being written."""
    return any(part.startswith(".") for part in path.relative_to(root).parts)
