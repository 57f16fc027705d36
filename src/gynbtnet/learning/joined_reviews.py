"""Reviews that join the ledger: assigned by patient, ingested if they may be learned from, otherwise noted with why."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from gynbtnet.datasets.cohort import Cohort
from gynbtnet.learning.assignment import Assignment, Group
from gynbtnet.learning.learning_folder import LearningFolder
from gynbtnet.learning.learning_state import LearningState
from gynbtnet.learning.ledger import Ledger, LedgerEntry, Use, sort_reviews
from gynbtnet.learning.reviewed_cases import ingest_review, learned_structures
from gynbtnet.learning.reviewed_scans import LeftOutReview, ReviewedScan
from gynbtnet.learning.scan_finder import ScanFinder
from gynbtnet.review.record import Status
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.parallel import failure_reason
from gynbtnet.runtime.progress import track

_UNUSED: Mapping[Status, str] = {"edited": "edited but not accepted"}
"""Words for a status that doesn't explain itself why its contour isn't learned from."""


@dataclass(frozen=True)
class JoinedReviews:
    """Result of giving reviews to the ledger.

    Attributes:
        ledger: ledger with the reviews.
        assignment: assignment with their patients.
        added: entries of the reviews that were added, in the order of the call.
        changed: number of them that replaced an earlier one.
        known: number of reviews that added nothing.
        left_out: reviews that can't be used, which are tried again at the next call.
    """

    ledger: Ledger
    assignment: Assignment
    added: tuple[LedgerEntry, ...]
    changed: int
    known: int
    left_out: tuple[LeftOutReview, ...]

    @property
    def new(self) -> int:
        """Number of reviews of scans that the ledger didn't have."""
        return len(self.added) - self.changed


@dataclass(frozen=True)
class JoiningRules:
    """Rules by which reviews join.

    Attributes:
        finder: finder of the scans' patients.
        validation: probability that a new patient is assigned to validation.
        allow_overlap: take structures that lose much of their volume to others in the label map.
    """

    finder: ScanFinder
    validation: float
    allow_overlap: bool


def join_reviews(
    reviews: Sequence[ReviewedScan], state: LearningState, folders: LearningFolder, rules: JoiningRules
) -> JoinedReviews:
    """Add reviews to the ledger, and save it with the assignment after each; new patients are added to the key.

    Args:
        reviews: at most one of each scan.
        state: assignment and ledger so far.
        folders: folder of the results.
        rules: rules by which they join.
    """
    given = sort_reviews(reviews, state.ledger)
    rules = replace(rules, finder=rules.finder.with_patients_of(reviewed.scan for reviewed in reviews))
    ledger, assignment = state.ledger, state.assignment
    added: list[LedgerEntry] = []
    left_out = []
    for reviewed in track([*given.new, *given.changed], "Ingesting the reviews"):
        patient = rules.finder.study_id(reviewed.scan)
        try:
            use = _unused(reviewed, assignment.groups.get(patient), ledger, rules) or _ingest(
                reviewed, ledger, folders, rules
            )
        except Exception as error:  # one review must not stop the others
            reason = str(error) if isinstance(error, BadInput) else failure_reason(error)
            left_out.append(LeftOutReview(reviewed.name, reason))
            continue
        if use is None:
            assignment = assignment.with_patients([patient], rules.validation)
            use = "validation" if assignment.groups[patient] == "validation" else "training"
        added.append(_entry(reviewed, patient, use, _learned(reviewed, ledger, rules), rules.finder.cohort.structures))
        ledger = ledger.with_entry(added[-1])
        assignment.save(folders.assignment)
        ledger.save(folders.ledger)
    return JoinedReviews(
        ledger=ledger,
        assignment=assignment,
        added=tuple(added),
        changed=sum(state.ledger.of_scan(entry.scan) is not None for entry in added),
        known=given.known + given.outdated,
        left_out=tuple(left_out),
    )


def _learned(reviewed: ReviewedScan, ledger: Ledger, rules: JoiningRules) -> tuple[str, ...]:
    return learned_structures(reviewed, rules.finder.cohort.structures, untouched=ledger.untouched)


def _unused(reviewed: ReviewedScan, group: Group | None, ledger: Ledger, rules: JoiningRules) -> Use | None:
    """Return why a review may not be learned from; None if nothing is against it before its voxels are read."""
    case = rules.finder.case_of(reviewed.scan, reviewed.prediction)
    if group == "frozen test":
        return "frozen test"
    if not _learned(reviewed, ledger, rules):
        return "nothing corrected"
    return "in the cohort" if case is not None and case.labels is not None else None


def _ingest(reviewed: ReviewedScan, ledger: Ledger, folders: LearningFolder, rules: JoiningRules) -> Use | None:
    """Write a review as a case; return "in the cohort" if the cohort has its voxels, otherwise None."""
    cohort = rules.finder.cohort
    case = ingest_review(
        reviewed,
        _learned(reviewed, ledger, rules),
        cohort,
        folders.case(reviewed.digest),
        key=rules.finder.key,
        allow_overlap=rules.allow_overlap,
    )
    return "in the cohort" if case.sha256 in _contoured_scans(cohort) else None


def _entry(
    reviewed: ReviewedScan, patient: str, use: Use, learned: Sequence[str], structures: Sequence[str]
) -> LedgerEntry:
    return LedgerEntry(
        scan=reviewed.record.scan_sha256,
        review=reviewed.digest,
        time=reviewed.record.time,
        model=reviewed.record.model_sha256,
        patient=patient,
        use=use,
        origins={name: reviewed.origins[name] for name in learned},
        name=reviewed.name,
        unused={
            name: _UNUSED.get(review.status, review.status) if name in structures else "not in the cohort"
            for name, review in reviewed.record.structures.items()
            if name not in learned
        },
    )


def _contoured_scans(cohort: Cohort) -> set[str]:
    """Return the digests of the voxels of the scans that have contours."""
    return {case.sha256 for case in cohort.cases if case.labels is not None}


def learned_cases(ledger: Ledger, folders: LearningFolder) -> Iterator[tuple[LedgerEntry, Cohort]]:
    """Yield each entry that is learned from, with the cohort of its only case."""
    for entry in ledger.learned:
        folder = folders.case(entry.review)
        if not folder.is_dir():
            raise BadInput(
                f"There is no {folder}, the case of a review that was learned from; restore it from a backup, or begin "
                "in a new --out."
            )
        yield entry, Cohort.load(folder)
