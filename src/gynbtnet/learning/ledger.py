"""Ledger of reviews: each scan once, with its last review, its origin and its use."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from gynbtnet.imaging.structure_names import StructureNames
from gynbtnet.learning.reviewed_scans import Origin, ReviewedScan
from gynbtnet.review.record import is_newer
from gynbtnet.runtime.json_files import read_json, write_json

Use = Literal["training", "validation", "frozen test", "nothing corrected", "in the cohort"]
"""Use of a review. Nothing is learned from a frozen test patient, if nobody corrected and accepted a contour, or if the
cohort has contours of the scan."""
USES: Mapping[Use, str] = {
    "training": "learned from",
    "validation": "used to validate",
    "frozen test": "not used: a patient of the frozen test never trains",
    "nothing corrected": "not used: no contour was both corrected and accepted",
    "in the cohort": "not used: the cohort has its own contours of the scan",
}
"""Use of a review in words."""
LEARNED: tuple[Use, ...] = ("training", "validation")


@dataclass(frozen=True)
class LedgerEntry:
    """Last review of one scan.

    Attributes:
        scan: SHA-256 of the scan's files.
        review: digest of the review.
        time: when the review was written, ISO 8601 with time zone.
        model: SHA-256 of the weights whose contours were reviewed.
        patient: study ID.
        use: its use.
        origins: origin of each contour that is learned from.
        replaced: digests of earlier reviews of the scan that were learned from, the oldest first.
        name: path of the review below the folder of the reviews; empty in ledgers of earlier versions.
        unused: why each other contour of the review is not learned from; empty in ledgers of earlier versions.
    """

    scan: str
    review: str
    time: str
    model: str
    patient: str
    use: Use
    origins: Mapping[str, Origin]
    replaced: tuple[str, ...] = ()
    name: str = ""
    unused: Mapping[str, str] = field(default_factory=dict)

    def origin_words(self, names: StructureNames) -> str:
        """Return the contours that are learned from with their origin, such as ``corrected: Bladder, Rectum``."""
        return _grouped(self.origins, names)

    def use_words(self, names: StructureNames) -> str:
        """Return the use; if nobody corrected and accepted a contour, also what was done with each."""
        done = _grouped(self.unused, names) if self.use == "nothing corrected" else ""
        return f"{USES[self.use]} ({done})" if done else USES[self.use]

    @property
    def is_learned(self) -> bool:
        """True if training or validation use it."""
        return self.use in LEARNED


def _grouped(words: Mapping[str, str], names: StructureNames) -> str:
    """Return structures by the words on them, such as ``corrected: Bladder, Rectum; untouched: HR-CTV``."""
    by_words: dict[str, list[str]] = {}
    for structure, text in words.items():
        by_words.setdefault(text, []).append(names.display_name(structure))
    return "; ".join(f"{text}: {', '.join(structures)}" for text, structures in by_words.items())


@dataclass(frozen=True)
class Ledger:
    """All reviews that were given so far.

    Attributes:
        untouched: structures that were accepted unchanged are learned from as well.
        entries: one entry per scan, in the order in which the scans were first given.
    """

    untouched: bool
    entries: tuple[LedgerEntry, ...] = ()

    @property
    def learned(self) -> tuple[LedgerEntry, ...]:
        """Entries that training or validation use."""
        return tuple(entry for entry in self.entries if entry.is_learned)

    def of_scan(self, scan: str) -> LedgerEntry | None:
        """Return the entry of a scan; None if it has none."""
        return next((entry for entry in self.entries if entry.scan == scan), None)

    def with_entry(self, entry: LedgerEntry) -> "Ledger":
        """Return the ledger with an entry; it replaces that of the same scan and remembers its review."""
        earlier = self.of_scan(entry.scan)
        if earlier is None:
            return replace(self, entries=(*self.entries, entry))
        digests = (*earlier.replaced, *((earlier.review,) if earlier.is_learned else ()))
        entry = replace(entry, replaced=tuple(digest for digest in digests if digest != entry.review))
        return replace(self, entries=tuple(entry if own.scan == entry.scan else own for own in self.entries))

    def save(self, path: Path) -> None:
        """Write the ledger as JSON, atomically."""
        write_json(self, path)

    @classmethod
    def load(cls, path: Path) -> "Ledger":
        """Read a ledger that :meth:`save` wrote; raise BadInput if it is damaged."""
        return read_json(cls, path, "restore it from a backup")


@dataclass(frozen=True)
class SortedReviews:
    """Reviews compared with the ledger.

    Attributes:
        new: reviews of scans that the ledger doesn't have.
        changed: newer reviews of scans that it has.
        known: number of reviews that it has already; they add nothing.
        outdated: number of reviews that are older than those in the ledger; they replace nothing.
    """

    new: tuple[ReviewedScan, ...]
    changed: tuple[ReviewedScan, ...]
    known: int
    outdated: int


def sort_reviews(reviews: Sequence[ReviewedScan], ledger: Ledger) -> SortedReviews:
    """Compare reviews with the ledger.

    Args:
        reviews: at most one of each scan.
        ledger: the ledger.
    """
    new, changed, known, outdated = [], [], 0, 0
    for reviewed in reviews:
        earlier = ledger.of_scan(reviewed.record.scan_sha256)
        if earlier is None:
            new.append(reviewed)
        elif earlier.review == reviewed.digest:
            known += 1
        elif is_newer(earlier.time, reviewed.record.time):
            outdated += 1
        else:
            changed.append(reviewed)
    return SortedReviews(tuple(new), tuple(changed), known, outdated)
