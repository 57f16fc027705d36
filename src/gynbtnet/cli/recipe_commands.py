"""Commands on recipes: list, show and copy the shipped ones, and choose settings of one."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from gynbtnet.cli.application import command, console, print_table
from gynbtnet.cli.options import (
    AllowOverlap,
    Force,
    GantryTilt,
    Jobs,
    MissingSlices,
    Out,
    PatientIdOption,
    RecipeName,
    UnequalSpacing,
)
from gynbtnet.cli.training_commands import LearnedStage
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.settings import MAX_WHOLE_NUMBER


class RecipeAction(StrEnum):
    """Action on the shipped recipes."""

    list = "list"
    show = "show"
    copy = "copy"


class BudgetUnit(StrEnum):
    """Unit of a budget."""

    cpu_seconds = "cpu-seconds"
    steps = "steps"
    gpu_seconds = "gpu-seconds"


@command("gynbtnet recipes list")
def recipes(
    action: Annotated[RecipeAction, typer.Argument(help="List the recipes, show one, or copy one to change it.")],
    name: Annotated[str | None, typer.Argument(metavar="RECIPE", help="Name of a shipped recipe.")] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="File of the copy. Default: RECIPE.yaml.")] = None,
    force: Force = False,
) -> None:
    """List the shipped recipes, show one with its comments, or copy one to change it."""
    from gynbtnet.recipes.loading import load_recipe, recipe_path, shipped_recipes
    from gynbtnet.runtime.atomic_files import atomic_write

    shipped = shipped_recipes()
    if action != RecipeAction.copy and (out or force):
        raise BadInput("--out and --force are for `gynbtnet recipes copy`; omit them, or copy the recipe.")
    if action == RecipeAction.list and name:
        raise BadInput(f"`gynbtnet recipes list` takes no name; see one recipe with `gynbtnet recipes show {name}`.")
    if action == RecipeAction.list:
        table = Table("recipe", "stages", "description", box=None, header_style="bold", padding=(0, 2, 0, 0))
        for known in shipped:
            recipe = load_recipe(known)
            stages = [stage for stage in ("pretraining", "supervised", "task") if getattr(recipe, stage) is not None]
            table.add_row(known, ", ".join(stages), " ".join(recipe.description.split()))
        print_table(table)
        return
    if name not in shipped:
        given = f"{name} is not a shipped recipe" if name else "No recipe is named"
        raise BadInput(f"{given}; expected one of {', '.join(shipped)}.")
    text = recipe_path(name).read_text(encoding="utf-8")
    if action == RecipeAction.show:
        console.print(text.rstrip())
        return
    copy = out or Path(f"{name.replace('/', '_')}.yaml")
    if copy.exists() and not force:
        raise BadInput(f"{copy} exists already; replace it with --force, or give another --out.")
    with atomic_write(copy) as partial:
        partial.write_text(text, encoding="utf-8")
    console.print(f"Wrote {copy}; change it, and give it instead of the name of a recipe")


@command("gynbtnet tune demo --cohort demo/phantom/brachytherapy --out demo/tuning --budget 900")
def tune(
    recipe: RecipeName,
    cohort: Annotated[
        Path,
        typer.Option(
            help="A clinic's DICOM RT export, a folder made by gynbtnet ingest, or with --stage supervised scans in "
            "the TotalSegmentator layout."
        ),
    ],
    out: Out,
    budget: Annotated[
        float, typer.Option(help="Training of all trials together, in --unit. Scoring them is not included.", min=0)
    ],
    unit: Annotated[BudgetUnit, typer.Option(help="Unit of --budget.")] = BudgetUnit.cpu_seconds,
    candidates: Annotated[
        int, typer.Option(help="Number of candidates; the first has the recipe's own settings.", min=2)
    ] = 9,
    model: Annotated[
        str | None,
        typer.Option(
            help="gynbtnet-from-scratch, swin-unetr, nnunet, or a YAML file that changes the recipe. Default: the "
            "recipe itself."
        ),
    ] = None,
    stage: Annotated[LearnedStage, typer.Option(help="The part of the recipe to tune.")] = LearnedStage.task,
    search: Annotated[
        Path | None, typer.Option(help="YAML file that changes the search space, under the key search.")
    ] = None,
    start: Annotated[
        Path | None,
        typer.Option(help="Run folder of an earlier stage from which each trial starts. Default: new random weights."),
    ] = None,
    split: Annotated[
        Path | None, typer.Option(help="Split file. Default: the split that gynbtnet run makes with this recipe.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the candidates.", min=0, max=2**32 - 1)] = 0,
    patient_id_from: PatientIdOption = "dicom",
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Change one setting of the recipe, or of the search space, e.g. "
            "search.task.training.learning_rate=[0.001,0.01]; repeatable.",
        ),
    ] = None,
    jobs: Jobs = 1,
    missing_slices: MissingSlices = False,
    unequal_spacing: UnequalSpacing = False,
    gantry_tilt: GantryTilt = False,
    allow_overlap: AllowOverlap = False,
) -> None:
    """Choose learning rate, warm-up, mirror axes, weight decay, patch and batch on the validation patients.

    Successive halving: all candidates train for a short time, then the best third three times as long, and so on. Test
    patients are excluded. Writes recipe.yaml, table.md and trials.csv. The same command resumes what was stopped.
    """
    from gynbtnet.datasets.split import Split
    from gynbtnet.experiment.scans import Scans
    from gynbtnet.experiment.tuning.default_search import default_space
    from gynbtnet.experiment.tuning.search_space import changed_space
    from gynbtnet.experiment.tuning.tuned_patients import find_tuned_patients
    from gynbtnet.experiment.tuning.tuning_run import Tuning, tune
    from gynbtnet.experiment.tuning.tuning_table import explanation, ranked_rows
    from gynbtnet.imaging.dicom.slice_repairs import Repairs
    from gynbtnet.recipes.loading import load_recipe
    from gynbtnet.recipes.variant import load_variant
    from gynbtnet.training.budget import Budget

    if not 0 < budget <= MAX_WHOLE_NUMBER or (unit == BudgetUnit.steps and budget != int(budget)):
        raise BadInput(f"--budget {budget:g} can't be used; expected a number above 0, and a whole number of steps.")
    changes = list(set_ or ())
    of_search = [change for change in changes if change.startswith("search.")]
    of_recipe = [change for change in changes if change not in of_search]
    tuned = load_variant(model, load_recipe(recipe), of_recipe) if model else load_recipe(recipe, of_recipe)
    if tuned.nnunet and stage == LearnedStage.supervised:
        raise BadInput("nnU-Net has no stages; omit --stage.")
    part = "nnunet" if tuned.nnunet else stage.value
    tuning = Tuning(
        recipe=tuned,
        stage=part,
        space=changed_space(default_space(tuned, part), search, of_search),
        budget=Budget.model_validate({unit.name: budget}),
        candidates=candidates,
        seed=seed,
        start=start,
    )
    repairs = Repairs(missing_slices, unequal_spacing, gantry_tilt)
    scans = Scans(cohort, patient_id_from=patient_id_from, repairs=repairs, allow_overlap=allow_overlap)
    folds = Split.load(split) if split else None
    result = tune(tuning, find_tuned_patients(tuned, part, scans, out, split=folds, jobs=jobs), out, jobs=jobs)
    heads, rows = ranked_rows(result)
    table = Table(*heads, box=None, padding=(0, 1, 0, 0))
    for row in rows:
        table.add_row(*row)
    print_table(table)
    for sentence in explanation(result):
        console.print(sentence)
    console.print(f"The recipe is {out / 'recipe.yaml'}")
