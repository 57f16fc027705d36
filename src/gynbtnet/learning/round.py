"""One round of learning: train a challenger from the champion's weights, and let both meet on the frozen test."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gynbtnet.datasets.cohort import Cohort
from gynbtnet.inference.engine.settings import PredictionSettings
from gynbtnet.inference.models.evaluated_settings import evaluated_settings, save_evaluated_settings
from gynbtnet.learning.assignment import Assignment
from gynbtnet.learning.challenge import Challenge, challenge
from gynbtnet.learning.frozen_test import score_frozen_test
from gynbtnet.learning.joined_reviews import learned_cases
from gynbtnet.learning.learning_folder import LearningFolder
from gynbtnet.learning.ledger import Ledger
from gynbtnet.learning.settings import LearningSettings
from gynbtnet.learning.short_training import short_training
from gynbtnet.preparation.planning.plan_files import load_plan
from gynbtnet.preparation.prepare_cohort import prepare
from gynbtnet.runtime.atomic_files import remove_folder
from gynbtnet.runtime.json_files import read_json, sha256_of, write_json
from gynbtnet.runtime.progress import console
from gynbtnet.training.recording.learned_from import LearnedFrom, LearnedReview
from gynbtnet.training.run_folder import RunFolder
from gynbtnet.training.settings import SegmentationSettings
from gynbtnet.training.stages import finetune

_REMEDY = "delete the folder of this round to begin it again"


@dataclass(frozen=True)
class RoundInputs:
    """Everything that the challenger of a round depends on.

    Attributes:
        champion: SHA-256 of the weights that it starts from.
        reviews: digests of the reviews that are learned from.
        cases: keys of the prepared cases for training and validation.
        training: settings of the training.
    """

    champion: str
    reviews: tuple[str, ...]
    cases: tuple[str, ...]
    training: Mapping[str, Any]


@dataclass(frozen=True)
class FinishedRound:
    """A round that ended.

    Attributes:
        number: its number.
        champion: SHA-256 of the weights that it started from and was compared with.
        reviews: number of reviews that it learned from.
        result: result of the challenge.
    """

    number: int
    champion: str
    reviews: int
    result: Challenge


@dataclass(frozen=True)
class LearningRound:
    """Everything that a round needs.

    Attributes:
        number: number of the round, from 1.
        folders: folder of the results.
        champion: run folder of the present model.
        cohort: cohort of the first model.
        assignment: group of each patient.
        ledger: the reviews.
        first_training: settings by which the first model was trained.
        settings: settings of learning.
        jobs: number of parallel processes.
    """

    number: int
    folders: LearningFolder
    champion: Path
    cohort: Cohort
    assignment: Assignment
    ledger: Ledger
    first_training: SegmentationSettings
    settings: LearningSettings
    jobs: int = 1


def reviews_of_last_round(folders: LearningFolder) -> tuple[str, ...]:
    """Return the digests of the reviews of the last round that ended; none before the first."""
    finished = finished_rounds(folders)
    return read_json(RoundInputs, folders.inputs(finished[-1]), _REMEDY).reviews if finished else ()


def read_rounds(folders: LearningFolder) -> tuple[FinishedRound, ...]:
    """Return the rounds that ended, in order."""
    finished = []
    for number in finished_rounds(folders):
        inputs = read_json(RoundInputs, folders.inputs(number), _REMEDY)
        result = read_json(Challenge, folders.challenge(number), _REMEDY)
        finished.append(FinishedRound(number, inputs.champion, len(inputs.reviews), result))
    return tuple(finished)


def finished_rounds(folders: LearningFolder) -> list[int]:
    """Return the numbers of the rounds that ended, in order."""
    return [number for number in folders.rounds() if folders.challenge(number).is_file()]


def restore_champion(folders: LearningFolder) -> None:
    """Point to the challenger that was promoted last, if a kill came between its result and the pointer."""
    promoted = [n for n in finished_rounds(folders) if read_json(Challenge, folders.challenge(n), _REMEDY).promoted]
    if promoted:
        folders.promote(promoted[-1])


def run_round(this: LearningRound) -> Challenge:
    """Train the challenger, compare it with the champion, and promote it if it deserves it.

    A round that was stopped resumes and ends with the same weights. If reviews, champion or settings have changed in
    between, it begins again.

    Raises:
        BadInput: If scans can't be prepared or training can't use them.
    """
    folders, number = this.folders, this.number
    prepared = prepare(training_cohort(this), load_plan(this.champion), folders.prepared, this.jobs)
    training = short_training(this.first_training, this.settings, number)
    inputs = RoundInputs(
        champion=sha256_of(RunFolder(this.champion).last_weights),
        reviews=tuple(sorted(entry.review for entry in this.ledger.learned)),
        cases=tuple(case.key for case in prepared.cases),
        training=training.model_dump(mode="json"),
    )
    if folders.inputs(number).is_file() and read_json(RoundInputs, folders.inputs(number), _REMEDY) != inputs:
        console.print(f"Round {number} was stopped and its reviews or settings have changed; it begins again.")
        remove_folder(folders.round(number))
    write_json(inputs, folders.inputs(number))
    run = finetune(
        prepared,
        training,
        folders.run(number),
        training_ids=prepared.ids_of(this.assignment.patients_of("training")),
        validation_ids=prepared.ids_of(this.assignment.patients_of("validation")),
        start=this.champion,
        keep_heads=True,
    )
    _learned_from(this, inputs.champion).save(run)
    return _meet(this, run)


def training_cohort(this: LearningRound) -> Cohort:
    """Return the cases of training and validation: those of the cohort, and the reviewed ones.

    The frozen test patients are not among them.
    """
    frozen = set(this.assignment.patients_of("frozen test"))
    own = [case for case in this.cohort.cases if case.patient not in frozen]
    reviewed = [
        replace(case, id=f"reviewed-{entry.review[:16]}", patient=entry.patient)
        for entry, cohort in learned_cases(this.ledger, this.folders)
        for case in cohort.cases
        if entry.patient not in frozen
    ]
    return replace(this.cohort, cases=(*own, *reviewed))


def _meet(this: LearningRound, challenger: Path) -> Challenge:
    """Score champion and challenger on the frozen test, and record and apply the result."""
    frozen = this.cohort.of_patients(this.assignment.patients_of("frozen test"))
    evaluated = evaluated_settings(this.champion)
    if evaluated is not None:
        save_evaluated_settings(evaluated.model_copy(update={"weights": "last"}), challenger)
    champion_scores, challenger_scores = (
        score_frozen_test(
            model,
            frozen,
            this.folders,
            (evaluated_settings(model) or PredictionSettings()).model_copy(
                update={"outputs": ("nifti",), "preview": False}
            ),
            jobs=this.jobs,
        )
        for model in (this.champion, challenger)
    )
    result = challenge(champion_scores, challenger_scores, this.cohort.structures, this.settings)
    write_json(result, this.folders.challenge(this.number))
    restore_champion(this.folders)
    return result


def _learned_from(this: LearningRound, start: str) -> LearnedFrom:
    """Return the description of the reviews of this round and of those that only its predecessors learned from."""
    entries = this.ledger.learned
    reviews = tuple(
        LearnedReview(entry.review, entry.scan, entry.model, entry.use, dict(entry.origins)) for entry in entries
    )
    before = LearnedFrom.load(this.champion)
    digests = {*(review.review for review in before.reviews), *before.earlier} if before else set()
    return LearnedFrom(
        this.number, start, reviews, tuple(sorted(digests.difference(entry.review for entry in entries)))
    )
