"""Scans of an experiment: checks, ingestion into cohorts, and the split into training and test patients."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gynbtnet.datasets.adapters.layout_detection import detect_layout
from gynbtnet.datasets.case import Case
from gynbtnet.datasets.cohort import Cohort
from gynbtnet.datasets.ingest_scans import ingest
from gynbtnet.datasets.ingestion.scan_identity import DICOM
from gynbtnet.datasets.nnunet_folds import load_split
from gynbtnet.datasets.patient_key import PatientKey
from gynbtnet.datasets.reference_contours import refuse_automatic
from gynbtnet.datasets.split import Split, split_patients
from gynbtnet.experiment.folders import STAGES, Experiment
from gynbtnet.imaging.dicom.slice_repairs import Repairs
from gynbtnet.imaging.structure_names import StructureNames
from gynbtnet.recipes.loading import load_run_recipe, save_recipe
from gynbtnet.recipes.recipe import Recipe, SupervisedStage
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.json_files import sha256_of
from gynbtnet.runtime.phrases import counted
from gynbtnet.runtime.processes import launcher_world_size
from gynbtnet.runtime.progress import console
from gynbtnet.training.devices import check_budget
from gynbtnet.training.flat_settings import flatten_settings


@dataclass(frozen=True)
class Scans:
    """Scans on disk from which an experiment is made.

    Attributes:
        cohort: scans and contours of the training and the test patients: a clinic's DICOM RT export, an ingested
            cohort, or an nnU-Net raw dataset.
        unlabelled: folders of further scans for stage 1, in addition to the training patients' own scans.
        supervised: scans with many organs in the layout of TotalSegmentator, for stage 2.
        further: folders of scans without contours, to be predicted at the end.
        patient_id_from: source of the patients' identity, see :mod:`gynbtnet.datasets.ingestion.scan_identity`.
        repairs: defects of CT series to repair; series with other defects are refused.
        allow_overlap: see :func:`gynbtnet.datasets.ingest_scans.ingest`; a plan with overlapping outputs implies it.
        allow_automatic: train and test on contours that GynBTNet predicted and nobody has approved.
        rtstruct: rules that select one of several structure sets on one CT, see
            :mod:`gynbtnet.datasets.ingestion.structure_set_choice`.
        split: ``split.json`` or nnU-Net's ``splits_final.json`` of these scans; None: a new split by the recipe.
    """

    cohort: Path
    unlabelled: tuple[Path, ...] = ()
    supervised: Path | None = None
    further: tuple[Path, ...] = ()
    patient_id_from: str = DICOM
    repairs: Repairs = field(default_factory=Repairs)
    allow_overlap: bool = False
    allow_automatic: bool = False
    rtstruct: tuple[str, ...] = ()
    split: Path | None = None


@dataclass(frozen=True)
class Ingested:
    """The scans of an experiment after ingestion.

    Attributes:
        cohort: all patients of the clinic.
        split: its test patients and folds, as saved in the experiment.
        unlabelled: scans for stage 1; None if the recipe has no such stage.
        organs: scans for stage 2; None if the recipe has no such stage.
        further: scans without contours that are predicted at the end; None if there are none.
        names: names of the structures.
        repairs: repairs that predictions from DICOM need too.
    """

    cohort: Cohort
    split: Split
    unlabelled: Cohort | None
    organs: Cohort | None
    further: Cohort | None
    names: StructureNames
    repairs: Repairs

    @property
    def training(self) -> Cohort:
        """The patients outside the test set."""
        return _training_patients(self.cohort, self.split)

    @property
    def test(self) -> Cohort:
        """The test patients."""
        return self.cohort.of_patients(self.split.test)


@dataclass(frozen=True)
class _Ingestion:
    """Settings that every ingestion of an experiment shares."""

    scans: Scans
    experiment: Experiment
    key: PatientKey
    jobs: int


def ingest_scans(recipe: Recipe, scans: Scans, experiment: Experiment, jobs: int = 1) -> Ingested:
    """Ingest all scans and hold out the test patients, before anything is trained.

    Args:
        recipe: recipe with a task stage.
        scans: the scans.
        experiment: folder of the experiment; receives cohorts, recipe, patient key and split.
        jobs: number of parallel processes.

    Raises:
        BadInput: If recipe and scans don't fit together, or a scan can't be used.
    """
    recipe.stage("task")
    _check(recipe, scans, experiment)
    names = StructureNames.load(recipe.aliases)
    ingestion = _Ingestion(scans, experiment, PatientKey.load(experiment.key), jobs)

    console.rule("Scans")
    cohort = _ingest_clinic(ingestion, recipe, names)
    split = _split(scans, cohort, recipe)
    if experiment.split.is_file() and Split.load(experiment.split) != split:
        raise BadInput(
            f"The experiment in {experiment.folder} was begun with another split, {experiment.split}; give the same "
            "scans and --split again, or another --out."
        )
    split.validation_patients(recipe.split.fold)
    save_recipe(recipe, experiment.recipe)
    split.save(experiment.split)
    return Ingested(
        cohort=cohort,
        split=split,
        unlabelled=_ingest_unlabelled(ingestion, cohort, split) if recipe.pretraining else None,
        organs=_ingest_organs(ingestion, recipe.supervised, cohort, split) if recipe.supervised else None,
        further=_ingest_further(ingestion) if scans.further else None,
        names=names,
        repairs=scans.repairs,
    )


def _split(scans: Scans, cohort: Cohort, recipe: Recipe) -> Split:
    """Return the split that the user gives, or a new one by the recipe."""
    if scans.split is None:
        made = split_patients(cohort, recipe.split.test, recipe.split.folds, recipe.split.seed)
        if not made.test:
            raise BadInput(
                f"The recipe {recipe.name} holds out no patient for the test (split.test is {recipe.split.test}), so "
                "no model could be evaluated. Hold out at least one, such as with --set split.test=1, or "
                "cross-validate with `gynbtnet finetune --every-fold`."
            )
        return made
    split = load_split(scans.split, cohort)
    if not split.test:
        raise BadInput(
            f"{scans.split} holds out no patient for the test: all patients of {scans.cohort} are in its folds. Remove "
            "some patients from all folds, or cross-validate with `gynbtnet finetune --every-fold`."
        )
    return split


def _training_patients(cohort: Cohort, split: Split) -> Cohort:
    return cohort.of_patients(set(cohort.patients).difference(split.test))


def _ingest_clinic(ingestion: _Ingestion, recipe: Recipe, names: StructureNames) -> Cohort:
    scans = ingestion.scans
    layout = detect_layout(scans.cohort)
    is_dicom = layout == "dicom-rt"
    if scans.rtstruct and not is_dicom:
        raise BadInput(
            f"--rtstruct selects among the RTSTRUCTs of a DICOM export, and {scans.cohort} is none; omit it."
        )
    cohort = ingest(
        scans.cohort,
        ingestion.experiment.cohort("task"),
        layout,
        structures=recipe.structures,
        names=names,
        patient_id_from=scans.patient_id_from,
        repairs=scans.repairs if is_dicom else None,
        rtstruct=scans.rtstruct,
        key=ingestion.key,
        jobs=ingestion.jobs,
        allow_overlap=scans.allow_overlap or recipe.expects_overlaps,
        priority=recipe.priority,
    ).cohort
    if not scans.allow_automatic:
        refuse_automatic(cohort, "for training")
    return cohort


def _ingest_unlabelled(ingestion: _Ingestion, clinic: Cohort, split: Split) -> Cohort:
    """Ingest the unlabelled scans together with those of the training patients; refuse scans of test patients."""
    cohort = ingest(
        ingestion.scans.unlabelled,
        ingestion.experiment.cohort("pretraining"),
        "scans",
        include_cohort=_training_patients(clinic, split),
        repairs=ingestion.scans.repairs,
        key=ingestion.key,
        jobs=ingestion.jobs,
    ).cohort
    test = clinic.of_patients(split.test)
    patients = set(split.test)
    _refuse_test_scans(
        "unlabelled scans", [case for case in cohort.cases if case.patient in patients or _is_any_of(case, test)]
    )
    return cohort


def _refuse_test_scans(scans: str, leaked: Sequence[Case]) -> None:
    if leaked:
        raise BadInput(
            f"The {scans} include {counted(len(leaked), 'scan')} of patients held out for the test, the first "
            f"in {leaked[0].source.ct_folder}. Remove every such scan, or the model would be trained on test patients."
        )


def _is_any_of(case: Case, others: Cohort) -> bool:
    """Return True if a case has the same scan as one of the others, also if the patient was renamed."""
    return any(_is_same_scan(case, other) for other in others.cases)


def _is_same_scan(case: Case, other: Case) -> bool:
    if case.source.series_uid and case.source.series_uid == other.source.series_uid:
        return True
    return case.geometry == other.geometry and sha256_of(case.image) == sha256_of(other.image)


def _ingest_organs(ingestion: _Ingestion, stage: SupervisedStage, clinic: Cohort, split: Split) -> Cohort:
    """Ingest the scans with many organs; refuse scans of test patients, who have other names there."""
    if ingestion.scans.supervised is None:
        raise ValueError("a supervised stage needs scans")
    cohort = ingest(
        ingestion.scans.supervised,
        ingestion.experiment.cohort("supervised"),
        "totalsegmentator",
        structures=stage.structures,
        jobs=ingestion.jobs,
        allow_overlap=ingestion.scans.allow_overlap or stage.plan.expects_overlaps,
    ).cohort
    test = clinic.of_patients(split.test)
    _refuse_test_scans("scans of stage 2", [case for case in cohort.cases if _is_any_of(case, test)])
    return cohort


def _ingest_further(ingestion: _Ingestion) -> Cohort:
    return ingest(
        ingestion.scans.further,
        ingestion.experiment.cohort("further"),
        "scans",
        repairs=ingestion.scans.repairs,
        key=ingestion.key,
        jobs=ingestion.jobs,
    ).cohort


def _check(recipe: Recipe, scans: Scans, experiment: Experiment) -> None:
    """Check recipe, scans and folder before anything is written or trained."""
    _check_folders(scans, experiment)
    _check_devices(recipe)
    _check_stages(recipe, scans)
    if experiment.recipe.is_file():
        _check_same_experiment(recipe, experiment)
    else:
        _check_budgets(recipe)


def _check_budgets(recipe: Recipe) -> None:
    stages = [stage for stage in (recipe.pretraining, recipe.supervised, recipe.task) if stage]
    for stage in stages:
        check_budget(stage.training.budget, stage.training.accelerator)


def _check_folders(scans: Scans, experiment: Experiment) -> None:
    supervised = (scans.supervised,) if scans.supervised else ()
    for folder in (scans.cohort, *scans.unlabelled, *supervised, *scans.further):
        if not folder.is_dir():
            raise BadInput(f"There is no folder {folder}; expected one with scans to run the experiment on.")
        if experiment.folder.is_relative_to(folder.absolute()):
            raise BadInput(
                f"The experiment {experiment.folder} would be among its scans in {folder}; give another --out."
            )


def _check_devices(recipe: Recipe) -> None:
    stages = [stage for stage in (recipe.pretraining, recipe.supervised, recipe.task) if stage]
    if any(stage.training.devices > 1 for stage in stages) or launcher_world_size() not in (None, (1, 1)):
        raise BadInput(
            f"The recipe {recipe.name}, torchrun or Slurm requests several devices, but a whole experiment trains on "
            "one; train its stages one by one with `gynbtnet pretrain` and `gynbtnet finetune`."
        )


def _check_stages(recipe: Recipe, scans: Scans) -> None:
    if recipe.supervised and not scans.supervised:
        raise BadInput(
            f"The recipe {recipe.name} has a supervised stage, but no scans were given for it; name them with "
            "--supervised, or remove the stage with --set supervised=null."
        )
    for stage, folders, option in (
        (recipe.pretraining, scans.unlabelled, "--unlabelled"),
        (recipe.supervised, scans.supervised, "--supervised"),
    ):
        if folders and not stage:
            raise BadInput(
                f"{option} names scans for a stage that the recipe {recipe.name} doesn't have; remove the option or "
                "add the stage."
            )
    if scans.patient_id_from != DICOM and scans.unlabelled:
        raise BadInput(
            "Patients identified by folders or a table can't be recognised among unlabelled scans, which might be of "
            "test patients. Omit --unlabelled, or identify patients by PatientID."
        )


def _check_same_experiment(recipe: Recipe, experiment: Experiment) -> None:
    """Check that the recipe equals that of an existing experiment, except for prediction and description."""
    compared = {"name", "structures", "aliases", "split", *STAGES}
    begun, requested = (
        flatten_settings(version.model_dump(mode="json", include=compared))
        for version in (load_run_recipe(experiment.recipe), recipe)
    )
    for setting in [*begun, *requested]:
        if begun.get(setting) != requested.get(setting):
            raise BadInput(
                f"The experiment in {experiment.folder} was begun with other settings under {setting}, "
                f"{begun.get(setting)} instead of {requested.get(setting)}; give another "
                f"--out, or the recipe that it was begun with, {experiment.recipe}."
            )
