"""The command line: parse, call, print. What a command needs is imported when it runs."""

import errno
import sys
from collections.abc import Callable
from enum import StrEnum
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console
from rich.table import Table

from gynbtnet.errors import BadInput
from gynbtnet.processes import is_first_process

if TYPE_CHECKING:
    from gynbtnet.datasets.cohort import Cohort

app = typer.Typer(
    name="gynbtnet",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    help="Contours for gynecologic brachytherapy on CT, learned in three stages. Research use only.",
)
console = Console(quiet=not is_first_process())
FULL = "The disk is full; nothing half-written is kept. Free some space or choose another --out."
STOPPED = 130  # what a shell expects after Ctrl-C, and what typer exits with


class Layout(StrEnum):
    """How a source lies on disk."""

    dicom_rt = "dicom-rt"
    totalsegmentator = "totalsegmentator"
    scans = "scans"


class PatientsFrom(StrEnum):
    """What tells the patients of a DICOM RT export apart."""

    dicom = "dicom"
    folder = "folder"


class Stage(StrEnum):
    """A stage of the training."""

    pretraining = "pretraining"
    supervised = "supervised"
    task = "task"


class LearnedStage(StrEnum):
    """A stage that learns contours."""

    supervised = "supervised"
    task = "task"


class PhantomKind(StrEnum):
    """A kind of synthetic cohort, one for each stage."""

    brachytherapy = "brachytherapy"
    unlabelled = "unlabelled"
    organs = "organs"


class PhantomForm(StrEnum):
    """How synthetic fractions are written."""

    dicom = "dicom"
    nifti = "nifti"


Out = Annotated[Path, typer.Option("--out", "-o", help="Where the result goes.")]
RecipeName = Annotated[str, typer.Argument(metavar="RECIPE", help="A shipped recipe's name, or a YAML file.")]
CohortFolder = Annotated[Path, typer.Argument(metavar="COHORT", help="A folder made by gynbtnet ingest.")]
PreparedFolder = Annotated[Path, typer.Argument(metavar="PREPARED", help="A folder made by gynbtnet prepare.")]
Changes = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change one setting, e.g. task.training.epochs=10; repeatable."),
]
Jobs = Annotated[int, typer.Option(help="Processes that work side by side.", min=1)]
StageOption = Annotated[Stage, typer.Option(help="Which part of the recipe.")]
SplitFile = Annotated[Path | None, typer.Option(help="A split; its test patients are left out.")]


def command(example: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Register a command whose help ends with an example; the tests run every example."""
    return app.command(epilog=f"Example: `{example}`", no_args_is_help=False)


@app.callback(invoke_without_command=True)
def options(
    show_version: Annotated[bool, typer.Option("--version", help="Print the version.", is_eager=True)] = False,
) -> None:
    """Options before any command."""
    if show_version:
        console.print(f"gynbtnet {version('gynbtnet')}")
        raise typer.Exit


@command(
    "gynbtnet run demo --cohort demo/phantom/brachytherapy --unlabelled demo/phantom/unlabelled "
    "--supervised demo/phantom/organs --out demo/experiment"
)
def run(
    recipe: RecipeName,
    cohort: Annotated[Path, typer.Option(help="A clinic's DICOM RT export: CT series and RTSTRUCT files.")],
    out: Out,
    unlabelled: Annotated[
        list[Path] | None, typer.Option(help="Folder of further CTs for stage 1; repeatable.")
    ] = None,
    supervised: Annotated[Path | None, typer.Option(help="Scans in the TotalSegmentator layout, for stage 2.")] = None,
    predict: Annotated[
        list[Path] | None, typer.Option(help="Folder of further scans to contour at the end; repeatable.")
    ] = None,
    patients_from: Annotated[PatientsFrom, typer.Option(help="What tells patients apart.")] = PatientsFrom.dicom,
    set_: Changes = None,
    jobs: Jobs = 1,
) -> None:
    """Walk the whole experiment: ingest, split, plan, prepare, train in three stages, predict, evaluate, report.

    Call it again to go on with an experiment that was stopped.
    """
    from gynbtnet.pipeline import Scans, run_experiment
    from gynbtnet.recipes.loading import load_recipe

    scans = Scans(cohort, tuple(unlabelled or ()), supervised, tuple(predict or ()), patients_from.value)
    report = run_experiment(load_recipe(recipe, set_ or ()), scans, out, jobs)
    console.print(f"The report is {report}")


@command(
    "gynbtnet ingest demo/phantom/brachytherapy --out demo/steps/cohorts/task "
    "--structures hr_ctv,bladder,rectum,sigmoid,uterus"
)
def ingest(
    source: Annotated[list[Path], typer.Argument(help="Folders with scans.")],
    out: Out,
    layout: Annotated[Layout, typer.Option(help="How the source is laid out.")] = Layout.dicom_rt,
    structures: Annotated[
        str | None,
        typer.Option(help="What to take, by commas, in label order; of two that overlap the later one wins."),
    ] = None,
    aliases: Annotated[Path | None, typer.Option(help="YAML file with a clinic's own ROI names.")] = None,
    patients_from: Annotated[PatientsFrom, typer.Option(help="What tells patients apart.")] = PatientsFrom.dicom,
) -> None:
    """Bring scans and contours into one form: a cohort with its manifest."""
    from gynbtnet.datasets import dicom_rt_export, scan_folders, totalsegmentator
    from gynbtnet.imaging.structure_names import StructureNames

    wanted = tuple(name.strip() for name in structures.split(",")) if structures else None
    if layout is not Layout.dicom_rt and (aliases or patients_from is not PatientsFrom.dicom):
        raise BadInput(f"--aliases and --patients-from are for DICOM RT exports, not for the layout {layout.value}.")
    if layout is Layout.scans and wanted:
        raise BadInput("Scans are ingested without contours; leave --structures out, or choose another --layout.")
    if wanted and len(set(wanted)) < len(wanted):
        raise BadInput(f"--structures names one twice: {structures}; name each structure once.")
    if layout is Layout.scans:
        cohort = scan_folders.ingest(source, out)
    elif layout is Layout.totalsegmentator:
        cohort = totalsegmentator.ingest(source, out, structures=wanted)
    elif wanted is None:
        raise BadInput(
            "A DICOM RT export is ingested without --structures; name them, e.g. --structures hr_ctv,bladder."
        )
    else:
        names = StructureNames.load(aliases)
        cohort = dicom_rt_export.ingest(source, out, structures=wanted, names=names, patients_from=patients_from.value)
    for note in cohort.notes:
        console.print(note)
    console.print(f"{len(cohort.cases)} cases of {len(cohort.patients)} patients in {cohort.folder}")


@command("gynbtnet split demo/steps/cohorts/task --out demo/steps/split.json")
def split(
    cohort: CohortFolder,
    out: Out,
    test: Annotated[str, typer.Option(help="Share (0.2) or number (5) of patients held out for the test.")] = "0.2",
    folds: Annotated[int, typer.Option(help="Cross-validation folds inside the training part.")] = 5,
    seed: Annotated[int, typer.Option(help="Decides who is held out.", min=0)] = 0,
) -> None:
    """Hold out test patients and deal the others into folds; a patient is never split."""
    from gynbtnet.datasets.cohort import Cohort
    from gynbtnet.datasets.split import split_patients

    try:
        held_out = float(test) if "." in test else int(test)
    except ValueError as error:
        raise BadInput(f"--test is {test}; expected a share such as 0.2 or a number of patients such as 5.") from error
    made = split_patients(Cohort.load(cohort), held_out, folds, seed)
    made.save(out)
    console.print(f"{len(made.test)} test patients, folds of {', '.join(str(len(fold)) for fold in made.folds)}: {out}")


@command(
    "gynbtnet plan demo/steps/cohorts/task demo --stage task --split demo/steps/split.json --out demo/steps/plans/task"
)
def plan(
    cohort: CohortFolder,
    recipe: RecipeName,
    out: Out,
    stage: StageOption,
    split: SplitFile = None,
    set_: Changes = None,
) -> None:
    """Decide how scans are prepared: spacing, normalisation, patch, network. Test patients have no say in it."""
    from gynbtnet.preparation.fingerprint import make_plan
    from gynbtnet.recipes.loading import load_recipe

    _refuse_same(out, cohort)
    settings = load_recipe(recipe, set_ or ()).stage(stage.value).plan
    made = make_plan(_without_test(cohort, split), settings)
    made.save(out)
    console.print(
        f"{'×'.join(f'{s:.3g}' for s in made.spacing)} mm, patch {'×'.join(map(str, made.patch_size))}: {out}"
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
) -> None:
    """Resample, normalise and store the scans, ready for training."""
    from gynbtnet.preparation.plan import Plan
    from gynbtnet.preparation.prepare import prepare

    _refuse_same(out, cohort)
    prepared = prepare(_without_test(cohort, split), Plan.load(plan), out, jobs)
    console.print(f"{len(prepared.cases)} cases in {out}")


@command("gynbtnet pretrain demo/phantom/unlabelled demo --out demo/steps/runs/pretraining")
def pretrain(
    source: Annotated[
        list[Path], typer.Argument(metavar="SOURCE...", help="Folders of CTs, DICOM and NIfTI mixed; or one PREPARED.")
    ],
    recipe: RecipeName,
    out: Out,
    set_: Changes = None,
    jobs: Jobs = 1,
) -> None:
    """Stage 1: learn from scans without labels, by reconstructing what is masked.

    Scans that aren't prepared yet are ingested and prepared in a folder of the run.
    """
    from gynbtnet.recipes.loading import load_recipe
    from gynbtnet.single_stages import pretrain_alone

    stage = load_recipe(recipe, set_ or ()).stage("pretraining")
    console.print(f"Weights in {pretrain_alone(source, stage, out, jobs)}")


@command(
    "gynbtnet finetune demo/steps/prepared/task demo --stage task --split demo/steps/split.json "
    "--start demo/steps/runs/pretraining --out demo/steps/runs/task"
)
def finetune(
    prepared: PreparedFolder,
    recipe: RecipeName,
    out: Out,
    stage: Annotated[LearnedStage, typer.Option(help="Which part of the recipe.")],
    start: Annotated[Path | None, typer.Option(help="Run folder of the stage before; left out: from scratch.")] = None,
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
    "gynbtnet predict demo/steps/runs/task demo/phantom/brachytherapy/PHANTOM-001/fraction-1 "
    "--recipe demo --out demo/steps/contours"
)
def predict(
    model: Annotated[Path, typer.Argument(help="A model: the run folder of stage 2 or 3.")],
    scan: Annotated[list[Path], typer.Argument(help="DICOM folders or image files, one scan each.")],
    out: Out,
    recipe: Annotated[str | None, typer.Option(help="Take the prediction's settings from this recipe.")] = None,
    series: Annotated[str | None, typer.Option(help="SeriesInstanceUID, where a folder holds several.")] = None,
    set_: Changes = None,
) -> None:
    """Contour scans: for each one a folder with RS.dcm (for DICOM), labels.nii.gz and prediction.json."""
    from gynbtnet.inference.export import predict_scan
    from gynbtnet.inference.model import Model
    from gynbtnet.inference.prediction_names import prediction_names
    from gynbtnet.inference.settings import PredictionSettings
    from gynbtnet.recipes.loading import load_recipe

    if set_ and not recipe:
        raise BadInput("--set changes a setting of a recipe, and none is named; name one with --recipe.")
    settings = load_recipe(recipe, set_ or ()).prediction if recipe else PredictionSettings()
    loaded = Model.load(model, weights=settings.weights, device=settings.device)
    for name, path in prediction_names(scan).items():
        written = predict_scan(loaded, path, out / name, settings=settings, series_uid=series)
        console.print(f"{path} → {written}")


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


@command("gynbtnet report demo/experiment")
def report(experiment: Annotated[Path, typer.Argument(help="The folder that `gynbtnet run` filled.")]) -> None:
    """Write an experiment's report page anew."""
    from gynbtnet.experiment import Experiment
    from gynbtnet.experiment_report import report_experiment

    console.print(f"The report is {report_experiment(Experiment(experiment))}")


@command("gynbtnet phantom demo/phantom")
def phantom(
    out: Annotated[Path, typer.Argument(help="Folder for the cohorts brachytherapy, unlabelled and organs.")],
    kind: Annotated[list[PhantomKind] | None, typer.Option(help="Only this kind; repeatable.")] = None,
    patients: Annotated[int, typer.Option(help="Brachytherapy patients.", min=1)] = 15,
    fractions: Annotated[str, typer.Option(help="Fractions of each patient, or 4-5: thirty patients make 145.")] = "3",
    unlabelled: Annotated[int, typer.Option(help="Scans without contours.", min=1)] = 16,
    organs: Annotated[int, typer.Option(help="Scans with many organs.", min=1)] = 12,
    spacing: Annotated[tuple[float, float, float], typer.Option(help="mm along z, y, x.")] = (3.0, 3.0, 3.0),
    matrix: Annotated[tuple[int, int, int], typer.Option(help="Voxels along z, y, x.")] = (64, 96, 128),
    seed: Annotated[int, typer.Option(help="The same seed gives the same voxels.", min=0)] = 0,
    form: Annotated[PhantomForm, typer.Option(help="DICOM as a clinic exports it, or NIfTI.")] = PhantomForm.dicom,
) -> None:
    """Make synthetic cohorts: female pelves after implant, and scans for the stages before.

    The paper's cohort in size: --patients 30 --fractions 4-5 --spacing 1 0.464 0.464 --matrix 120 512 512.
    """
    from gynbtnet.phantom import cohorts

    try:
        number: int | Literal["4-5"] = "4-5" if fractions == "4-5" else int(fractions)
    except ValueError as error:
        raise BadInput(f"--fractions is {fractions}; expected a number of at least 1, or 4-5.") from error
    kinds = kind or list(PhantomKind)
    if PhantomKind.brachytherapy in kinds:
        cohorts.write_brachytherapy(
            out / "brachytherapy",
            patients=patients,
            fractions=number,
            spacing=spacing,
            matrix=matrix,
            seed=seed,
            form=form.value,
        )
    if PhantomKind.unlabelled in kinds:
        cohorts.write_unlabelled(out / "unlabelled", scans=unlabelled, spacing=spacing, matrix=matrix, seed=seed)
    if PhantomKind.organs in kinds:
        cohorts.write_organs(out / "organs", scans=organs, spacing=spacing, matrix=matrix, seed=seed)
    console.print(f"Synthetic scans of {', '.join(kind.value for kind in kinds)} in {out}")


@command("gynbtnet doctor")
def doctor(folder: Annotated[Path, typer.Argument(help="Where results would be written.")] = Path()) -> None:
    """Print versions, cores, memory, devices and disk, and what is missing. Exit code 1 if something needed is."""
    from gynbtnet.doctor import examine

    table = Table(show_header=False, box=None)
    rows = examine(folder)
    for what, found in rows:
        table.add_row(what, found)
    console.print(table)
    raise typer.Exit(int(any(found.startswith("missing") for _, found in rows)))


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


def main() -> None:
    """Run a command. Exit codes: 0 done, 1 something needed is missing, 2 bad input in one sentence, 130 Ctrl-C."""
    try:
        app()
    except BadInput as problem:
        sentence, code = str(problem), 2
    except SystemExit as end:
        if end.code != STOPPED:
            raise
        sentence, code = "Stopped. What was complete is kept; the same command goes on from there.", STOPPED
    except OSError as problem:
        full = problem.errno in (errno.ENOSPC, errno.EDQUOT)
        sentence, code = (
            FULL if full else f"{problem.filename or 'A file'} can't be used: {problem.strerror or problem}.",
            2,
        )
    # Only here are the bars of the loops that the exception broke off closed, so that the sentence stands last.
    typer.echo(f"gynbtnet: {sentence}", err=True)
    sys.exit(code)
