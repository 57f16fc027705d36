"""The paper's experiment: several models on every fold of one cohort, compared on patients held out."""

from pathlib import Path

from gynbtnet.experiment.model_comparison import compare_models
from gynbtnet.experiment.results_page import write_results
from gynbtnet.experiment.scans import Scans
from gynbtnet.phantom.cohorts import write_brachytherapy, write_organs, write_unlabelled
from gynbtnet.phantom.settings import PhantomSettings
from gynbtnet.recipes.comparison_recipe import ComparisonRecipe
from gynbtnet.recipes.recipe import Recipe
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.json_files import read_json, write_json
from gynbtnet.runtime.progress import console


def run_comparison(comparison: ComparisonRecipe, scans: Scans | None, folder: Path, jobs: int = 1) -> Path:
    """Run the whole experiment: write the phantom, ingest, train, predict, evaluate, compare.

    Results of an earlier call are kept: an experiment that was killed at any moment ends with the same results when it
    is called again.

    Args:
        comparison: recipe, models and phantom.
        scans: scans for training and test; None: the recipe's phantom, which is written to ``folder`` first.
        folder: folder of the experiment, see :func:`gynbtnet.experiment.model_comparison.compare_models`.
        jobs: number of parallel processes for ingestion and preparation.

    Returns:
        The path of the results page, ``results.md``.

    Raises:
        BadInput: If there are neither scans nor a phantom, ``folder`` has an experiment with other scans, or a step
            can't use its input.
    """
    recipe = comparison.recipe
    if scans is None and comparison.phantom is None:
        raise BadInput(f"The experiment {recipe.name} has no phantom; name the scans to learn from with --cohort.")
    if scans is None and comparison.phantom:
        scans = write_phantom(comparison.phantom, recipe, Path(folder) / "phantom")
    elif comparison.phantom:  # the description of the recipe is that of its phantom
        recipe = recipe.model_copy(update={"description": ""})
    assert scans is not None
    models = compare_models(recipe, comparison.models, scans, folder, every_fold=True, jobs=jobs)
    return write_results(recipe, comparison.models, models, Path(folder) / "results.md")


def write_phantom(phantom: PhantomSettings, recipe: Recipe, folder: Path) -> Scans:
    """Write the synthetic cohorts for the stages of the recipe, unless they exist already.

    Args:
        phantom: patients and scans.
        recipe: recipe whose stages need them.
        folder: folder to write; a phantom in it is continued.

    Returns:
        The scans of the experiment.

    Raises:
        BadInput: If the folder holds a phantom of other settings.
    """
    _check_same_phantom(phantom, folder / "settings.json")
    console.rule("Phantom")
    write_json(phantom, folder / "settings.json")
    spacing, matrix, seed, realism = phantom.spacing, phantom.matrix, phantom.seed, phantom.realism
    write_brachytherapy(
        folder / "brachytherapy",
        patients=phantom.patients,
        fractions=phantom.fractions,
        spacing=spacing,
        matrix=matrix,
        seed=seed,
        realism=realism,
        nested=phantom.nested,
    )
    has_unlabelled = recipe.pretraining is not None and phantom.unlabelled > 0
    if has_unlabelled:
        write_unlabelled(
            folder / "unlabelled",
            scans=phantom.unlabelled,
            spacing=spacing,
            matrix=matrix,
            seed=seed,
            realism=realism,
        )
    if recipe.supervised:
        write_organs(
            folder / "organs", scans=phantom.organs, spacing=spacing, matrix=matrix, seed=seed, realism=realism
        )
    return Scans(
        folder / "brachytherapy",
        (folder / "unlabelled",) if has_unlabelled else (),
        folder / "organs" if recipe.supervised else None,
    )


def _check_same_phantom(phantom: PhantomSettings, path: Path) -> None:
    """Check that a phantom in the folder was written with the same settings."""
    if path.is_file() and read_json(PhantomSettings, path, "give another --out") != phantom:
        raise BadInput(
            f"{path.parent} holds a phantom of other settings; give another --out, or the settings in {path}."
        )
