"""Commands that learn contours from scans, draw them and score them."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gynbtnet.cli.app import command, console
from gynbtnet.cli.options import (
    Changes,
    Cluster,
    CohortFolder,
    Force,
    GantryTilt,
    Holes,
    Jobs,
    Memory,
    MissingSlices,
    Out,
    Outlines,
    PreparedFolder,
    RecipeName,
    Series,
    SplitFile,
    UnequalSpacing,
)
from gynbtnet.errors import BadInput

if TYPE_CHECKING:
    from gynbtnet.datasets.cohort import Cohort


class Stage(StrEnum):
    """A stage of the training."""

    pretraining = "pretraining"
    supervised = "supervised"
    task = "task"


class Format(StrEnum):
    """What a model is exported to."""

    nnunet = "nnunet"
    onnx = "onnx"
    stunet = "stunet"


class Weights(StrEnum):
    """Which weights of a run."""

    last = "last"
    best = "best"


class Roi(StrEnum):
    """What of a scan is looked at."""

    whole = "whole"
    pelvis = "pelvis"


class Backend(StrEnum):
    """What computes a network."""

    eager = "eager"
    compiled = "compiled"
    openvino = "openvino"


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
    plans without reading a scan. With patch_size and batch_size null they are chosen for memory_gb.
    """
    from gynbtnet.preparation.fingerprint import FINGERPRINT, Fingerprint, take_fingerprint
    from gynbtnet.preparation.planning import make_plan
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
    made.save(out)
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
    from gynbtnet.many_scans import on_cluster
    from gynbtnet.preparation.plan import Plan
    from gynbtnet.preparation.prepare import prepare

    _refuse_same(out, cohort)
    followed = Plan.load(plan)
    for note in followed.notes:
        console.print(note)
    with on_cluster(cluster):
        prepared = prepare(_without_test(cohort, split), followed, out, jobs, memory)
    console.print(f"{len(prepared.cases)} cases in {out}")


@command("gynbtnet adopt demo/steps/prepared/task --preset XS --out demo/steps/adopted")
def adopt(
    nnunet: Annotated[Path, typer.Argument(help="A dataset that nnU-Net preprocessed, below nnUNet_preprocessed.")],
    out: Out,
    preset: Annotated[str, typer.Option(help="Size of the network that is to read it: XS, S, B, L or H.")] = "L",
    jobs: Jobs = 1,
) -> None:
    """Train on what nnU-Net has prepared for its 3d_fullres, where it lies, each case as a patient of its own."""
    from gynbtnet.preparation.adopt import adopt
    from gynbtnet.preparation.plan import Plan

    followed = Plan.load(nnunet, preset=preset)
    for note in followed.notes:
        console.print(note)
    adopted = adopt(nnunet, followed, out, jobs)
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
    from gynbtnet.imaging.slice_repairs import Repairs
    from gynbtnet.recipes.loading import load_recipe
    from gynbtnet.single_stages import pretrain_alone

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
    stage: Annotated[LearnedStage, typer.Option(help="Which part of the recipe.")],
    start: Annotated[
        Path | None,
        typer.Option(help="Run folder of the stage before, or STU-Net's .model or .pth file; left out: from scratch."),
    ] = None,
    split: Annotated[Path | None, typer.Option(help="Of the task stage: who trains and who validates.")] = None,
    set_: Changes = None,
) -> None:
    """Stages 2 and 3: learn contours, starting from the weights of the stage before."""
    from gynbtnet.datasets.split import Split
    from gynbtnet.preparation.store import PreparedCohort
    from gynbtnet.recipes.loading import load_recipe
    from gynbtnet.single_stages import finetune_alone

    dealt = Split.load(split) if split else None
    settings, scans = load_recipe(recipe, set_ or ()), PreparedCohort.open(prepared)
    console.print(f"The model is {finetune_alone(scans, settings, stage.value, dealt, start, out)}")


@command(
    "gynbtnet crossvalidate demo/steps/prepared/task demo --cohort demo/steps/cohorts/task "
    "--split demo/steps/split.json --start demo/steps/runs/pretraining --out demo/steps/crossvalidation"
)
def crossvalidate(
    prepared: PreparedFolder,
    recipe: RecipeName,
    cohort: Annotated[Path, typer.Option(help="The cohort that was prepared: its scans are predicted.")],
    split: Annotated[Path, typer.Option(help="The split whose folds are trained.")],
    out: Out,
    start: Annotated[Path | None, typer.Option(help="Run folder of the stage before, for every fold.")] = None,
    from_scratch: Annotated[
        bool, typer.Option("--from-scratch", help="Start from no weights: the baseline, otherwise identical.")
    ] = False,
    set_: Changes = None,
    jobs: Annotated[int, typer.Option(help="Folds that are trained side by side.", min=1)] = 1,
) -> None:
    """Train every fold, contour each fold's validation patients with the model that hasn't seen them, score them all.

    Call it again to go on with a cross-validation that was stopped.
    """
    from gynbtnet.cross_validation import CrossValidation, crossvalidate
    from gynbtnet.datasets.cohort import Cohort
    from gynbtnet.datasets.split import Split
    from gynbtnet.preparation.store import PreparedCohort
    from gynbtnet.recipes.loading import load_recipe

    if from_scratch == (start is not None):
        raise BadInput("Say what every fold starts from: --start with a run folder, or --from-scratch; one of the two.")
    settings = load_recipe(recipe, set_ or ())
    scans, whole = PreparedCohort.open(prepared), Cohort.load(cohort)
    crossvalidate(scans, whole, settings, Split.load(split), out, start=start, jobs=jobs)
    console.print((CrossValidation(out).evaluation / "summary.md").read_text())


@command(
    "gynbtnet predict demo/steps/runs/task demo/phantom/brachytherapy/PHANTOM-001/fraction-1 "
    "--recipe demo --out demo/steps/contours"
)
def predict(
    model: Annotated[Path, typer.Argument(help="A model: the run folder of stage 2 or 3, or of a cross-validation.")],
    scan: Annotated[list[Path], typer.Argument(help="DICOM folders or image files, one scan each.")],
    out: Out,
    channel: Annotated[
        list[Path] | None,
        typer.Option(
            help="Image file of a single scan's next channel, on its grid, such as the registered MRI; repeatable."
        ),
    ] = None,
    recipe: Annotated[str | None, typer.Option(help="Take the prediction's settings from this recipe.")] = None,
    series: Series = None,
    outlines: Annotated[Outlines | None, typer.Option(help="Of the RTSTRUCT: sub-voxel, or along the voxels.")] = None,
    holes: Annotated[Holes | None, typer.Option(help="Of the RTSTRUCT: as keyholes, or as inner contours.")] = None,
    seg: Annotated[bool, typer.Option("--seg", help="Write a DICOM SEG too.")] = False,
    roi: Annotated[Roi | None, typer.Option(help="Look at the whole scan, or around the pelvis alone.")] = None,
    fast: Annotated[
        bool, typer.Option("--fast", help="One fold, no mirroring, windows that overlap by a quarter.")
    ] = False,
    backend: Annotated[
        Backend | None, typer.Option(help="What computes the network: PyTorch, PyTorch compiled, or OpenVINO.")
    ] = None,
    missing_slices: MissingSlices = False,
    unequal_spacing: UnequalSpacing = False,
    gantry_tilt: GantryTilt = False,
    force: Force = False,
    set_: Changes = None,
) -> None:
    """Contour scans: for each one a folder with RS.dcm (for DICOM), labels.nii.gz and prediction.json.

    An earlier prediction of a scan is kept where it would be made again, and otherwise only replaced with --force.
    """
    from gynbtnet.imaging.slice_repairs import Repairs
    from gynbtnet.inference.ensemble import load_model
    from gynbtnet.inference.export import predict_scan
    from gynbtnet.inference.prediction_names import prediction_names
    from gynbtnet.inference.settings import PredictionSettings
    from gynbtnet.recipes.loading import load_recipe

    if set_ and not recipe:
        raise BadInput("--set changes a setting of a recipe, and none is named; name one with --recipe.")
    if channel and len(scan) > 1:
        raise BadInput("--channel belongs to one scan, and several are given; contour them one by one.")
    settings = load_recipe(recipe, set_ or ()).prediction if recipe else PredictionSettings()
    written = {"outlines": outlines, "holes": holes, "seg": seg or None, "roi": roi, "backend": backend}
    settings = settings.model_copy(update={name: value for name, value in written.items() if value is not None})
    settings = settings.fast() if fast else settings
    repairs = Repairs(missing_slices, unequal_spacing, gantry_tilt)
    loaded = load_model(model, settings)
    for name, path in prediction_names(scan).items():
        place = predict_scan(
            loaded,
            path,
            out / name,
            channels=channel or (),
            settings=settings,
            series_uid=series,
            repairs=repairs,
            force=force,
        )
        console.print(f"{path} → {place}")


@command("gynbtnet export demo/steps/runs/task demo/steps/nnunet --to nnunet")
def export(
    model: Annotated[Path, typer.Argument(help="A model: the run folder of stage 2 or 3.")],
    out: Annotated[Path, typer.Argument(help="The folder (nnunet) or file (onnx, stunet) to write.")],
    to: Annotated[
        Format, typer.Option(help="A folder for nnUNetv2_predict, the network as ONNX, or weights in STU-Net's names.")
    ],
    weights: Annotated[Weights, typer.Option(help="Of the end of the training, or of its best score.")] = Weights.last,
    force: Force = False,
) -> None:
    """Write a model for other software."""
    from gynbtnet.inference.model import Model
    from gynbtnet.inference.nnunet_export import export_nnunet
    from gynbtnet.inference.onnx_export import export_onnx
    from gynbtnet.inference.stu_net_export import export_stu_net

    write = {Format.nnunet: export_nnunet, Format.onnx: export_onnx, Format.stunet: export_stu_net}[to]
    console.print(f"{to.value}: {write(Model.load(model, weights=weights.value, device='cpu'), out, force=force)}")


@command(
    "gynbtnet evaluate demo/experiment/predictions/test demo/experiment/cohorts/task "
    "--split demo/experiment/split.json --out demo/steps/evaluation"
)
def evaluate(
    predictions: Annotated[Path, typer.Argument(help="A folder with a prediction for each case.")],
    cohort: CohortFolder,
    out: Out,
    split: Annotated[
        Path | None, typer.Option(help="Score this split's test patients; left out: all patients.")
    ] = None,
) -> None:
    """Score predictions against contours: DSC, HD95 and ASD, missed structures counted."""
    from gynbtnet.datasets.cohort import Cohort
    from gynbtnet.datasets.split import Split
    from gynbtnet.evaluation.evaluate import evaluate

    whole = Cohort.load(cohort)
    evaluate(whole.of_patients(Split.load(split).test) if split else whole, predictions, out)
    console.print((out / "summary.md").read_text())


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
