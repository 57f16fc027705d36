"""Recipes written as changes to another recipe, so that everything else is identical by construction."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gynbtnet.recipes.loading import RECIPE_FOLDER, read_yaml, with_changes
from gynbtnet.recipes.recipe import Recipe
from gynbtnet.runtime.errors import BadInput

BASELINES = ("gynbtnet", "gynbtnet-from-scratch", "swin-unetr", "nnunet")
"""Names of the shipped variants, in the order of training."""

_STAGES = ("pretraining", "supervised", "task")


def load_variant(name: str | Path, recipe: Recipe, changes: Sequence[str] = ()) -> Recipe:
    """Return ``recipe`` with the changes of a shipped baseline or of a YAML file.

    Groups of settings are merged, other values replaced, and a key with null is removed (JSON merge patch, RFC 7396).
    Settings of a stage that the recipe omits are ignored.

    Args:
        name: one of ``BASELINES``, or a file, whose name becomes the name of the variant.
        recipe: recipe to change.
        changes: changes of single settings of the variant, e.g. ``"task.training.epochs=10"``.

    Returns:
        The changed recipe.

    Raises:
        BadInput: If the name is unknown, the YAML is invalid or :func:`gynbtnet.recipes.loading.load_recipe` refuses
            the result.
    """
    path = RECIPE_FOLDER / "baselines" / f"{name}.yaml" if str(name) in BASELINES else Path(name)
    if not path.is_file():
        raise BadInput(f"There is no model {name}; expected one of {', '.join(BASELINES)}, or a YAML file.")
    return apply_patches(recipe, path.stem, [read_yaml(path)], changes, path)


def apply_patches(
    recipe: Recipe, name: str, patches: Sequence[Mapping[str, Any]], changes: Sequence[str], path: Path
) -> Recipe:
    """Return ``recipe`` with merge patches applied one after another, under another name.

    Args:
        recipe: recipe to change.
        name: name of the result.
        patches: JSON merge patches (RFC 7396).
        changes: changes of single settings, applied last.
        path: file that error messages name.

    Raises:
        BadInput: If a key is unknown or a value has the wrong type or range.
    """
    values = recipe.model_dump(mode="json")
    absent = [stage for stage in _STAGES if values[stage] is None]
    for patch in patches:
        values = merge_settings(values, {key: value for key, value in patch.items() if key not in absent})
    return with_changes(values | {"name": name}, changes, path)


def check_comparable(recipe: Recipe, variant: Recipe) -> None:
    """Refuse a variant whose scores would be of other structures or of other patients than those of the recipe.

    Args:
        recipe: recipe with which the variant is compared.
        variant: the changed recipe.

    Raises:
        BadInput: If the variant changes the structures, their names or the split.
    """
    for setting in ("structures", "aliases", "split"):
        if getattr(variant, setting) != getattr(recipe, setting):
            raise BadInput(
                f"The model {variant.name} changes {setting} and couldn't be compared; remove this change from it."
            )


def load_variants(
    names: Sequence[str], recipe: Recipe, changes: Mapping[str, Sequence[str]] | None = None
) -> dict[str, Recipe]:
    """Return several variants by name.

    Args:
        names: names of ``BASELINES``, or files.
        recipe: recipe to change.
        changes: changes of single settings, by the name of the variant.

    Returns:
        The recipe of each variant, by its name.

    Raises:
        BadInput: If :func:`load_variant` refuses one, two have the same name, or ``changes`` names another model.
    """
    changes = changes or {}
    short_names = [name if name in BASELINES else Path(name).stem for name in names]
    if len(set(short_names)) < len(short_names):
        raise BadInput(
            f"Two models have the same name: {', '.join(short_names)}; list each model once, and give files "
            "different names."
        )
    unknown = sorted(set(changes).difference(short_names))
    if unknown:
        raise BadInput(f"--set changes the model {unknown[0]}, which is not among {', '.join(short_names)}.")
    return {
        short: load_variant(name, recipe, changes.get(short, ()))
        for short, name in zip(short_names, names, strict=True)
    }


def merge_settings(values: Any, patch: Any) -> Any:
    """Return ``values`` with a JSON merge patch (RFC 7396) applied."""
    if not isinstance(patch, Mapping):
        return patch
    result = dict(values) if isinstance(values, Mapping) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge_settings(result.get(key), value)
    return result
