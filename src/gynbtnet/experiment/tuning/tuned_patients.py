"""Patients of a tuning: training and validation patients, without the test patients."""

from dataclasses import dataclass
from pathlib import Path

from gynbtnet.datasets.cohort import MANIFEST, Cohort
from gynbtnet.datasets.ingest_scans import ingest
from gynbtnet.datasets.split import Split, hold_out_patients, split_patients
from gynbtnet.experiment.scans import Scans
from gynbtnet.imaging.structure_names import StructureNames
from gynbtnet.recipes.recipe import Recipe, SupervisedStage
from gynbtnet.runtime.errors import BadInput


@dataclass(frozen=True)
class TunedPatients:
    """Patients of a tuning, without the test patients.

    Attributes:
        cohort: the training and the validation patients.
        training: patients to train on.
        validation: patients to score.
    """

    cohort: Cohort
    training: tuple[str, ...]
    validation: tuple[str, ...]

    @classmethod
    def of_fold(cls, cohort: Cohort, split: Split, fold: int) -> "TunedPatients":
        """Return the training and validation patients of a fold.

        Args:
            cohort: cohort with all patients of the split.
            split: test patients and folds.
            fold: number of the fold.

        Raises:
            BadInput: If cohort and split have different patients, or there is no such fold.
        """
        split.check(cohort)
        validation, training = split.validation_patients(fold), split.training_patients(fold)
        return cls(cohort.of_patients({*training, *validation}), training, validation)


def find_tuned_patients(
    recipe: Recipe, stage: str, scans: Scans, out: Path, *, split: Split | None = None, jobs: int = 1
) -> TunedPatients:
    """Ingest scans, unless they are a cohort, and hold out the test patients.

    The split of a clinic's cohort is the one that :func:`gynbtnet.experiment.run_experiment` makes with the same recipe
    and scans, so that its test patients stay unseen. To know who they are, an export is ingested as a whole. An
    ingested cohort is used as it is, and files of its test patients are not opened.

    Args:
        recipe: the recipe.
        stage: ``task``, ``supervised`` or ``nnunet``.
        scans: ``cohort`` is a clinic's DICOM RT export, for the supervised stage scans in the layout of
            TotalSegmentator, or for both a folder made by ``gynbtnet ingest``.
        out: folder of the tuning.
        split: split of the cohort; None: made by the recipe. The supervised stage has none.
        jobs: number of processes for ingestion.

    Raises:
        BadInput: If the scans can't be used, or recipe, cohort and split don't belong together.
    """
    if not scans.cohort.is_dir():
        raise BadInput(f"There is no folder {scans.cohort}; expected one with scans to tune on.")
    if out.absolute().is_relative_to(scans.cohort.absolute()):
        raise BadInput(f"The tuning {out} would be among its scans in {scans.cohort}; give another --out.")
    supervised = recipe.stage(stage) if stage == "supervised" else None
    structures = supervised.structures if supervised else recipe.structures
    if (scans.cohort / MANIFEST).is_file():
        cohort = Cohort.load(scans.cohort)
    else:
        cohort = _ingest(recipe, stage, structures, scans, out, jobs)
    if structures and cohort.structures != tuple(structures):
        raise BadInput(
            f"The cohort {cohort.folder} has the structures {', '.join(cohort.structures)}, but the recipe "
            f"{recipe.name} has {', '.join(structures)}; ingest the scans with those of the recipe, or change it."
        )
    if supervised:
        return _of_supervised_stage(supervised, cohort, split)
    if split is None:
        split = split_patients(cohort, recipe.split.test, recipe.split.folds, recipe.split.seed)
    return TunedPatients.of_fold(cohort, split, recipe.split.fold)


def _ingest(
    recipe: Recipe, stage: str, structures: tuple[str, ...] | None, scans: Scans, out: Path, jobs: int
) -> Cohort:
    if stage == "supervised":
        return ingest(
            scans.cohort,
            out / "cohort",
            "totalsegmentator",
            structures=structures,
            jobs=jobs,
            allow_overlap=scans.allow_overlap or recipe.stage(stage).plan.expects_overlaps,
        ).cohort
    return ingest(
        scans.cohort,
        out / "cohort",
        structures=structures,
        names=StructureNames.load(recipe.aliases),
        patient_id_from=scans.patient_id_from,
        repairs=scans.repairs,
        jobs=jobs,
        allow_overlap=scans.allow_overlap or recipe.expects_overlaps,
        priority=recipe.priority,
    ).cohort


def _of_supervised_stage(stage: SupervisedStage, cohort: Cohort, split: Split | None) -> TunedPatients:
    """Return the same training and validation patients as stage 2 of an experiment."""
    if split:
        raise BadInput(
            "The supervised stage has no folds: its recipe sets the share of validation patients; omit --split."
        )
    validation = hold_out_patients(cohort.patients, stage.validation, stage.training.seed)
    if not validation:
        raise BadInput("The supervised stage has no validation patients to score; set supervised.validation above 0.")
    return TunedPatients(cohort, tuple(sorted(set(cohort.patients).difference(validation))), validation)
