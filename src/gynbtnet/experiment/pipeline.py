"""A whole experiment as a list of steps, from scans on disk to contours for the test patients and a report.

Every step keeps the results of an earlier call: an experiment that was stopped resumes when it is called again.
"""

from dataclasses import replace
from pathlib import Path

from gynbtnet.datasets.cohort import Cohort
from gynbtnet.datasets.split import Split
from gynbtnet.evaluation.calibration.postprocessing_default import NOTE, choose_postprocessing, has_enough_patients
from gynbtnet.evaluation.metrics.evaluation import evaluate
from gynbtnet.experiment.cross_validation import calibrate_from_folds, crossvalidate
from gynbtnet.experiment.folders import Experiment
from gynbtnet.experiment.report import report_experiment
from gynbtnet.experiment.scans import Ingested, Scans, ingest_scans
from gynbtnet.experiment.stage_training import (
    StagesContext,
    prepare_stage,
    train_all_stages,
    train_before_task,
)
from gynbtnet.inference.engine.segmenter import Segmenter
from gynbtnet.inference.engine.settings import PredictionSettings
from gynbtnet.inference.models.evaluated_settings import save_evaluated_settings
from gynbtnet.inference.models.model import Model
from gynbtnet.inference.models.model_loading import load_model
from gynbtnet.inference.prediction_request import PredictionRequest
from gynbtnet.inference.quality.dsc_regression import FEWEST_PATIENTS
from gynbtnet.inference.scan_prediction import predict_scan
from gynbtnet.preparation.planning.plan_files import save_plan
from gynbtnet.recipes.recipe import Recipe
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.progress import console

__all__ = ["Scans", "can_be_calibrated", "predict_cases", "run_experiment"]


def run_experiment(recipe: Recipe, scans: Scans, folder: Path, jobs: int = 1, *, every_fold: bool = False) -> Path:
    """Run the whole experiment: ingest, pretrain, finetune, choose post-processing, predict, evaluate, report.

    Args:
        recipe: the recipe.
        scans: the scans.
        folder: folder of the experiment; an experiment that was stopped resumes.
        jobs: number of parallel processes for ingestion, planning and preparation.
        every_fold: train the task on every fold. The model is then the ensemble of the folds; its post-processing is
            selected, and its predicted DSC calibrated, on the validation patients of all folds.

    Returns:
        The path of the report page.

    Raises:
        BadInput: If recipe and scans don't fit together, or a step can't use its input.
    """
    experiment = Experiment(Path(folder).absolute())
    ingested = ingest_scans(recipe, scans, experiment, jobs)
    context = StagesContext(recipe, ingested, experiment, jobs)
    model = _train_every_fold(context) if every_fold else _train(context)
    console.rule("Test patients")
    predict_cases(model, ingested.test, experiment.test_predictions, recipe.prediction, ingested)
    if ingested.further:
        predict_cases(model, ingested.further, experiment.further_predictions, recipe.prediction, ingested)
    evaluate(ingested.test, experiment.test_predictions, experiment.evaluation)
    save_evaluated_settings(recipe.prediction, experiment.run("task"))
    return report_experiment(experiment)


def can_be_calibrated(folder: Path) -> bool:
    """Return whether an experiment has enough patients outside the test set to calibrate the predicted DSC.

    Args:
        folder: folder of the experiment.

    Raises:
        BadInput: If it has no split.
    """
    folds = Split.load(Experiment(Path(folder)).split).folds
    return sum(len(fold) for fold in folds) >= FEWEST_PATIENTS


def predict_cases(
    model: Segmenter, cohort: Cohort, out: Path, settings: PredictionSettings, ingested: Ingested
) -> None:
    """Predict every case from its source, so that a DICOM scan gets an RTSTRUCT.

    Args:
        model: the model.
        cohort: the cases.
        out: folder of the predictions, ``<out>/<case id>/``.
        settings: settings of the prediction.
        ingested: names of the structures and repairs of DICOM series.
    """
    for case in cohort.cases:
        is_dicom = bool(case.source.series_uid and case.source.ct_folder)
        request = PredictionRequest.from_path(
            model,
            case.source.ct_folder if is_dicom and case.source.ct_folder else case.image,
            out / case.id,
            channels=case.images[1:],
            settings=settings.to_evaluate(is_dicom=is_dicom),
            series_uid=case.source.series_uid,
            repairs=ingested.repairs,
            names=ingested.names,
            synthetic=case.synthetic,
            force=True,
            check=False,
        )
        predict_scan(model, request)


def _train(context: StagesContext) -> Segmenter:
    """Train all stages, and choose the post-processing."""
    settings = context.recipe.prediction
    model = Model.load(train_all_stages(context), weights=settings.weights, device=settings.device)
    return _with_postprocessing(model, context)


def _train_every_fold(context: StagesContext) -> Segmenter:
    """Train all stages, the task on every fold; return the calibrated ensemble of the folds."""
    recipe, ingested, out = context.recipe, context.ingested, context.folders.run("task")
    if (out / "recipe.yaml").is_file():
        raise BadInput(
            f"{out} was trained on one fold. Move it elsewhere to train every fold from the same stages 1 and 2, or "
            "give another --out."
        )
    start = train_before_task(context)
    prepared = prepare_stage(context, "task", ingested.training, recipe.stage("task").plan)
    crossvalidate(prepared, ingested.cohort, recipe, ingested.split, out, start=start)
    calibrate_from_folds(ingested.cohort, recipe, ingested.split, out)
    return load_model(out, recipe.prediction)


def _with_postprocessing(model: Model, context: StagesContext) -> Model:
    """Choose post-processing on the validation patients, and write it with the reason into the model's plan.

    The validation patients are predicted without post-processing, so that a second call makes the same choice.
    """
    console.rule("Post-processing")
    recipe, ingested, folders = context.recipe, context.ingested, context.folders
    bare = replace(model, plan=replace(model.plan, postprocessing=()))
    validation = ingested.training.of_patients(ingested.split.validation_patients(recipe.split.fold))
    for case in validation.cases if has_enough_patients(validation) else ():
        request = PredictionRequest.from_path(
            bare,
            case.image,
            folders.validation_predictions / case.id,
            channels=case.images[1:],
            settings=recipe.prediction.to_evaluate(is_dicom=False),
            names=ingested.names,
            synthetic=case.synthetic,
            force=True,
            check=False,
        )
        predict_scan(bare, request)
    choice = choose_postprocessing(bare.plan.structures, validation, folders.validation_predictions, bare.plan.nesting)
    notes = [note for note in model.plan.notes if not note.startswith(NOTE)]
    plan = replace(model.plan, postprocessing=choice.rules, notes=(*notes, choice.note))
    save_plan(plan, folders.run("task"))
    return replace(model, plan=plan)
