"""Commands for whole experiments and their reports."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from gynbtnet.cli.application import command, console
from gynbtnet.cli.options import (
    AllowAutomatic,
    AllowOverlap,
    AnyCohort,
    Changes,
    ChangesByModel,
    GantryTilt,
    GivenSplit,
    Jobs,
    MissingSlices,
    Out,
    PatientIdOption,
    RecipeName,
    RtStruct,
    Supervised,
    UnequalSpacing,
    Unlabelled,
    listed,
)
from gynbtnet.runtime.errors import BadInput


@command(
    "gynbtnet run demo --cohort demo/phantom/brachytherapy --unlabelled demo/phantom/unlabelled "
    "--supervised demo/phantom/organs --out demo/experiment"
)
def run(
    recipe: RecipeName,
    cohort: AnyCohort,
    out: Out,
    unlabelled: Unlabelled = None,
    supervised: Supervised = None,
    predict: Annotated[
        list[Path] | None, typer.Option(help="Folder of other scans to segment at the end; repeatable.")
    ] = None,
    patient_id_from: PatientIdOption = "dicom",
    set_: Changes = None,
    jobs: Jobs = 1,
    missing_slices: MissingSlices = False,
    unequal_spacing: UnequalSpacing = False,
    gantry_tilt: GantryTilt = False,
    allow_overlap: AllowOverlap = False,
    allow_automatic: AllowAutomatic = False,
    rtstruct: RtStruct = None,
    split: GivenSplit = None,
    every_fold: Annotated[
        bool,
        typer.Option(
            "--every-fold", help="Train the task on every fold; the model is their ensemble, and predicts its own DSC."
        ),
    ] = False,
) -> None:
    """Train and evaluate one model: ingest, split, plan, prepare, three stages, predict, evaluate, report.

    The same command resumes what was stopped. Post-processing is always chosen. A predicted DSC for each contour needs
    --every-fold and nine patients outside the test.
    """
    from gynbtnet.experiment.pipeline import Scans, can_be_calibrated, run_experiment
    from gynbtnet.imaging.dicom.slice_repairs import Repairs
    from gynbtnet.recipes.loading import load_recipe

    repairs = Repairs(missing_slices, unequal_spacing, gantry_tilt)
    scans = Scans(
        cohort,
        tuple(unlabelled or ()),
        supervised,
        tuple(predict or ()),
        patient_id_from,
        repairs,
        allow_overlap,
        allow_automatic,
        listed(rtstruct, "--rtstruct") or (),
        split,
    )
    report = run_experiment(load_recipe(recipe, set_ or ()), scans, out, jobs, every_fold=every_fold)
    console.print(f"The report is {report}")
    if not every_fold and can_be_calibrated(out):
        console.print("The model is not calibrated, so it predicts no DSC: add --every-fold")


@command(
    "gynbtnet benchmark demo --cohort demo/phantom/brachytherapy --unlabelled demo/phantom/unlabelled "
    "--supervised demo/phantom/organs --model gynbtnet-from-scratch --out demo/benchmark"
)
def benchmark(
    recipe: Annotated[
        str,
        typer.Argument(
            metavar="RECIPE",
            help="A recipe for --cohort; or minutes, hours, gpu or sts: a recipe with its models and its phantom; or "
            "curves or curves-sts: learning curves.",
        ),
    ],
    out: Out,
    cohort: Annotated[
        Path | None,
        typer.Option(
            help="A clinic's DICOM RT export, a folder made by gynbtnet ingest, or an nnU-Net raw dataset. Not needed "
            "if the recipe brings a phantom."
        ),
    ] = None,
    unlabelled: Unlabelled = None,
    supervised: Supervised = None,
    model: Annotated[
        list[str] | None,
        typer.Option(
            help="gynbtnet, gynbtnet-from-scratch, swin-unetr, nnunet, or a YAML file that changes the recipe; "
            "repeatable. Default: all four, or those of the recipe."
        ),
    ] = None,
    every_fold: Annotated[
        bool, typer.Option("--every-fold", help="Train the task on every fold of the split, not only on split.fold.")
    ] = False,
    compare: Annotated[
        bool,
        typer.Option(
            "--compare", help="Train every fold and compare the models: the paper's tables, tests, figures, results.md."
        ),
    ] = False,
    stop_after: Annotated[
        float | None,
        typer.Option(
            metavar="MINUTES",
            min=0,
            help="With learning curves: end after this time with exit code 75; the same command continues.",
        ),
    ] = None,
    finished: Annotated[
        Path | None,
        typer.Option(
            help="With learning curves: folder with points.csv, scores.csv and recipes of the same curves, begun "
            "on another machine. Their runs count as finished."
        ),
    ] = None,
    patient_id_from: PatientIdOption = "dicom",
    set_: ChangesByModel = None,
    jobs: Jobs = 1,
    missing_slices: MissingSlices = False,
    unequal_spacing: UnequalSpacing = False,
    gantry_tilt: GantryTilt = False,
    allow_overlap: AllowOverlap = False,
    allow_automatic: AllowAutomatic = False,
    rtstruct: RtStruct = None,
    split: GivenSplit = None,
) -> None:
    """Train several models on one cohort and split, segment the test patients, and score each model.

    A recipe with its own models (minutes, hours, gpu, sts) is the paper's experiment and includes --compare. Learning
    curves (curves, curves-sts) train each model with several budgets, seeds and numbers of patients; several processes
    may work on one --out. The same command resumes what was stopped. Swin-UNETR needs the extra gynbtnet[baselines],
    nnU-Net gynbtnet[nnunet].
    """
    from gynbtnet.experiment.curves.trace_curves import trace_curves
    from gynbtnet.experiment.model_comparison import compare_models
    from gynbtnet.experiment.paper_experiment import run_comparison
    from gynbtnet.experiment.pipeline import Scans
    from gynbtnet.imaging.dicom.slice_repairs import Repairs
    from gynbtnet.recipes.comparison_recipe import ComparisonRecipe, is_comparison, load_comparison
    from gynbtnet.recipes.curves_recipe import is_curves, load_curves
    from gynbtnet.recipes.loading import load_recipe
    from gynbtnet.recipes.variant import BASELINES, load_variants

    if (unlabelled or supervised or rtstruct or split) and not cohort:
        raise BadInput("--unlabelled, --supervised, --rtstruct and --split need --cohort; add it, or leave them out.")
    if stop_after is not None and math.isnan(stop_after):
        raise BadInput("--stop-after nan is no time; expected minutes, such as 36.")
    repairs = Repairs(missing_slices, unequal_spacing, gantry_tilt)
    extra = tuple(unlabelled or ())
    rules = listed(rtstruct, "--rtstruct") or ()
    scans = (
        Scans(cohort, extra, supervised, (), patient_id_from, repairs, allow_overlap, allow_automatic, rules, split)
        if cohort
        else None
    )
    for_all, for_one = _by_model(set_ or ())
    if is_curves(recipe):
        if for_one or every_fold or compare:
            raise BadInput(
                "Learning curves take neither --every-fold nor --compare nor --set for one model; omit them."
            )
        results = trace_curves(
            load_curves(recipe, for_all),
            scans,
            out,
            models=model,
            finished=finished,
            stop_after_minutes=stop_after,
            jobs=jobs,
        )
        console.print(f"The results are {results}")
        return
    if stop_after is not None or finished is not None:
        raise BadInput("--stop-after and --finished are for learning curves; omit them, or take the recipe curves.")
    if is_comparison(recipe):
        results = run_comparison(load_comparison(recipe, for_all, model, for_one), scans, out, jobs)
        console.print(f"The results are {results}")
        return
    if scans is None:
        raise BadInput(
            f"--cohort is missing: the recipe {recipe} brings no phantom; name a DICOM RT export, an ingested "
            "cohort or an nnU-Net dataset."
        )
    base = load_recipe(recipe, for_all)
    variants = load_variants(model or BASELINES, base, for_one)
    if compare:
        results = run_comparison(ComparisonRecipe(base, variants, None), scans, out, jobs)
        console.print(f"The results are {results}")
        return
    compare_models(base, variants, scans, out, every_fold=every_fold, jobs=jobs)
    console.print(f"Models, predictions and evaluations are in {out}")


@command("gynbtnet report demo/experiment")
def report(
    experiment: Annotated[
        Path, typer.Argument(help="Output folder of `gynbtnet run`, or of learning curves of `gynbtnet benchmark`.")
    ],
) -> None:
    """Write report page and reporting checklist (CLAIM) of `gynbtnet run`, or the page of learning curves, again."""
    from gynbtnet.experiment.curves.curves_page import report_curves
    from gynbtnet.experiment.curves.folders import CurvesFolder
    from gynbtnet.experiment.folders import Experiment
    from gynbtnet.experiment.report import report_experiment
    from gynbtnet.experiment.reporting_checklist import CHECKLIST

    if CurvesFolder(experiment).setup.is_file():
        console.print(f"The results are {report_curves(experiment)}")
        return
    console.print(f"The report is {report_experiment(Experiment(experiment))}")
    console.print(f"The reporting checklist (CLAIM) is {experiment / CHECKLIST}")


def _by_model(changes: Sequence[str]) -> tuple[list[str], dict[str, list[str]]]:
    """Split changes of settings into those of all models and those of each model."""
    for_all: list[str] = []
    for_one: dict[str, list[str]] = {}
    for change in changes:
        model, colon, rest = change.partition(":")
        if colon and "=" not in model:
            for_one.setdefault(model, []).append(rest)
        else:
            for_all.append(change)
    return for_all, for_one
