"""Recipes written as changes to another one, so that all else is the same by construction."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gynbtnet.recipes.loading import SHIPPED, read_yaml, with_changes
from gynbtnet.recipes.recipe import Recipe
from gynbtnet.runtime.errors import BadInput

BASELINES = ("gynbtnet", "gynbtnet-from-scratch", "swin-unetr", "nnunet")
"""The shipped ones, in the order in which they are trained."""

_STAGES = ("pretraining", "supervised", "task")


def load_variant(name: str | Path, recipe: Recipe, changes: Sequence[str] = ()) -> Recipe:
    """``recipe`` as a shipped baseline or a YAML file of your own changes it.

    Groups of settings are merged, other values replaced; a key with null is left out (JSON merge patch, RFC 7396). What
    a variant says of a stage that the recipe leaves out is not needed.

    Args:
        name: one of ``BASELINES``, or a file, whose name is then the variant's.
        recipe: what it is compared with.
        changes: of single settings of the variant, ``"task.training.epochs=10"``.

    Raises:
        BadInput: an unknown name, bad YAML, or what :func:`gynbtnet.recipes.loading.load_recipe` refuses.
    """
    path = SHIPPED / "baselines" / f"{name}.yaml" if str(name) in BASELINES else Path(name)
    if not path.is_file():
        raise BadInput(f"There is no model {name}; expected one of {', '.join(BASELINES)}, or a YAML file.")
    return apply_patches(recipe, path.stem, [read_yaml(path)], changes, path)


def apply_patches(
    recipe: Recipe, name: str, patches: Sequence[Mapping[str, Any]], changes: Sequence[str], path: Path
) -> Recipe:
    """``recipe`` with one merge patch after another, under another name; ``path`` is the file that errors name.

    Raises:
        BadInput: an unknown key, a wrong type or value.
    """
    values = recipe.model_dump(mode="json")
    absent = [stage for stage in _STAGES if values[stage] is None]
    for patch in patches:
        values = merge_settings(values, {key: value for key, value in patch.items() if key not in absent})
    return with_changes(values | {"name": name}, changes, path)


def load_variants(
    names: Sequence[str], recipe: Recipe, changes: Mapping[str, Sequence[str]] | None = None
) -> dict[str, Recipe]:
    """Several variants by their names, with ``changes`` of single settings by the name of the one that they change.

    Raises:
        BadInput: what :func:`load_variant` refuses; where two have one name, or ``changes`` names none of them.
    """
    changes = changes or {}
    called = [name if name in BASELINES else Path(name).stem for name in names]
    if len(set(called)) < len(called):
        raise BadInput(f"Two models have one name: {', '.join(called)}; name each once, and files differently.")
    unknown = sorted(set(changes).difference(called))
    if unknown:
        raise BadInput(f"--set changes the model {unknown[0]}, which is not among {', '.join(called)}.")
    return {
        short: load_variant(name, recipe, changes.get(short, ())) for short, name in zip(called, names, strict=True)
    }


def merge_settings(values: Any, patch: Any) -> Any:
    """``values`` with a JSON merge patch applied, RFC 7396."""
    if not isinstance(patch, Mapping):
        return patch
    result = dict(values) if isinstance(values, Mapping) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge_settings(result.get(key), value)
    return result
