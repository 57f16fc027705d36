"""Recipes of a comparison: one recipe, the models that are compared on it, and the phantom where no patients are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any

from pydantic import Field

from gynbtnet.phantom.settings import PhantomSettings
from gynbtnet.recipes.loading import (
    SHIPPED,
    read_yaml,
    recipe_path,
    settings_of,
    shipped_recipes,
    with_aliases,
    with_changes,
)
from gynbtnet.recipes.recipe import Recipe
from gynbtnet.recipes.variant import BASELINES, apply_patches, merge_settings
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.settings import Settings

_SHIPPED = SHIPPED / "experiment"


@dataclass(frozen=True)
class ComparisonRecipe:
    """All that decides an experiment of several models.

    Attributes:
        recipe: what the models are compared on; its name and description are the experiment's.
        models: by name, in the order in which they are trained.
        phantom: what stands for patients; None where scans have to be given.
    """

    recipe: Recipe
    models: Mapping[str, Recipe]
    phantom: PhantomSettings | None


class _Written(Settings):
    """A comparison as its file holds it."""

    name: str
    description: str = ""
    phantom: PhantomSettings | None = None
    recipe: tuple[str | dict[str, Any], ...] = Field(min_length=1)
    models: dict[str, dict[str, Any] | None] = Field(min_length=1)


def shipped_comparisons() -> list[str]:
    """Names of those that come with the package."""
    return sorted(path.stem for path in _SHIPPED.glob("*.yaml"))


def is_comparison(name: str | Path) -> bool:
    """Return whether a shipped name or a YAML file is a comparison: it has ``models``, which a recipe hasn't.

    Raises:
        BadInput: If there is no such recipe, or the file is no YAML file of settings.
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
    of_models: Mapping[str, Sequence[str]] | None = None,
) -> ComparisonRecipe:
    """Read a comparison by its shipped name or its path, and resolve its recipe and its models.

    In the file ``recipe`` lists recipes, by name or path, and changes, each merged into those before it (JSON merge
    patch, RFC 7396). ``models`` names the models, each with its own changes: of a shipped baseline to that, of another
    name to the recipe.

    Args:
        name: a name of :func:`shipped_comparisons`, or a YAML file.
        changes: of single settings, ``"task.training.epochs=10"``, for all models; ``"phantom.patients=4"``.
        models: only these of the file's; None: all.
        of_models: further changes of single settings, by the name of the model that they change.

    Raises:
        BadInput: an unknown recipe or model, bad YAML, an unknown key, a wrong type or value.
    """
    path = _SHIPPED / f"{name}.yaml" if str(name) in shipped_comparisons() else Path(name)
    if not path.is_file():
        raise BadInput(
            f"There is no experiment {path}; expected a YAML file or one of the shipped ones: "
            f"{', '.join(shipped_comparisons())}."
        )
    of_phantom = [change for change in changes if change.startswith("phantom")]
    written = settings_of(_Written, read_yaml(path), of_phantom, path)
    values = reduce(
        merge_settings, [_resolved(part, path) if isinstance(part, str) else part for part in written.recipe]
    )
    told = {"name": written.name, "description": written.description}
    recipe = with_changes(values | told, [change for change in changes if change not in of_phantom], path)
    recipe = with_aliases(recipe, path)
    of_models = of_models or {}
    chosen = list(written.models) if models is None else list(dict.fromkeys(models))
    unknown = [model for model in (*chosen, *of_models) if model not in written.models]
    if unknown:
        raise BadInput(f"There is no model {unknown[0]} in {path}; expected some of {', '.join(written.models)}.")
    variants = {}
    for model in chosen:
        baseline = [read_yaml(SHIPPED / "baselines" / f"{model}.yaml")] if model in BASELINES else []
        patches = [*baseline, written.models[model] or {}]
        variants[model] = apply_patches(recipe, model, patches, of_models.get(model, ()), path)
    return ComparisonRecipe(recipe, variants, written.phantom)


def _resolved(name: str, path: Path) -> dict[str, Any]:
    """What a named recipe holds; its own path, and that of its ROI names, begins at the file that names it."""
    found = recipe_path(name)
    place = path.parent / found
    values = read_yaml(place)
    if values.get("aliases"):
        values["aliases"] = str((place.parent / values["aliases"]).absolute())
    return values
