"""Commands that learn contours from scans, draw them and score them."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gynbtnet.cli.app import command, console
from gynbtnet.cli.options import (
    BackendForm,
    Changes,
    Cluster,
    CohortFolder,
    Force,
    GantryTilt,
    Holes,
    Jobs,
    Memory,
    MissingSlices,
    ModelPath,
    Out,
    Outlines,
    OutputForms,
    PreparedFolder,
    RecipeName,
    RoiForm,
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

    zip = "zip"
    nnunet = "nnunet"
    onnx = "onnx"
    stunet = "stunet"


class Weights(StrEnum):
    """Which weights of a run."""

    last = "last"
    best = "best"


class Policy(StrEnum):
    """What a structure costs that truth or prediction lacks."""

    worst = "worst"
    diagonal = "diagonal"
    drop = "drop"


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
    from gynbtnet.cross_validation import CrossValidation, crossvalidate, learn_from_folds
    from gynbtnet.datasets.cohort import Cohort
    from gynbtnet.datasets.split import Split
    from gynbtnet.evaluation.evaluation_report import report_evaluation
    from gynbtnet.imaging.structure_names import StructureNames
    from gynbtnet.preparation.store import PreparedCohort
    from gynbtnet.recipes.loading import load_recipe

    if from_scratch == (start is not None):
        raise BadInput("Say what every fold starts from: --start with a run folder, or --from-scratch; one of the two.")
    settings = load_recipe(recipe, set_ or ())
    scans, whole = PreparedCohort.open(prepared), Cohort.load(cohort)
    dealt, places = Split.load(split), CrossValidation(out)
    evaluation = crossvalidate(scans, whole, settings, dealt, out, start=start, jobs=jobs)
    learn_from_folds(whole, settings, dealt, out)
    seen = whole.of_patients(patient for fold in dealt.folds for patient in fold)
    names = StructureNames.load(settings.aliases)
    page = report_evaluation(seen, places.predictions, evaluation, places.evaluation, names)
    console.print((places.evaluation / "summary.md").read_text())
    console.print(f"The page is {page}")


@command(
    "gynbtnet predict demo/steps/runs/task demo/phantom/brachytherapy/PHANTOM-001/fraction-1 "
    "--recipe demo --out demo/steps/contours"
)
def predict(
    model: ModelPath,
    scan: Annotated[
        list[Path],
        typer.Argument(metavar="SCAN...", help="Image files, and folders with DICOM or image files of any patients."),
    ],
    out: Out,
    channel: Annotated[
        list[Path] | None,
        typer.Option(
            help="Image file of a single scan's next channel, on its grid, such as the registered MRI; repeatable."
        ),
    ] = None,
    recipe: Annotated[str | None, typer.Option(help="Take the prediction's settings from this recipe.")] = None,
    series: Annotated[str | None, typer.Option(help="SeriesInstanceUID of the one series to take in a folder.")] = None,
    output: OutputForms = None,
    fast: Annotated[
        bool, typer.Option("--fast", help="One fold, no mirroring, coarser steps: quicker, and a little worse.")
    ] = False,
    roi: Annotated[RoiForm | None, typer.Option(help="Look everywhere, or around the pelvis alone.")] = None,
    backend: Annotated[BackendForm | None, typer.Option(help="What computes the network.")] = None,
    outlines: Annotated[Outlines | None, typer.Option(help="Of the RTSTRUCT: sub-voxel, or along the voxels.")] = None,
    holes: Annotated[Holes | None, typer.Option(help="Of the RTSTRUCT: as keyholes, or as inner contours.")] = None,
    jobs: Jobs = 1,
    cluster: Cluster = None,
    missing_slices: MissingSlices = False,
    unequal_spacing: UnequalSpacing = False,
    gantry_tilt: GantryTilt = False,
    force: Force = False,
    set_: Changes = None,
) -> None:
    """Contour scans: for each one a folder with RS.dcm (for DICOM), labels.nii.gz, preview.png and prediction.json.

    Scans that can't be contoured are listed at the end, with exit code 1; the others are done. An earlier prediction of
    a scan is kept where it would be made again, and otherwise only replaced with --force.
    """
    from gynbtnet.imaging.slice_repairs import Repairs
    from gynbtnet.inference.ensemble import load_model
    from gynbtnet.inference.export import Request
    from gynbtnet.inference.many_predictions import predict_scans
    from gynbtnet.inference.scan_search import find_scans
    from gynbtnet.inference.settings import PredictionSettings
    from gynbtnet.many_scans import on_cluster
    from gynbtnet.recipes.loading import load_recipe

    if set_ and not recipe:
        raise BadInput("--set changes a setting of a recipe, and none is named; name one with --recipe.")
    settings = load_recipe(recipe, set_ or ()).prediction if recipe else PredictionSettings()
    forms = tuple(dict.fromkeys(form.value for form in output)) if output else None
    written = {"outputs": forms, "outlines": outlines, "holes": holes, "roi": roi, "backend": backend}
    settings = settings.model_copy(update={name: value for name, value in written.items() if value is not None})
    settings = settings.fast() if fast else settings
    repairs = Repairs(missing_slices, unequal_spacing, gantry_tilt)
    place = Path.absolute if cluster else Path  # a cluster's workers stand in other folders
    loaded = load_model(place(model), settings)
    given = [place(one) for one in channel or ()]
    found = find_scans([place(one) for one in scan], loaded.channels, given=given, series_uid=series)
    requests = {
        name: Request(files, place(out) / name, settings, repairs, force=force) for name, files in found.scans.items()
    }
    with on_cluster(cluster):
        predict_scans(loaded, place(model), requests, jobs=jobs, apart=cluster is not None, failed=found.failed)
    for request in requests.values():
        console.print(f"{request.files.place} → {request.out}", markup=False, highlight=False, soft_wrap=True)


@command("gynbtnet export demo/steps/runs/task demo/steps/nnunet --to nnunet")
def export(
    model: ModelPath,
    out: Annotated[Path, typer.Argument(help="The folder (nnunet) or file (zip, onnx, stunet) to write.")],
    to: Annotated[
        Format,
        typer.Option(
            help="One file for gynbtnet predict, a folder for nnUNetv2_predict, the network as ONNX, or weights in "
            "STU-Net's names."
        ),
    ],
    weights: Annotated[Weights, typer.Option(help="Of the end of the training, or of its best score.")] = Weights.last,
    force: Force = False,
) -> None:
    """Write a model as one file to hand on, or for other software."""
    from gynbtnet.inference.ensemble import load_model
    from gynbtnet.inference.model import Model
    from gynbtnet.inference.model_archive import write_archive
    from gynbtnet.inference.nnunet_export import export_nnunet
    from gynbtnet.inference.onnx_export import export_onnx
    from gynbtnet.inference.settings import PredictionSettings
    from gynbtnet.inference.stu_net_export import export_stu_net

    if to == Format.zip:
        load_model(model, PredictionSettings(weights=weights.value, device="cpu"))
        console.print(f"zip: {write_archive(model, out, weights=weights.value, force=force)}")
        return
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
    policy: Annotated[
        Policy,
        typer.Option(
            help="What a structure that one side lacks costs: the worst distance that the case allows, the scan's "
            "diagonal, or nothing (drop), which makes means look better and is said in every table."
        ),
    ] = Policy.worst,
    tolerance: Annotated[float, typer.Option(help="Of the surface DSC, in mm.", min=0.001, max=100)] = 2.0,
    jobs: Jobs = 1,
    memory: Memory = None,
) -> None:
    """Score predictions against contours: overlap, surfaces, volumes and centroids, missed structures counted."""
    from gynbtnet.datasets.cohort import Cohort
    from gynbtnet.datasets.split import Split
    from gynbtnet.evaluation.evaluate import evaluate
    from gynbtnet.evaluation.evaluation_report import report_evaluation
    from gynbtnet.evaluation.settings import ScoringSettings

    whole = Cohort.load(cohort)
    asked = whole.of_patients(Split.load(split).test) if split else whole
    settings = ScoringSettings(policy=policy.value, tolerance_mm=tolerance)
    evaluation = evaluate(asked, predictions, out, settings, jobs=jobs, memory_gb=memory)
    page = report_evaluation(asked, predictions, evaluation, out)
    console.print((out / "summary.md").read_text())
    console.print(f"The report is {page}")


@command(
    "gynbtnet dose demo/experiment/cohorts/task --predictions demo/experiment/predictions/test "
    "--split demo/experiment/split.json --external-beam 45/25 --out demo/steps/dose"
)
def dose(
    cohort: CohortFolder,
    out: Out,
    predictions: Annotated[
        Path | None,
        typer.Option(help="A folder with a prediction for each case; left out: the cohort's contours alone."),
    ] = None,
    split: Annotated[Path | None, typer.Option(help="Only this split's test patients.")] = None,
    patient: Annotated[str | None, typer.Option(help="Only this patient, by study ID.")] = None,
    doses: Annotated[
        Path | None,
        typer.Option(help="Folder with RTDOSEs, or CASE.nii.gz in Gy; left out: beside what the cases came from."),
    ] = None,
    external_beam: Annotated[
        str | None,
        typer.Option(
            metavar="GY/FRACTIONS|CSV", help="Of all patients, as 45/25, or a file: patient,dose_gy,fractions."
        ),
    ] = None,
    aims: Annotated[Path | None, typer.Option(help="A table of aims and limits; left out: EMBRACE II's.")] = None,
    alpha_beta_target: Annotated[float, typer.Option(help="α/β of targets in Gy.", min=0.1, max=100)] = 10.0,
    alpha_beta_organ: Annotated[float, typer.Option(help="α/β of organs in Gy.", min=0.1, max=100)] = 3.0,
    deliveries: Annotated[int, typer.Option(help="How often the dose of each case was delivered.", min=1, max=20)] = 1,
    jobs: Jobs = 1,
) -> None:
    """Dose-volume figures of manual and automatic contours, and each patient's total EQD2 against aims and limits."""
    from gynbtnet.datasets.cohort import Cohort
    from gynbtnet.datasets.split import Split
    from gynbtnet.evaluation.aims import EMBRACE_II, Aims
    from gynbtnet.evaluation.evaluate_dose import evaluate_dose
    from gynbtnet.evaluation.external_beam import external_beam as read_external_beam
    from gynbtnet.evaluation.settings import DoseSettings

    asked = Cohort.load(cohort)
    asked = asked.of_patients(Split.load(split).test) if split else asked
    asked = asked.of_patients([patient]) if patient else asked
    evaluate_dose(
        asked,
        out,
        predictions=predictions,
        doses=doses,
        external=read_external_beam(external_beam, asked.patients) if external_beam else None,
        aims=Aims.load(aims or EMBRACE_II),
        settings=DoseSettings(
            alpha_beta_target_gy=alpha_beta_target, alpha_beta_organ_gy=alpha_beta_organ, deliveries=deliveries
        ),
        jobs=jobs,
    )
    console.print((out / "dose.md").read_text(encoding="utf-8"))


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
