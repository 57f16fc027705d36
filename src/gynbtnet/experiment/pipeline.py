"""The whole experiment as a list of steps: from scans on disk to contours for unseen patients and a report.

Every step keeps what an earlier call finished: a stopped experiment goes on where it was when it is called again.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path

from gynbtnet.datasets.case import Case
from gynbtnet.datasets.cohort import Cohort
from gynbtnet.datasets.ingest_scans import ingest
from gynbtnet.datasets.ingestion.scan_identity import DICOM
from gynbtnet.datasets.patient_key import PatientKey
from gynbtnet.datasets.split import Split, hold_out_patients, split_patients
from gynbtnet.evaluation.calibration.postprocessing_default import NOTE, choose_postprocessing, has_enough_patients
from gynbtnet.evaluation.metrics.evaluation import evaluate
from gynbtnet.experiment.folders import STAGES, Experiment, StageName
from gynbtnet.experiment.report import report_experiment
from gynbtnet.imaging.dicom.slice_repairs import Repairs
from gynbtnet.imaging.structure_names import StructureNames
from gynbtnet.inference.engine.segmenter import Segmenter
from gynbtnet.inference.engine.settings import PredictionSettings
from gynbtnet.inference.models.model import Model
from gynbtnet.inference.prediction_request import PredictionRequest
from gynbtnet.inference.scan_prediction import predict_scan
from gynbtnet.preparation.planning.make_plan import make_plan
from gynbtnet.preparation.planning.plan_files import save_plan
from gynbtnet.preparation.planning.settings import PlanSettings
from gynbtnet.preparation.prepare import prepare
from gynbtnet.preparation.store import PreparedCohort
from gynbtnet.recipes.loading import load_run_recipe, save_recipe
from gynbtnet.recipes.recipe import AnyPretraining, Recipe, SupervisedStage, TaskStage
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.json_files import sha256_of
from gynbtnet.runtime.processes import launcher_world_size
from gynbtnet.runtime.progress import console
from gynbtnet.training.flat_settings import flatten_settings
from gynbtnet.training.stages import finetune, pretrain


@dataclass(frozen=True)
class Scans:
    """What an experiment is made of, as it lies on disk.

    Attributes:
        cohort: a clinic's DICOM RT export: the patients to learn from and those to be tested on.
        unlabelled: folders of further scans for stage 1; the training patients' own scans take part unnamed.
        supervised: scans with many organs in the layout of TotalSegmentator, for stage 2.
        further: folders of scans without contours, to be predicted at the end.
        patient_id_from: source of the cohort's patient identifiers, see :func:`gynbtnet.datasets.ingest_scans.ingest`.
        repairs: which flaws of CT series to mend instead of refusing them.
        allow_overlap: see :func:`gynbtnet.datasets.ingest_scans.ingest`.
    """

    cohort: Path
    unlabelled: tuple[Path, ...] = ()
    supervised: Path | None = None
    further: tuple[Path, ...] = ()
    patient_id_from: str = DICOM
    repairs: Repairs = field(default_factory=Repairs)
    allow_overlap: bool = False


@dataclass(frozen=True)
class Ingested:
    """What an experiment's scans became.

    Attributes:
        cohort: a clinic's patients, all of them.
        split: who of them is held out; saved in the experiment.
        unlabelled, organs: for stages 1 and 2; None where the recipe leaves the stage out.
        further: scans that are predicted and have no contours.
        names: how structures are called.
    """

    cohort: Cohort
    split: Split
    unlabelled: Cohort | None
    organs: Cohort | None
    further: Cohort | None
    names: StructureNames

    @property
    def seen(self) -> Cohort:
        """The patients who are learned from."""
        return self.cohort.of_patients(set(self.cohort.patients).difference(self.split.test))

    @property
    def test(self) -> Cohort:
        """The patients who are held out."""
        return self.cohort.of_patients(self.split.test)


def run_experiment(recipe: Recipe, scans: Scans, folder: Path, jobs: int = 1) -> Path:
    """Walk the whole experiment in ``folder``; returns the report page.

    Raises:
        BadInput: where recipe and scans don't fit together, or a step finds something that it can't use.
    """
    experiment = Experiment(Path(folder).absolute())
    ingested = ingest_scans(recipe, scans, experiment, jobs)
    model = Model.load(
        train_stages(recipe, ingested, experiment, jobs),
        weights=recipe.prediction.weights,
        device=recipe.prediction.device,
    )
    model = _with_postprocessing(model, recipe, ingested, experiment)
    console.rule("Unseen patients")
    predict_cases(model, ingested.test, experiment.test_predictions, recipe.prediction, ingested.names, scans.repairs)
    if ingested.further:
        further = experiment.further_predictions
        predict_cases(model, ingested.further, further, recipe.prediction, ingested.names, scans.repairs)
    evaluate(ingested.test, experiment.test_predictions, experiment.evaluation)
    return report_experiment(experiment)


def ingest_scans(recipe: Recipe, scans: Scans, experiment: Experiment, jobs: int = 1) -> Ingested:
    """Bring all scans into cohorts and hold out the test patients, before anything is learned.

    Raises:
        BadInput: where recipe and scans don't fit together, or a scan can't be used.
    """
    recipe.stage("task")
    _check(recipe, scans, experiment)
    names = StructureNames.load(recipe.aliases)
    key = PatientKey.load(experiment.key)

    console.rule("Scans")
    cohort = ingest(
        scans.cohort,
        experiment.cohort("task"),
        structures=recipe.structures,
        names=names,
        patient_id_from=scans.patient_id_from,
        repairs=scans.repairs,
        key=key,
        jobs=jobs,
        allow_overlap=scans.allow_overlap,
    ).cohort
    split = split_patients(cohort, recipe.split.test, recipe.split.folds, recipe.split.seed)
    split.validation_patients(recipe.split.fold)
    save_recipe(recipe, experiment.recipe)
    split.save(experiment.split)
    unlabelled = _ingest_unlabelled(scans, experiment, key, cohort, split, jobs) if recipe.pretraining else None
    organs = _ingest_organs(scans, experiment, recipe.supervised, jobs) if recipe.supervised else None
    further = (
        ingest(scans.further, experiment.cohort("further"), "scans", repairs=scans.repairs, key=key, jobs=jobs).cohort
        if scans.further
        else None
    )
    return Ingested(cohort, split, unlabelled, organs, further, names)


def train_stages(recipe: Recipe, ingested: Ingested, experiment: Experiment, jobs: int = 1) -> Path:
    """The stages of a recipe, one after another; returns the run folder of the last, which is the model."""
    start = train_before_task(recipe, ingested, experiment, jobs)
    validation = ingested.split.validation_patients(recipe.split.fold)
    return _learn("task", recipe.stage("task"), ingested.seen, validation, experiment, start, jobs)


def train_before_task(recipe: Recipe, ingested: Ingested, experiment: Experiment, jobs: int = 1) -> Path | None:
    """Stages 1 and 2, as far as the recipe has them; returns the run folder that the task starts from, if any."""
    start = None
    if recipe.pretraining and ingested.unlabelled:
        start = _pretrain(recipe.pretraining, ingested.unlabelled, experiment, jobs)
    if recipe.supervised and ingested.organs:
        drawn = _drawn(recipe.supervised, ingested.organs)
        start = _learn("supervised", recipe.supervised, ingested.organs, drawn, experiment, start, jobs)
    return start


def _with_postprocessing(model: Model, recipe: Recipe, ingested: Ingested, experiment: Experiment) -> Model:
    """Choose post-processing on the validation patients, and write it with its reason into the model's plan.

    They are predicted without any, so that a second call chooses the same.
    """
    console.rule("Post-processing")
    bare = replace(model, plan=replace(model.plan, postprocessing=()))
    validation = ingested.seen.of_patients(ingested.split.validation_patients(recipe.split.fold))
    for case in validation.cases if has_enough_patients(validation) else ():
        request = PredictionRequest.from_path(
            bare,
            case.image,
            experiment.validation_predictions / case.id,
            channels=case.images[1:],
            settings=recipe.prediction.to_evaluate(is_dicom=False),
            names=ingested.names,
            synthetic=case.synthetic,
            force=True,
            check=False,
        )
        predict_scan(bare, request)
    chosen = choose_postprocessing(bare.plan.structures, validation, experiment.validation_predictions)
    notes = [note for note in model.plan.notes if not note.startswith(NOTE)]
    plan = replace(model.plan, postprocessing=chosen.rules, notes=(*notes, chosen.note))
    save_plan(plan, experiment.run("task"))
    return replace(model, plan=plan)


def _check(recipe: Recipe, scans: Scans, experiment: Experiment) -> None:
    """Say what is wrong before anything is written and the hours are spent."""
    supervised = (scans.supervised,) if scans.supervised else ()
    for folder in (scans.cohort, *scans.unlabelled, *supervised, *scans.further):
        if not folder.is_dir():
            raise BadInput(f"There is no folder {folder}; expected one with scans to run the experiment on.")
        if experiment.folder.is_relative_to(folder.absolute()):
            raise BadInput(
                f"The experiment {experiment.folder} would lie among its scans in {folder}; give another --out."
            )
    stages = [stage for stage in (recipe.pretraining, recipe.supervised, recipe.task) if stage]
    if any(stage.training.devices > 1 for stage in stages) or launcher_world_size() not in (None, (1, 1)):
        raise BadInput(
            f"Several devices were asked for by the recipe {recipe.name}, torchrun or Slurm, and a whole experiment "
            "trains on one; train its stages one by one with `gynbtnet pretrain` and `gynbtnet finetune`."
        )
    if recipe.supervised and not scans.supervised:
        raise BadInput(
            f"The recipe {recipe.name} has a supervised stage, and no scans were given for it; name them with "
            "--supervised, or leave the stage out with --set supervised=null."
        )
    for stage, given, option in (
        (recipe.pretraining, scans.unlabelled, "--unlabelled"),
        (recipe.supervised, scans.supervised, "--supervised"),
    ):
        if given and not stage:
            raise BadInput(
                f"{option} names scans for a stage that the recipe {recipe.name} leaves out; leave one away."
            )
    if scans.patient_id_from != DICOM and scans.unlabelled:
        raise BadInput(
            "Patients told apart by folders or a table can't be recognised among unlabelled scans, and one held out "
            "might be learned from; leave --unlabelled out, or have patients told apart by PatientID."
        )
    if experiment.recipe.is_file():
        _check_same_experiment(recipe, experiment)


def _check_same_experiment(recipe: Recipe, experiment: Experiment) -> None:
    """An experiment that stands goes on only as it was begun; how results are predicted and told may change."""
    compared = {"name", "structures", "aliases", "split", *STAGES}
    begun, asked = (
        flatten_settings(one.model_dump(mode="json", include=compared))
        for one in (load_run_recipe(experiment.recipe), recipe)
    )
    for setting in [*begun, *asked]:
        if begun.get(setting) != asked.get(setting):
            raise BadInput(
                f"The experiment in {experiment.folder} was begun with other settings under {setting}, "
                f"{begun.get(setting)} instead of {asked.get(setting)}; give another "
                f"--out, or the recipe that it was begun with, {experiment.recipe}."
            )


def _ingest_unlabelled(
    scans: Scans, experiment: Experiment, key: PatientKey, whole: Cohort, split: Split, jobs: int
) -> Cohort:
    """The given scans and those of the patients who are not held out; a held-out patient's scan is refused."""
    seen, test = whole.of_patients(set(whole.patients).difference(split.test)), whole.of_patients(split.test)
    cohort = ingest(
        scans.unlabelled,
        experiment.cohort("pretraining"),
        "scans",
        include_cohort=seen,
        repairs=scans.repairs,
        key=key,
        jobs=jobs,
    ).cohort
    leaked = [case for case in cohort.cases if any(_of_same_scan(case, held_out) for held_out in test.cases)]
    if leaked:
        raise BadInput(
            f"{len(leaked)} scans of patients held out for the test are among the unlabelled ones, where the network "
            f"would learn from them, the first in {leaked[0].source.ct_folder}; take them out of these folders."
        )
    return cohort


def _of_same_scan(case: Case, other: Case) -> bool:
    """Whether two cases are of one patient or one scan, also where somebody has renamed the patient."""
    if case.patient == other.patient or (case.source.series_uid and case.source.series_uid == other.source.series_uid):
        return True
    return case.geometry == other.geometry and sha256_of(case.image) == sha256_of(other.image)


def _ingest_organs(scans: Scans, experiment: Experiment, recipe: SupervisedStage, jobs: int) -> Cohort:
    if scans.supervised is None:
        raise ValueError("a supervised stage needs scans")
    return ingest(
        scans.supervised,
        experiment.cohort("supervised"),
        "totalsegmentator",
        structures=recipe.structures,
        jobs=jobs,
        allow_overlap=scans.allow_overlap,
    ).cohort


def _pretrain(recipe: AnyPretraining, cohort: Cohort, experiment: Experiment, jobs: int) -> Path:
    """Stage 1."""
    prepared = prepare_stage("pretraining", cohort, recipe.plan, experiment, jobs)
    validation = _drawn(recipe, cohort)
    return pretrain(
        prepared,
        recipe.training,
        experiment.run("pretraining"),
        training_ids=prepared.ids_of(set(cohort.patients).difference(validation)),
        validation_ids=prepared.ids_of(validation),
    )


def _learn(
    stage: StageName,
    recipe: SupervisedStage | TaskStage,
    cohort: Cohort,
    validation: tuple[str, ...],
    experiment: Experiment,
    start: Path | None,
    jobs: int,
) -> Path:
    """Stages 2 and 3."""
    prepared = prepare_stage(stage, cohort, recipe.plan, experiment, jobs)
    return finetune(
        prepared,
        recipe.training,
        experiment.run(stage),
        training_ids=prepared.ids_of(set(cohort.patients).difference(validation)),
        validation_ids=prepared.ids_of(validation),
        start=start,
    )


def _drawn(recipe: AnyPretraining | SupervisedStage, cohort: Cohort) -> tuple[str, ...]:
    """The patients who validate a stage that has no folds."""
    return hold_out_patients(cohort.patients, recipe.validation, recipe.training.seed)


def prepare_stage(
    stage: StageName, cohort: Cohort, settings: PlanSettings, experiment: Experiment, jobs: int = 1
) -> PreparedCohort:
    """Plan a stage's scans and prepare them."""
    console.rule(STAGES[stage])
    plan = make_plan(cohort, settings, jobs=jobs)
    save_plan(plan, experiment.plan(stage))
    return prepare(cohort, plan, experiment.prepared(stage), jobs)


def predict_cases(
    model: Segmenter, cohort: Cohort, out: Path, settings: PredictionSettings, names: StructureNames, repairs: Repairs
) -> None:
    """Contour every case from its source, so that a DICOM scan gets its RTSTRUCT: ``<out>/<case id>/``."""
    for case in cohort.cases:
        is_dicom = bool(case.source.series_uid and case.source.ct_folder)
        request = PredictionRequest.from_path(
            model,
            case.source.ct_folder if is_dicom and case.source.ct_folder else case.image,
            out / case.id,
            channels=case.images[1:],
            settings=settings.to_evaluate(is_dicom=is_dicom),
            series_uid=case.source.series_uid,
            repairs=repairs,
            names=names,
            synthetic=case.synthetic,
            force=True,
            check=False,
        )
        predict_scan(model, request)
