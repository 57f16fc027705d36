"""Nested settings as one mapping of dotted names, ``settings.learning_rate`` for instance."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.plain_data import PlainDataError, load_yaml


def flatten_settings(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one, keys joined by dots; tuples become lists, as in a file."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat.update(flatten_settings(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = json.loads(json.dumps(value, default=str))
    return flat


def read_flat_settings(recipe: Path) -> dict[str, Any]:
    """The settings in ``recipe.yaml`` of a run folder.

    Raises:
        BadInput: where the file is absent or damaged.
    """
    if not recipe.is_file():
        raise BadInput(
            f"There is no {recipe}; expected the settings of a training run, is {recipe.parent} a run folder?"
        )
    try:
        values = load_yaml(recipe)
    except (UnicodeDecodeError, PlainDataError) as error:
        raise BadInput(f"{recipe} is damaged: no YAML; train again in another folder.") from error
    if not isinstance(values, dict):
        raise BadInput(f"{recipe} is damaged: no table of settings; train again in another folder.")
    return flatten_settings(values)
