"""Learning from corrections: reviews join, a challenger learns from them, and replaces the champion if it is better."""

from dataclasses import dataclass, field
from pathlib import Path

from gynbtnet.datasets.split import Split
from gynbtnet.learning.challenge import Challenge
from gynbtnet.learning.joined_reviews import JoinedReviews, JoiningRules, join_reviews, learned_cases
from gynbtnet.learning.learning_folder import LearningFolder
from gynbtnet.learning.learning_state import LearningState, open_state
from gynbtnet.learning.reviewed_scans import LeftOutReview, find_reviewed_scans
from gynbtnet.learning.round import LearningRound, finished_rounds, restore_champion, reviews_of_last_round, run_round
from gynbtnet.learning.scan_finder import ScanFinder
from gynbtnet.learning.settings import LearningSettings
from gynbtnet.learning.worklist_candidates import Worklist, find_candidates
from gynbtnet.preparation.planning.plan_files import load_plan
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.lock_file import file_lock


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
    """

    joined: JoinedReviews
    left_out: tuple[LeftOutReview, ...]
    round: int | None
    challenge: Challenge | None
    champion: Path


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
    with file_lock(folders.folder / ".lock", wait=False) as held:
        if not held:
            raise BadInput(f"Another program learns in {folders.folder}; wait until it has ended.")
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
            return LearningResult(joined, left_out, None, None, champion)
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
        result = run_round(this)
        return LearningResult(joined, left_out, this.number, result, folders.champion_model(request.model))


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
    with file_lock(folders.folder / ".lock", wait=False) as held:
        if not held:
            raise BadInput(f"Another program learns in {folders.folder}; wait until it has ended.")
        state = _open(request, folders)
        reviewed = [
            case
            for entry, cohort in learned_cases(state.ledger, folders)
            if entry.use == "training"
            for case in cohort.cases
        ]
        return find_candidates(request.reviews, request.finder, state.assignment, reviewed, folders.scan_measures)


def _open(request: LearningRequest, folders: LearningFolder) -> LearningState:
    return open_state(folders, request.model, request.finder.cohort, request.split, request.fold, request.settings)
