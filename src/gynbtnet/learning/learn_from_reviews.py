"""Learning from corrections: reviews join, a challenger learns from them, and replaces the champion if it is better."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from gynbtnet.datasets.split import Split
from gynbtnet.evaluation.statistics.patient_bootstrap import FEWEST_PATIENTS
from gynbtnet.learning.assignment import Assignment
from gynbtnet.learning.challenge import Challenge, few_patients_sentence
from gynbtnet.learning.joined_reviews import JoinedReviews, JoiningRules, join_reviews, learned_cases
from gynbtnet.learning.learning_folder import LearningFolder
from gynbtnet.learning.learning_page import LearningReport, write_page
from gynbtnet.learning.learning_state import LearningState, open_state
from gynbtnet.learning.ledger import Ledger, sort_reviews
from gynbtnet.learning.next_cases import NextCases, choose_next, read_next_cases
from gynbtnet.learning.reviewed_scans import LeftOutReview, find_reviewed_scans
from gynbtnet.learning.round import (
    LearningRound,
    finished_rounds,
    read_rounds,
    restore_champion,
    reviews_of_last_round,
    run_round,
)
from gynbtnet.learning.scan_finder import ScanFinder
from gynbtnet.learning.settings import LearningSettings
from gynbtnet.learning.worklist_candidates import Worklist, find_candidates
from gynbtnet.preparation.planning.plan_files import load_plan
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.json_files import sha256_of, write_json
from gynbtnet.runtime.lock_file import file_lock
from gynbtnet.runtime.progress import console
from gynbtnet.training.run_folder import RunFolder


@dataclass(frozen=True)
class LearningRequest:
    """A call of :func:`learn`.

    Attributes:
        reviews: folder of predictions with reviews.
        model: run folder of the first model.
        finder: finder of scans and patients, with the cohort that the model was trained on.
        out: folder of the state; the same one for all calls.
        split: split of the cohort; needed at the first call.
        fold: fold of the split whose patients validated the model.
        settings: settings of learning.
        jobs: number of parallel processes.
    """

    reviews: Path
    model: Path
    finder: ScanFinder
    out: Path
    split: Split | None = None
    fold: int = 0
    settings: LearningSettings = field(default_factory=LearningSettings)
    jobs: int = 1


@dataclass(frozen=True)
class LearningResult:
    """Result of a call.

    Attributes:
        joined: result of giving the reviews to the ledger.
        left_out: reviews that can't be used, with the reason.
        round: number of the round; None if there was nothing new to learn from.
        challenge: its result; None without a round.
        champion: folder of the model to use now.
        page: page on everything so far.
    """

    joined: JoinedReviews
    left_out: tuple[LeftOutReview, ...]
    round: int | None
    challenge: Challenge | None
    champion: Path
    page: Path


def learn(request: LearningRequest) -> LearningResult:
    """Let a model learn from reviews.

    The same call resumes what was stopped. Without a review that hasn't been learned from, nothing is trained.

    Args:
        request: reviews, model, cohort and folder.

    Returns:
        Results of the reviews and of the challenger.

    Raises:
        BadInput: If the inputs don't belong together, or another program learns in the same folder.
    """
    folders = LearningFolder(request.out.absolute())
    with _locked(folders):
        state = _open(request, folders)
        restore_champion(folders)
        champion = folders.champion_model(request.model)
        reviews, left_out = find_reviewed_scans(request.reviews, request.finder)
        rules = JoiningRules(request.finder, request.settings.validation, load_plan(champion).overlapping)
        joined = join_reviews(reviews, state, folders, rules)
        left_out = (*left_out, *joined.left_out)
        learned = tuple(sorted(entry.review for entry in joined.ledger.learned))
        trains = any(entry.use == "training" for entry in joined.ledger.learned)
        if not trains or learned == reviews_of_last_round(folders):
            page = write_page(_report(request, folders, joined.ledger, joined.assignment, left_out), folders)
            return LearningResult(joined, left_out, None, None, champion, page)
        this = LearningRound(
            number=max(finished_rounds(folders), default=0) + 1,
            folders=folders,
            champion=champion,
            cohort=request.finder.cohort,
            assignment=joined.assignment,
            ledger=joined.ledger,
            first_training=state.first_training,
            settings=request.settings,
            jobs=request.jobs,
        )
        frozen = len(joined.assignment.patients_of("frozen test"))
        if frozen < FEWEST_PATIENTS:
            console.print(few_patients_sentence(frozen))  # before the training, which takes long
        result = run_round(this)
        page = write_page(_report(request, folders, joined.ledger, joined.assignment, left_out), folders)
        return LearningResult(joined, left_out, this.number, result, folders.champion_model(request.model), page)


def choose_next_cases(request: LearningRequest, number: int) -> NextCases:
    """Choose the cases to contour next, store them, and write the page; nothing is trained.

    Args:
        request: predictions, model, cohort and folder.
        number: number of cases, at least 2.

    Returns:
        The cases.

    Raises:
        BadInput: As :func:`find_worklist`. Also if ``number`` is less than 2.
    """
    worklist = find_worklist(request)
    folders = LearningFolder(request.out.absolute())
    with _locked(folders):
        state = _open(request, folders)
        cases = choose_next(worklist, number, request.settings.seed, _champion_sha256(request, folders))
        write_json(cases, folders.next_cases)
        reviews, left_out = find_reviewed_scans(request.reviews, request.finder)
        given = sort_reviews(reviews, state.ledger)
        waiting = tuple(reviewed.name for reviewed in (*given.new, *given.changed))
        write_page(_report(request, folders, state.ledger, state.assignment, left_out, waiting), folders)
    return cases


def find_worklist(request: LearningRequest) -> Worklist:
    """Return the predictions without a review as candidates for the next contouring; nothing is trained.

    Args:
        request: predictions, model, cohort and folder.

    Returns:
        The candidates, and numbers of the other predictions.

    Raises:
        BadInput: As :func:`learn`. Also if the folder contains no prediction.
    """
    folders = LearningFolder(request.out.absolute())
    with _locked(folders):
        state = _open(request, folders)
        reviewed = [
            case
            for entry, cohort in learned_cases(state.ledger, folders)
            if entry.use == "training"
            for case in cohort.cases
        ]
        return find_candidates(request.reviews, request.finder, state.assignment, reviewed, folders.scan_measures)


@contextmanager
def _locked(folders: LearningFolder) -> Iterator[None]:
    if folders.folder.exists() and not folders.folder.is_dir():
        raise BadInput(f"{folders.folder} is a file; expected a folder to write to, give another one.")
    with file_lock(folders.folder / ".lock", wait=False) as held:
        if not held:
            raise BadInput(f"Another program learns in {folders.folder}; wait until it has ended.")
        yield


def _report(
    request: LearningRequest,
    folders: LearningFolder,
    ledger: Ledger,
    assignment: Assignment,
    left_out: tuple[LeftOutReview, ...],
    waiting: tuple[str, ...] = (),
) -> LearningReport:
    cohorts = [request.finder.cohort, *(cohort for _, cohort in learned_cases(ledger, folders))]
    return LearningReport(
        model=request.model.resolve().name,
        champion=_champion_sha256(request, folders),
        champion_round=folders.champion_round,
        rounds=read_rounds(folders),
        ledger=ledger,
        waiting=waiting,
        left_out=left_out,
        next_cases=read_next_cases(folders),
        assignment=assignment,
        confidence=request.settings.confidence,
        synthetic=any(cohort.synthetic for cohort in cohorts),
    )


def _champion_sha256(request: LearningRequest, folders: LearningFolder) -> str:
    return sha256_of(RunFolder(folders.champion_model(request.model)).last_weights)


def _open(request: LearningRequest, folders: LearningFolder) -> LearningState:
    if not request.reviews.is_dir():  # before anything is written
        raise BadInput(
            f"There is no folder {request.reviews}; expected one of predictions that `gynbtnet review` was used on."
        )
    return open_state(folders, request.model, request.finder.cohort, request.split, request.fold, request.settings)
