"""Commands that plan, prepare and train."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gynbtnet.cli.application import command, console
from gynbtnet.cli.options import (
    AllowAutomatic,
    Changes,
    Cluster,
    CohortFolder,
    GantryTilt,
    Jobs,
    Memory,
    MissingSlices,
    Out,
    PreparedFolder,
    RecipeName,
    SplitFile,
    UnequalSpacing,
)
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.phrases import counted

if TYPE_CHECKING:
    from gynbtnet.datasets.cohort import Cohort
    from gynbtnet.preparation.store import PreparedCohort
    from gynbtnet.recipes.recipe import Recipe


class Stage(StrEnum):
    """Training stage."""

    pretraining = "pretraining"
    supervised = "supervised"
    task = "task"


class LearnedStage(StrEnum):
    """Training stage that learns segmentation."""

    supervised = "supervised"
    task = "task"


@command(
    "gynbtnet plan demo/steps/cohorts/task demo --stage task --split demo/steps/split.json --out demo/steps/plans/task"
)
def plan(
    source: Annotated[
        Path,
        typer.Argument(metavar="COHORT", help="Folder made by gynbtnet ingest, or the fingerprint of an earlier plan."),
    ],
    recipe: RecipeName,
    out: Out,
    stage: Annotated[Stage, typer.Option(help="The part of the recipe to plan.")],
    split: SplitFile = None,
    like: Annotated[
        Path | None,
        typer.Option(help="Take spacing, normalisation, patch and network from a folder that nnU-Net trained."),
    ] = None,
    set_: Changes = None,
    jobs: Jobs = 1,
) -> None:
    """Plan the preparation: spacing, normalisation, patch size, network. Test patients are excluded.

    The measurements are stored next to the plan, as dataset_fingerprint.json. Given instead of the cohort, this file
    makes other plans without reading a scan. If patch_size and batch_size are null, they are chosen for plan_memory_gb.
    """
    from gynbtnet.preparation.planning.fingerprint import FINGERPRINT, Fingerprint, take_fingerprint
    from gynbtnet.preparation.planning.make_plan import make_plan
    from gynbtnet.preparation.planning.plan_files import plan_like, save_plan
    from gynbtnet.recipes.loading import load_recipe

    settings = load_recipe(recipe, set_ or ()).stage(stage.value).plan
    if source.name == FINGERPRINT:
        if split:
            raise BadInput(
                f"{source} already includes all patients, so --split can't exclude any; leave --split out, or give the "
                "cohort instead."
            )
        fingerprint = Fingerprint.load(source)
    else:
        _refuse_same(out, source)
        fingerprint = take_fingerprint(_without_test(source, split), jobs=jobs)
    made = make_plan(fingerprint, settings)
    made = plan_like(made, like) if like else made
    fingerprint.save(out)
    save_plan(made, out)
    for note in made.notes:
        console.print(note)
    console.print(
        f"{'×'.join(f'{s:.3g}' for s in made.spacing)} mm, {counted(made.batch_size, 'patch', 'patches')} of "
        f"{'×'.join(map(str, made.patch_size))}: {out}"
    )


@command(
    "gynbtnet prepare demo/steps/cohorts/task demo/steps/plans/task --split demo/steps/split.json "
    "--out demo/steps/prepared/task"
)
def prepare(
    cohort: CohortFolder,
    plan: Annotated[Path, typer.Argument(help="Folder with plans.json.")],
    out: Out,
    split: SplitFile = None,
    jobs: Jobs = 1,
    memory: Memory = None,
    cluster: Cluster = None,
    allow_automatic: AllowAutomatic = False,
) -> None:
    """Resample, normalise and store the scans for training."""
    from gynbtnet.preparation.planning.plan_files import load_plan
    from gynbtnet.preparation.prepare_cohort import prepare
    from gynbtnet.runtime.parallel import use_cluster

    _refuse_same(out, cohort)
    settings = load_plan(plan)
    for note in settings.notes:
        console.print(note)
    with use_cluster(cluster):
        prepared = prepare(_without_test(cohort, split), settings, out, jobs, memory, allow_automatic=allow_automatic)
    console.print(f"{counted(len(prepared.cases), 'case')} in {out}")


@command("gynbtnet import-nnunet demo/steps/prepared/task --preset XS --out demo/steps/imported")
def import_nnunet(
    nnunet: Annotated[Path, typer.Argument(help="Dataset that nnU-Net preprocessed, a folder in nnUNet_preprocessed.")],
    out: Out,
    preset: Annotated[str, typer.Option(help="Size of the network to train: XXS, XS, S, B, L or H.")] = "L",
    jobs: Jobs = 1,
) -> None:
    """Import a dataset preprocessed by nnU-Net (3d_fullres) without copying it; each case counts as one patient."""
    from gynbtnet.preparation.nnunet_preprocessed import import_nnunet
    from gynbtnet.preparation.planning.plan_files import load_plan

    settings = load_plan(nnunet, preset=preset)
    for note in settings.notes:
        console.print(note)
    imported = import_nnunet(nnunet, settings, out, jobs)
    console.print(f"{counted(len(imported.cases), 'case')} in {out}")


@command("gynbtnet pretrain demo/phantom/unlabelled demo --out demo/steps/runs/pretraining")
def pretrain(
    source: Annotated[
        list[Path],
        typer.Argument(
            metavar="SOURCE...", help="Folders of CTs, DICOM and NIfTI mixed, or one folder made by gynbtnet prepare."
        ),
    ],
    recipe: RecipeName,
    out: Out,
    set_: Changes = None,
    jobs: Jobs = 1,
    missing_slices: MissingSlices = False,
    unequal_spacing: UnequalSpacing = False,
    gantry_tilt: GantryTilt = False,
) -> None:
    """Stage 1: learn from unlabelled scans, by reconstructing masked voxels.

    Scans that aren't prepared yet are ingested and prepared inside the run folder.
    """
    from gynbtnet.experiment.single_stages import pretrain_alone
    from gynbtnet.imaging.dicom.slice_repairs import Repairs
    from gynbtnet.recipes.loading import load_recipe

    stage = load_recipe(recipe, set_ or ()).stage("pretraining")
    repairs = Repairs(missing_slices, unequal_spacing, gantry_tilt)
    console.print(f"Weights in {pretrain_alone(source, stage, out, jobs, repairs)}")


@command(
    "gynbtnet finetune demo/steps/prepared/task demo --stage task --split demo/steps/split.json "
    "--start demo/steps/runs/pretraining --out demo/steps/runs/task"
)
def finetune(
    prepared: PreparedFolder,
    recipe: RecipeName,
    out: Out,
    stage: Annotated[LearnedStage, typer.Option(help="The part of the recipe to train.")],
    start: Annotated[
        Path | None,
        typer.Option(
            help="Run folder of the previous stage, an exported encoder, STU-Net's .model or .pth file, or a folder or "
            "checkpoint of nnU-Net, see plan --like. Default: new random weights."
        ),
    ] = None,
    split: Annotated[
        Path | None, typer.Option(help="For the task stage: the split into training and validation patients.")
    ] = None,
    every_fold: Annotated[
        bool,
        typer.Option(
            "--every-fold",
            help="Cross-validate the task stage: train every fold, segment its validation patients, score them all. "
            "Needs --split and --cohort.",
        ),
    ] = False,
    cohort: Annotated[
        Path | None, typer.Option(help="With --every-fold: the cohort that was prepared; its scans are segmented.")
    ] = None,
    set_: Changes = None,
    jobs: Annotated[int, typer.Option(help="With --every-fold: folds that are trained at the same time.", min=1)] = 1,
) -> None:
    """Stages 2 and 3: train segmentation, starting from the weights of the previous stage.

    The same command resumes what was stopped.
    """
    from gynbtnet.datasets.split import Split
    from gynbtnet.experiment.single_stages import finetune_alone
    from gynbtnet.preparation.store import PreparedCohort
    from gynbtnet.recipes.loading import load_recipe

    settings, scans = load_recipe(recipe, set_ or ()), PreparedCohort.open(prepared)
    if every_fold:
        if stage != LearnedStage.task or split is None or cohort is None:
            raise BadInput("--every-fold needs --stage task, --split and --cohort; add what is missing.")
        _cross_validate(scans, settings, cohort, split, start, out, jobs)
        return
    if cohort is not None or jobs > 1:
        raise BadInput("--cohort and --jobs belong to --every-fold; add it, or leave them out.")
    folds = Split.load(split) if split else None
    console.print(f"The model is {finetune_alone(scans, settings, stage.value, folds, start, out)}")


def _cross_validate(
    prepared: "PreparedCohort", recipe: "Recipe", cohort: Path, split: Path, start: Path | None, out: Path, jobs: int
) -> None:
    """Train and score every fold, calibrate the predicted DSC, and write the report page."""
    from gynbtnet.cli.metric_tables import print_metrics
    from gynbtnet.datasets.cohort import Cohort
    from gynbtnet.datasets.split import Split
    from gynbtnet.evaluation.metrics.score_table import SHOWN_METRICS, scoring_note
    from gynbtnet.evaluation.reports.evaluation_report import report_evaluation
    from gynbtnet.experiment.cross_validation import CrossValidation, calibrate_from_folds, crossvalidate
    from gynbtnet.imaging.structure_names import StructureNames

    patients, folds, folders = Cohort.load(cohort), Split.load(split), CrossValidation(out)
    evaluation = crossvalidate(prepared, patients, recipe, folds, out, start=start, jobs=jobs)
    calibrate_from_folds(patients, recipe, folds, out)
    validated = patients.of_patients(patient for fold in folds.folds for patient in fold)
    names = StructureNames.load(recipe.aliases)
    page = report_evaluation(validated, folders.predictions, evaluation, folders.evaluation, names)
    print_metrics(evaluation.summary, SHOWN_METRICS)
    console.print(scoring_note(evaluation.settings))
    console.print(f"All metrics are in {folders.evaluation / 'summary.md'}. The report is {page}")


def _without_test(folder: Path, split: Path | None) -> "Cohort":
    """Load a cohort without the test patients of the split, if one is given."""
    from gynbtnet.datasets.cohort import Cohort
    from gynbtnet.datasets.split import Split

    cohort = Cohort.load(folder)
    if split is None:
        return cohort
    folds = Split.load(split)
    folds.check(cohort)
    return cohort.of_patients(set(cohort.patients).difference(folds.test))


def _refuse_same(out: Path, cohort: Path) -> None:
    if out.resolve() == cohort.resolve():
        raise BadInput(f"--out {out} is the cohort itself, and its files would be overwritten; give another folder.")
