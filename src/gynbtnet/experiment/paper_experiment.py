"""The paper's experiment: several models on every fold of one cohort, and how they compare on patients held out."""

from pathlib import Path

from gynbtnet.experiment.model_comparison import compare_models
from gynbtnet.experiment.pipeline import Scans
from gynbtnet.experiment.results_page import write_results
from gynbtnet.phantom.cohorts import write_brachytherapy, write_organs, write_unlabelled
from gynbtnet.phantom.settings import PhantomSettings
from gynbtnet.recipes.comparison_recipe import ComparisonRecipe
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.json_files import read_json, write_json
from gynbtnet.runtime.progress import console


def run_comparison(asked: ComparisonRecipe, scans: Scans | None, folder: Path, jobs: int = 1) -> Path:
    """Walk the whole experiment in ``folder``; returns the page of results, ``results.md``.

    Every step keeps what an earlier call finished: killed at any moment, it ends with the same results when it is
    called again.

    Args:
        asked: recipe, models and phantom.
        scans: what to learn from; None: the recipe's phantom, which is written to ``folder`` first.
        folder: as :func:`gynbtnet.experiment.model_comparison.compare_models` fills it.
        jobs: processes that prepare.

    Raises:
        BadInput: where there are neither scans nor a phantom, ``folder`` holds an experiment with other scans, or a
            step finds something that it can't use.
    """
    if scans is None and asked.phantom is None:
        raise BadInput(
            f"The experiment {asked.recipe.name} has no phantom; name the scans to learn from with --cohort."
        )
    found = scans or _phantom(asked, Path(folder) / "phantom")
    recipe = asked.recipe
    if scans and asked.phantom:  # what the recipe says of itself is said of its phantom
        recipe = recipe.model_copy(update={"description": ""})
    places = compare_models(recipe, asked.models, found, folder, every_fold=True, jobs=jobs)
    return write_results(recipe, asked.models, places, Path(folder) / "results.md")


def _phantom(asked: ComparisonRecipe, folder: Path) -> Scans:
    """Write the synthetic cohorts of the stages that the recipe has, as far as they don't stand."""
    phantom, recipe = asked.phantom, asked.recipe
    assert phantom is not None
    made = folder / "settings.json"
    if made.is_file():
        begun = read_json(PhantomSettings, made, "give another --out")
        if begun != phantom:
            raise BadInput(f"{folder} holds a phantom of other settings; give another --out, or the same settings.")
    console.rule("Phantom")
    write_json(phantom, made)
    spacing, matrix, seed = phantom.spacing, phantom.matrix, phantom.seed
    write_brachytherapy(
        folder / "brachytherapy",
        patients=phantom.patients,
        fractions=phantom.fractions,
        spacing=spacing,
        matrix=matrix,
        seed=seed,
    )
    unlabelled = recipe.pretraining is not None and phantom.unlabelled > 0
    if unlabelled:
        write_unlabelled(folder / "unlabelled", scans=phantom.unlabelled, spacing=spacing, matrix=matrix, seed=seed)
    if recipe.supervised:
        write_organs(folder / "organs", scans=phantom.organs, spacing=spacing, matrix=matrix, seed=seed)
    return Scans(
        folder / "brachytherapy",
        (folder / "unlabelled",) if unlabelled else (),
        folder / "organs" if recipe.supervised else None,
    )
