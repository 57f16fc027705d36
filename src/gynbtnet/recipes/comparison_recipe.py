"""Recipes of a comparison: a recipe, the models to compare on it, and a phantom if there are no patients."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any

from pydantic import Field

from gynbtnet.phantom.settings import PhantomSettings
from gynbtnet.recipes.loading import (
    RECIPE_FOLDER,
    check_folder_names,
    read_yaml,
    recipe_values,
    settings_of,
    shipped_recipes,
    with_aliases,
    with_changes,
)
from gynbtnet.recipes.recipe import Recipe
from gynbtnet.recipes.variant import BASELINES, apply_patches, merge_settings
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.settings import Settings

_COMPARISON_FOLDER = RECIPE_FOLDER / "experiment"


@dataclass(frozen=True)
class ComparisonRecipe:
    """All settings of an experiment with several models.

    Attributes:
        recipe: common recipe of the models; its name and description are those of the experiment.
        models: recipe of each model by name, in the order of training.
        phantom: settings of the phantom that replaces patients; None if scans must be given.
    """

    recipe: Recipe
    models: Mapping[str, Recipe]
    phantom: PhantomSettings | None


class _Written(Settings):
    """Comparison as stored in its file."""

    name: str
    description: str = ""
    phantom: PhantomSettings | None = None
    recipe: tuple[str | dict[str, Any], ...] = Field(min_length=1)
    models: dict[str, dict[str, Any] | None] = Field(min_length=1)


def shipped_comparisons() -> list[str]:
    """Return the names of the comparisons that are part of the package.

    Returns:
        Names in alphabetical order, as :func:`load_comparison` takes them.
    """
    return sorted(path.stem for path in _COMPARISON_FOLDER.glob("*.yaml"))


def is_comparison(name: str | Path) -> bool:
    """Return whether a shipped name or a YAML file is a comparison: it has ``models``, which a recipe does not.

    Args:
        name: name of a shipped recipe or comparison, or a YAML file.

    Raises:
        BadInput: If there is no such recipe, or the file is not a YAML file of settings.
    """
    if str(name) in shipped_comparisons():
        return True
    if str(name) in shipped_recipes():
        return False
    if not Path(name).is_file():
        raise BadInput(
            f"There is no recipe {name}; expected a YAML file or a shipped recipe: {', '.join(shipped_comparisons())} "
            f"with several models, or {', '.join(shipped_recipes())}."
        )
    return "models" in read_yaml(Path(name))


def load_comparison(
    name: str | Path,
    changes: Sequence[str] = (),
    models: Sequence[str] | None = None,
    model_changes: Mapping[str, Sequence[str]] | None = None,
) -> ComparisonRecipe:
    """Read a comparison by its shipped name or its path, and resolve its recipe and its models.

    In the file, ``recipe`` lists recipes (by name or path) and changes, each merged into the previous ones (JSON merge
    patch, RFC 7396). ``models`` lists the models by name, each with its changes. These are changes to a shipped
    baseline if the name is one, otherwise to the recipe.

    Args:
        name: name from :func:`shipped_comparisons`, or a YAML file.
        changes: changes of single settings of all models, e.g. ``"task.training.epochs=10"``, or of the phantom, e.g.
            ``"phantom.patients=4"``.
        models: names of the models to load; None for all.
        model_changes: further changes of single settings, by model name.

    Returns:
        The base recipe, the recipe of each model and the settings of the phantom.

    Raises:
        BadInput: If a recipe, model or key is unknown, a value has the wrong type or range, or the YAML is
            invalid. Also if a model that isn't loaded is changed.
    """
    path = _COMPARISON_FOLDER / f"{name}.yaml" if str(name) in shipped_comparisons() else Path(name)
    if not path.is_file():
        raise BadInput(
            f"There is no comparison {path}; expected a YAML file or one of the shipped ones: "
            f"{', '.join(shipped_comparisons())}."
        )
    phantom_changes = [change for change in changes if change.startswith("phantom")]
    written = settings_of(_Written, read_yaml(path), phantom_changes, path)
    check_folder_names(written.models, path)
    values = reduce(
        merge_settings, [recipe_values(part, path) if isinstance(part, str) else part for part in written.recipe]
    )
    headings = {"name": written.name, "description": written.description}
    recipe = with_changes(values | headings, [change for change in changes if change not in phantom_changes], path)
    recipe = with_aliases(recipe, path)
    model_changes = model_changes or {}
    selected = list(written.models) if models is None else list(dict.fromkeys(models))
    unknown = [model for model in (*selected, *model_changes) if model not in written.models]
    if unknown:
        raise BadInput(f"There is no model {unknown[0]} in {path}; expected some of {', '.join(written.models)}.")
    left_out = [model for model in model_changes if model not in selected]
    if left_out:
        raise BadInput(f"--set changes the model {left_out[0]}, which is not among {', '.join(selected)}.")
    variants = {}
    for model in selected:
        baseline = [read_yaml(RECIPE_FOLDER / "baselines" / f"{model}.yaml")] if model in BASELINES else []
        patches = [*baseline, written.models[model] or {}]
        variants[model] = apply_patches(recipe, model, patches, model_changes.get(model, ()), path)
    return ComparisonRecipe(recipe, variants, written.phantom)
