"""Every fold of a split: trained, and its validation patients contoured by the one model that hasn't seen them."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, fields, replace
from functools import partial
from multiprocessing import Queue, active_children, get_context
from pathlib import Path

import pandas as pd
import torch

from gynbtnet.datasets.cohort import Cohort
from gynbtnet.datasets.split import Split
from gynbtnet.evaluation.calibration.postprocessing_selection import Trial, select_postprocessing
from gynbtnet.evaluation.calibration.quality_calibration import calibrate_quality
from gynbtnet.evaluation.metrics.evaluation import Evaluation, evaluate
from gynbtnet.experiment.single_stages import finetune_alone
from gynbtnet.inference.engine.mirroring import tta_signature
from gynbtnet.inference.engine.segmenter import Segmenter
from gynbtnet.inference.engine.settings import PredictionSettings
from gynbtnet.inference.models.model import Model
from gynbtnet.inference.prediction_request import PredictionRequest
from gynbtnet.inference.scan_prediction import predict_scan
from gynbtnet.preparation.planning.plan_files import load_plan, save_plan
from gynbtnet.preparation.planning.structure_volumes import structure_volumes
from gynbtnet.preparation.store import PreparedCohort
from gynbtnet.recipes.recipe import Recipe, TaskStage
from gynbtnet.runtime.atomic_files import atomic_write
from gynbtnet.runtime.errors import BadInput, Paused
from gynbtnet.runtime.processes import launcher_world_size
from gynbtnet.runtime.progress import console, progress_bar, without_progress
from gynbtnet.training.run_folder import RunFolder

_LOOK_EVERY = 2.0  # seconds between two looks at how far the folds are


@dataclass(frozen=True)
class CrossValidation:
    """Where a cross-validation keeps what; its folder is a model too, the ensemble of its folds."""

    folder: Path

    def fold(self, number: int) -> Path:
        """The run folder of a fold, a model."""
        return self.folder / f"fold_{number}"

    @property
    def predictions(self) -> Path:
        """A folder for each case outside the test, from the fold that its patient validates."""
        return self.folder / "predictions"

    @property
    def evaluation(self) -> Path:
        """Scores of these predictions, as the networks drew them."""
        return self.folder / "evaluation"

    @property
    def trials(self) -> Path:
        """What post-processing was tried on them, and whether it helped."""
        return self.folder / "postprocessing.csv"


def crossvalidate(
    prepared: PreparedCohort,
    cohort: Cohort,
    recipe: Recipe,
    split: Split,
    out: Path,
    *,
    start: Path | None = None,
    folds: Sequence[int] | None = None,
    jobs: int = 1,
) -> Evaluation:
    """Train the task stage once for each fold of ``split``, predict each fold's validation patients, score them all.

    What an earlier call finished is kept, a fold that was killed goes on from its checkpoint. A fold is the run that
    ``gynbtnet finetune`` makes with ``split.fold`` set to its number, and may be one: folds can be trained on several
    machines and put together by a last call.

    Args:
        prepared: the cohort's scans, those of the test patients may be absent.
        cohort: scans as they came, which are predicted, and their contours.
        recipe: task stage and prediction.
        split: its folds are trained; its test patients take no part.
        out: the folder, see :class:`CrossValidation`.
        start: run folder of an earlier stage that all folds start from; None: from scratch.
        folds: which; None: all.
        jobs: folds that are trained side by side, each on a GPU of its own where there are several.

    Raises:
        BadInput: where scans, split and recipe don't belong together, or several devices are asked for.
        Paused: where the recipe's time budget is over before all folds have ended.
    """
    task: TaskStage = recipe.stage("task")
    if task.training.devices > 1 or launcher_world_size() not in (None, (1, 1)):
        raise BadInput(
            "A cross-validation trains each fold on one device, several folds side by side with --jobs; for folds on "
            "several devices train each with `gynbtnet finetune --set split.fold=…` into fold_0, fold_1, … of --out, "
            "and then call this again with devices 1."
        )
    split.check(cohort)
    unprepared = {case.id for case in cohort.cases if case.patient not in split.test}.difference(
        case.id for case in prepared.cases
    )
    if unprepared:
        raise BadInput(
            f"{len(unprepared)} cases of the cohort {cohort.folder} that are not held out are not prepared in "
            f"{prepared.folder}; prepare them with `gynbtnet prepare`."
        )
    places = CrossValidation(Path(out))
    chosen = range(len(split.folds)) if folds is None else folds
    work = partial(_train_and_predict, prepared, cohort, recipe, split, places, start)
    if jobs == 1:
        for fold in chosen:
            console.rule(f"Fold {fold}")
            work(fold)
    else:
        _side_by_side(work, {fold: places.fold(fold) for fold in chosen}, jobs, task.training.epochs)
    save_plan(load_plan(places.fold(chosen[0])), places.folder)
    return evaluate_folds(cohort, split, places, chosen)


def predict_fold(
    model: Segmenter, cohort: Cohort, split: Split, fold: int, places: CrossValidation, settings: PredictionSettings
) -> None:
    """Contour the validation patients of a fold with the model that was trained on the others."""
    for case in cohort.of_patients(split.validation_patients(fold)).cases:
        request = PredictionRequest.from_path(
            model,
            case.image,
            places.predictions / case.id,
            channels=case.images[1:],
            settings=settings.to_evaluate(is_dicom=False),
            synthetic=case.synthetic,
            force=True,
            check=False,
        )
        predict_scan(model, request)


def evaluate_folds(cohort: Cohort, split: Split, places: CrossValidation, folds: Sequence[int]) -> Evaluation:
    """Score the validation patients of these folds together."""
    shown = cohort.of_patients(patient for fold in folds for patient in split.validation_patients(fold))
    return evaluate(shown, places.predictions, places.evaluation)


def calibrate_from_folds(cohort: Cohort, recipe: Recipe, split: Split, out: Path) -> None:
    """Make the folds a better model by what their validation patients teach, once all of them are predicted.

    Post-processing that helps these predictions and the range of volumes go into the plan in ``out``, what they teach
    about how good contours are into ``quality.json`` beside it.

    Args:
        cohort, recipe, split, out: as :func:`crossvalidate` had them, for all folds.
    """
    places = CrossValidation(Path(out))
    seen = cohort.of_patients(patient for fold in split.folds for patient in fold)
    choice = select_postprocessing(seen, places.predictions)
    with atomic_write(places.trials) as partial:
        pd.DataFrame(choice.trials, columns=[field.name for field in fields(Trial)]).to_csv(partial, index=False)
    plan = load_plan(places.folder)
    passes = tta_signature(recipe.prediction, plan)
    calibrate_quality(cohort, split, places.predictions, choice.rules, passes=passes).save(places.folder)
    save_plan(replace(plan, volumes=structure_volumes(seen), postprocessing=choice.rules), places.folder)


def _train_and_predict(
    prepared: PreparedCohort,
    cohort: Cohort,
    recipe: Recipe,
    split: Split,
    places: CrossValidation,
    start: Path | None,
    fold: int,
) -> None:
    of_fold = recipe.model_copy(update={"split": recipe.split.model_copy(update={"fold": fold})})
    run = finetune_alone(prepared, of_fold, "task", split, start, places.fold(fold))
    model = Model.load(run, weights=recipe.prediction.weights, device=recipe.prediction.device)
    predict_fold(model, cohort, split, fold, places, recipe.prediction)


def _side_by_side(work: Callable[[int], None], runs: Mapping[int, Path], jobs: int, epochs: int) -> None:
    """Every fold in a process, ``jobs`` at a time, under one bar of all their epochs."""
    context = get_context("spawn")  # CUDA and PyTorch's threads don't live through a fork
    gpus = _visible_gpus()
    places = context.Queue()
    for job in range(jobs):
        places.put(gpus[job % len(gpus)] if gpus else None)
    pool = ProcessPoolExecutor(jobs, context, initializer=_settle, initargs=(places, jobs))
    done = _epochs_logged(runs.values())
    try:
        futures = [pool.submit(_without_bars, work, fold) for fold in runs]
        with progress_bar("Folds", epochs * len(runs), done, steps_per_line=1) as advance:
            while wait(futures, timeout=_LOOK_EVERY).not_done:
                logged = _epochs_logged(runs.values())
                advance(logged - done)
                done = logged
            advance(_epochs_logged(runs.values()) - done)
    except BaseException:
        for child in active_children():
            child.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)
    _raise_first(futures)


def _raise_first(futures: Sequence[Future[None]]) -> None:
    """What went wrong before what only ran out of time, whichever fold it was in."""
    errors = [error for future in futures if (error := future.exception())]
    paused = [error for error in errors if isinstance(error, Paused)]
    for error in errors:
        if isinstance(error, BrokenProcessPool):
            raise BadInput(
                "The system ended a process that trained a fold, as it does where memory runs out; train fewer folds "
                "side by side with a lower --jobs. The same command goes on from the checkpoints."
            ) from error
        if error not in paused:
            raise error
    if paused:
        raise Paused(
            f"The time budget is used up with {len(paused)} of {len(futures)} folds unfinished; the same command goes "
            "on with them."
        )


def _without_bars(work: Callable[[int], None], fold: int) -> None:
    """The bars of folds side by side would overwrite one another."""
    with without_progress():
        work(fold)


def _settle(places: "Queue[str | None]", jobs: int) -> None:
    """Make this process one of several: a GPU of its own where there are some, its share of the cores."""
    torch.set_num_threads(max(1, torch.get_num_threads() // jobs))
    gpu = places.get()
    if gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu


def _visible_gpus() -> list[str]:
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = range(torch.cuda.device_count()) if named is None else filter(None, named.split(","))
    return [str(name).strip() for name in names]


def _epochs_logged(runs: Iterable[Path]) -> int:
    logs = [RunFolder(run).log for run in runs]
    return sum(max(0, len(log.read_text().splitlines()) - 1) for log in logs if log.is_file())
