"""Commands that learn contours from scans."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gynbtnet.cli.app import command, console
from gynbtnet.cli.options import (
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

if TYPE_CHECKING:
    from gynbtnet.datasets.cohort import Cohort
    from gynbtnet.preparation.store import PreparedCohort
    from gynbtnet.recipes.recipe import Recipe


class Stage(StrEnum):
    """A stage of the training."""

    pretraining = "pretraining"
    supervised = "supervised"
    task = "task"


class LearnedStage(StrEnum):
    """A stage that learns contours."""

    supervised = "supervised"
    task = "task"


@command(
    "gynbtnet plan demo/steps/cohorts/task demo --stage task --split demo/steps/split.json --out demo/steps/plans/task"
)
def plan(
    source: Annotated[
        Path,
        typer.Argument(metavar="COHORT", help="A folder made by gynbtnet ingest, or an earlier plan's fingerprint."),
    ],
    recipe: RecipeName,
    out: Out,
    stage: Annotated[Stage, typer.Option(help="Which part of the recipe.")],
    split: SplitFile = None,
    set_: Changes = None,
    jobs: Jobs = 1,
) -> None:
    """Decide how scans are prepared: spacing, normalisation, patch, network. Test patients have no say in it.

    What was measured is kept beside the plan, as dataset_fingerprint.json; given instead of the cohort, it makes other
    plans without reading a scan. With patch_size and batch_size null they are chosen for plan_memory_gb.
    """
    from gynbtnet.preparation.planning.fingerprint import FINGERPRINT, Fingerprint, take_fingerprint
    from gynbtnet.preparation.planning.make_plan import make_plan
    from gynbtnet.preparation.planning.plan_files import save_plan
    from gynbtnet.recipes.loading import load_recipe

    settings = load_recipe(recipe, set_ or ()).stage(stage.value).plan
    if source.name == FINGERPRINT:
        if split:
            raise BadInput(
                f"{source} was measured already, and no patient can be taken out of it; leave --split out, or name the "
                "cohort instead."
            )
        fingerprint = Fingerprint.load(source)
    else:
        _refuse_same(out, source)
        fingerprint = take_fingerprint(_without_test(source, split), jobs=jobs)
    made = make_plan(fingerprint, settings)
    fingerprint.save(out)
    save_plan(made, out)
    for note in made.notes:
        console.print(note)
    console.print(
        f"{'×'.join(f'{s:.3g}' for s in made.spacing)} mm, {made.batch_size} patches of "
        f"{'×'.join(map(str, made.patch_size))}: {out}"
    )


@command(
    "gynbtnet prepare demo/steps/cohorts/task demo/steps/plans/task --split demo/steps/split.json "
    "--out demo/steps/prepared/task"
)
def prepare(
    cohort: CohortFolder,
    plan: Annotated[Path, typer.Argument(help="The folder with plans.json.")],
    out: Out,
    split: SplitFile = None,
    jobs: Jobs = 1,
    memory: Memory = None,
    cluster: Cluster = None,
) -> None:
    """Resample, normalise and store the scans, ready for training."""
    from gynbtnet.preparation.planning.plan_files import load_plan
    from gynbtnet.preparation.prepare import prepare
    from gynbtnet.runtime.parallel import use_cluster

    _refuse_same(out, cohort)
    followed = load_plan(plan)
    for note in followed.notes:
        console.print(note)
    with use_cluster(cluster):
        prepared = prepare(_without_test(cohort, split), followed, out, jobs, memory)
    console.print(f"{len(prepared.cases)} cases in {out}")


@command("gynbtnet import-nnunet demo/steps/prepared/task --preset XS --out demo/steps/imported")
def import_nnunet(
    nnunet: Annotated[Path, typer.Argument(help="A dataset that nnU-Net preprocessed, below nnUNet_preprocessed.")],
    out: Out,
    preset: Annotated[str, typer.Option(help="Size of the network that is to read it: XS, S, B, L or H.")] = "L",
    jobs: Jobs = 1,
) -> None:
    """Import a dataset preprocessed by nnU-Net (3d_fullres) without copying it; each case counts as one patient."""
    from gynbtnet.preparation.nnunet_preprocessed import import_nnunet
    from gynbtnet.preparation.planning.plan_files import load_plan

    followed = load_plan(nnunet, preset=preset)
    for note in followed.notes:
        console.print(note)
    adopted = import_nnunet(nnunet, followed, out, jobs)
    console.print(f"{len(adopted.cases)} cases in {out}")


@command("gynbtnet pretrain demo/phantom/unlabelled demo --out demo/steps/runs/pretraining")
def pretrain(
    source: Annotated[
        list[Path], typer.Argument(metavar="SOURCE...", help="Folders of CTs, DICOM and NIfTI mixed; or one PREPARED.")
    ],
    recipe: RecipeName,
    out: Out,
    set_: Changes = None,
    jobs: Jobs = 1,
    missing_slices: MissingSlices = False,
    unequal_spacing: UnequalSpacing = False,
    gantry_tilt: GantryTilt = False,
) -> None:
    """Stage 1: learn from scans without labels, by reconstructing what is masked.

    Scans that aren't prepared yet are ingested and prepared in a folder of the run.
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
            help="Run folder of the previous stage, or STU-Net's .model or .pth file. Default: new random weights."
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
    from gynbtnet.datasets.cohort import Cohort
    from gynbtnet.datasets.split import Split
    from gynbtnet.evaluation.reports.evaluation_report import report_evaluation
    from gynbtnet.experiment.cross_validation import CrossValidation, calibrate_from_folds, crossvalidate
    from gynbtnet.imaging.structure_names import StructureNames

    patients, folds, folders = Cohort.load(cohort), Split.load(split), CrossValidation(out)
    evaluation = crossvalidate(prepared, patients, recipe, folds, out, start=start, jobs=jobs)
    calibrate_from_folds(patients, recipe, folds, out)
    validated = patients.of_patients(patient for fold in folds.folds for patient in fold)
    names = StructureNames.load(recipe.aliases)
    page = report_evaluation(validated, folders.predictions, evaluation, folders.evaluation, names)
    console.print((folders.evaluation / "summary.md").read_text())
    console.print(f"The page is {page}")


def _without_test(folder: Path, split: Path | None) -> "Cohort":
    """A cohort, without the test patients of a split where one is given."""
    from gynbtnet.datasets.cohort import Cohort
    from gynbtnet.datasets.split import Split

    cohort = Cohort.load(folder)
    if split is None:
        return cohort
    dealt = Split.load(split)
    dealt.check(cohort)
    return cohort.of_patients(set(cohort.patients).difference(dealt.test))


def _refuse_same(out: Path, cohort: Path) -> None:
    if out.resolve() == cohort.resolve():
        raise BadInput(f"--out {out} is the cohort itself, whose files would be overwritten; name another folder.")
