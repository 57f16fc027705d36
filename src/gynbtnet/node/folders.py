"""Paths inside the folder of a DICOM node."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

REVIEW = ".review-"
"""Mark between the version of a prediction and the number of its review."""

_DIGITS = 24  # hexadecimal digits of a key: 96 bits


def hashed(uid: str) -> str:
    """Return the key of a UID for paths, logs and lists, which doesn't reveal the UID.

    Args:
        uid: a DICOM UID.
    """
    return hashlib.sha256(uid.encode()).hexdigest()[:_DIGITS]


@dataclass(frozen=True)
class NodeFolder:
    """The folder of a node.

    Attributes:
        folder: the folder.
    """

    folder: Path

    @property
    def inbox(self) -> Path:
        """Received instances, in one folder per series."""
        return self.folder / "inbox"

    @property
    def results(self) -> Path:
        """Predictions, in one folder per series and content."""
        return self.folder / "results"

    @property
    def queue(self) -> Path:
        """Database of the series and their states."""
        return self.folder / "queue.sqlite"

    @property
    def audit(self) -> Path:
        """Audit log, JSON lines."""
        return self.folder / "logs" / "audit.jsonl"

    @property
    def review_audit(self) -> Path:
        """Audit log of ``gynbtnet review``, which is another process."""
        return self.audit.with_name("audit-review.jsonl")

    @property
    def lock(self) -> Path:
        """Lock of the running node."""
        return self.folder / ".node.lock"

    def series(self, key: str) -> Path:
        """Return the folder of the received instances of a series."""
        return self.inbox / key

    def result(self, key: str, version: str) -> Path:
        """Return the folder of the prediction of a series with a certain content, or of a review of it."""
        prediction, _, review = version.partition(REVIEW)
        folder = self.results / f"{key}-{prediction}"
        return folder / "review" / review if review else folder

    def reviews(self, key: str, version: str) -> tuple[str, ...]:
        """Return the versions of all reviews of a prediction; one that is being written is not among them."""
        written = self.result(key, version).glob("review/*/RS.dcm")
        numbers = sorted(path.parent.name for path in written if path.parent.name.isdecimal())
        return tuple(f"{version}{REVIEW}{number}" for number in numbers)

    def results_by_key(self) -> dict[str, tuple[Path, ...]]:
        """Return what the folder of the results has, in one list per series."""
        paths: dict[str, tuple[Path, ...]] = {}
        for path in sorted(self.results.glob("*-*")):
            key = path.name.partition("-")[0]
            paths[key] = (*paths.get(key, ()), path)
        return paths

    def outgoing(self, key: str, version: str) -> Path:
        """Return the folder of the objects that are sent."""
        return self.results / f"{key}-{version}.outgoing"
