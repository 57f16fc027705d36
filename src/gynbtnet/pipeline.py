"""The whole experiment as a list of steps, from scans on disk to contours for unseen patients and a report; or stage 1
alone.

Every step keeps what an earlier call finished: a stopped experiment goes on where it was when it is called again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gynbtnet.datasets import dicom_rt_export, scan_folders, totalsegmentator
from gynbtnet.datasets.cohort import Cohort
from gynbtnet.datasets.split import Split, hold_out, split_patients
from gynbtnet.errors import BadInput
from gynbtnet.evaluation.evaluate import evaluate
from gynbtnet.experiment import STAGES, Experiment, StageName
from gynbtnet.experiment_report import report_experiment
from gynbtnet.imaging.structure_names import StructureNames
from gynbtnet.inference.export import predict_scan
from gynbtnet.inference.model import Model
from gynbtnet.inference.settings import PredictionSettings
from gynbtnet.preparation.fingerprint import make_plan
from gynbtnet.preparation.prepare import prepare
from gynbtnet.preparation.settings import PlanSettings
from gynbtnet.preparation.store import MANIFEST, PreparedCohort
from gynbtnet.processes import is_first_process
from gynbtnet.progress import console
from gynbtnet.recipes.loading import save_recipe
from gynbtnet.recipes.recipe import PretrainingStage, Recipe, SupervisedStage, TaskStage
from gynbtnet.training.run_folder import RunFolder
from gynbtnet.training.stages import finetune, pretrain


@dataclass(frozen=True)
class Scans:
    """What an experiment is made of, as it lies on disk.

    Attributes:
        cohort: a clinic's DICOM RT export: the patients to learn from and those to be tested on.
        unlabelled: folders of further scans for stage 1; the training patients' own scans take part unnamed.
        supervised: scans with many organs in the layout of TotalSegmentator, for stage 2.
        further: scans without contours, to be predicted at the end.
    """

    cohort: Path
    unlabelled: tuple[Path, ...] = ()
    supervised: Path | None = None
    further: tuple[Path, ...] = ()


def run_experiment(recipe: Recipe, scans: Scans, folder: Path, jobs: int = 1) -> Path:
    """Walk the whole experiment in ``folder``; returns the report page.

    Raises:
        BadInput: where recipe and scans don't fit together, or a step finds something that it can't use.
    """
    task: TaskStage = recipe.stage("task")
    _check(recipe, scans)
    experiment = Experiment(Path(folder).absolute())
    save_recipe(recipe, experiment.recipe)
    names = StructureNames.load(recipe.aliases)

    cohort = dicom_rt_export.ingest(scans.cohort, experiment.cohort("task"), structures=recipe.structures, names=names)
    split = split_patients(cohort, recipe.split.test, recipe.split.folds, recipe.split.seed)
    split.save(experiment.split)
    seen = cohort.of_patients(set(cohort.patients).difference(split.test))

    start = None
    if recipe.pretraining:
        start = _pretrain(recipe.pretraining, scans, experiment, seen, split, jobs)
    if recipe.supervised and scans.supervised:
        start = _learn_organs(recipe.supervised, scans.supervised, experiment, start, jobs)
    model = _learn_task(task, experiment, seen, split.validation_patients(recipe.split.fold), start, jobs)

    test = cohort.of_patients(split.test)
    _predict_cases(model, test, experiment.test_predictions, recipe.prediction, names)
    if scans.further:
        further = scan_folders.ingest(scans.further, experiment.cohort("further"))
        _predict_cases(model, further, experiment.further_predictions, recipe.prediction, names)
    evaluate(test, experiment.test_predictions, experiment.evaluation)
    return report_experiment(experiment)


def pretrain_alone(sources: Sequence[Path], recipe: PretrainingStage, out: Path, jobs: int = 1) -> Path:
    """Stage 1 on any folders of CTs, or on one folder of prepared scans; returns the run folder ``out``.

    Scans that aren't prepared are ingested and prepared below ``out`` first.

    Raises:
        BadInput: where a source holds neither, or prepared scans are given with others.
    """
    already = [source for source in sources if (source / MANIFEST).is_file()]
    if already and len(sources) > 1:
        raise BadInput(
            f"{already[0]} holds prepared scans and is given with {len(sources) - 1} other folders; prepared scans are "
            "trained on alone, so give that folder by itself, or the scans that it was prepared from."
        )
    prepared = PreparedCohort.open(already[0]) if already else _prepare_scans(sources, recipe.plan, out, jobs)
    validation = hold_out(prepared.patients, recipe.validation, recipe.training.seed)
    return pretrain(prepared, recipe.training, out, validation_ids=prepared.ids_of(validation))


def _prepare_scans(sources: Sequence[Path], settings: PlanSettings, out: Path, jobs: int) -> PreparedCohort:
    scans = RunFolder(out).scans
    if not is_first_process():  # the others are started when the first has prepared
        return PreparedCohort.open(scans / "prepared")
    cohort = scan_folders.ingest(sources, scans / "cohort", name=out.name)
    return prepare(cohort, make_plan(cohort, settings), scans / "prepared", jobs)


def _check(recipe: Recipe, scans: Scans) -> None:
    """Say what is wrong before the hours are spent."""
    for folder in (scans.cohort, *scans.unlabelled, *((scans.supervised,) if scans.supervised else ()), *scans.further):
        if not folder.exists():
            raise BadInput(f"There is no folder {folder}; expected scans to run the experiment on.")
    stages = [stage for stage in (recipe.pretraining, recipe.supervised, recipe.task) if stage]
    if any(stage.training.devices > 1 for stage in stages):
        raise BadInput(
            f"The recipe {recipe.name} trains on several devices, which a whole experiment can't; train its stages one "
            "by one with `gynbtnet pretrain` and `gynbtnet finetune`, or set devices to 1."
        )
    if recipe.supervised and not scans.supervised:
        raise BadInput(
            f"The recipe {recipe.name} has a supervised stage, and no scans were given for it; name them with "
            "--supervised, or leave the stage out with --set supervised=null."
        )


def _pretrain(
    recipe: PretrainingStage, scans: Scans, experiment: Experiment, seen: Cohort, split: Split, jobs: int
) -> Path:
    """Stage 1, on the given scans and those of the patients who are not held out."""
    console.rule(STAGES["pretraining"])
    cohort = scan_folders.ingest(scans.unlabelled, experiment.cohort("pretraining"), also=seen)
    unseen = set(cohort.patients).intersection(split.test)
    if unseen:
        raise BadInput(
            f"{len(unseen)} of the patients held out for the test are among the unlabelled scans, where the network "
            "would learn from them; take their scans out of the folders given with --unlabelled."
        )
    prepared = _prepare(cohort, recipe.plan, experiment, "pretraining", jobs)
    validation = hold_out(cohort.patients, recipe.validation, recipe.training.seed)
    return pretrain(
        prepared, recipe.training, experiment.run("pretraining"), validation_ids=prepared.ids_of(validation)
    )


def _learn_organs(recipe: SupervisedStage, scans: Path, experiment: Experiment, start: Path | None, jobs: int) -> Path:
    """Stage 2."""
    console.rule(STAGES["supervised"])
    cohort = totalsegmentator.ingest(scans, experiment.cohort("supervised"), structures=recipe.structures)
    prepared = _prepare(cohort, recipe.plan, experiment, "supervised", jobs)
    validation = hold_out(cohort.patients, recipe.validation, recipe.training.seed)
    return finetune(
        prepared,
        recipe.training,
        experiment.run("supervised"),
        validation_ids=prepared.ids_of(validation),
        start=start,
    )


def _learn_task(
    recipe: TaskStage, experiment: Experiment, seen: Cohort, validation: tuple[str, ...], start: Path | None, jobs: int
) -> Path:
    """Stage 3; returns the model folder."""
    console.rule(STAGES["task"])
    prepared = _prepare(seen, recipe.plan, experiment, "task", jobs)
    return finetune(
        prepared, recipe.training, experiment.run("task"), validation_ids=prepared.ids_of(validation), start=start
    )


def _prepare(
    cohort: Cohort, settings: PlanSettings, experiment: Experiment, stage: StageName, jobs: int
) -> PreparedCohort:
    plan = make_plan(cohort, settings)
    plan.save(experiment.plan(stage))
    return prepare(cohort, plan, experiment.prepared(stage), jobs)


def _predict_cases(model: Path, cohort: Cohort, out: Path, settings: PredictionSettings, names: StructureNames) -> None:
    """Contour every case from its source, so that a DICOM scan gets its RTSTRUCT: ``<out>/<case id>/``."""
    loaded = Model.load(model, weights=settings.weights, device=settings.device)
    for case in cohort.cases:
        scan = case.source.ct_folder if case.source.series_uid and case.source.ct_folder else case.image
        predict_scan(
            loaded,
            scan,
            out / case.id,
            settings=settings,
            series_uid=case.source.series_uid,
            names=names,
            synthetic=case.synthetic,
        )
