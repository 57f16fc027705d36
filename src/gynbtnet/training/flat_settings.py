"""Nested settings as one mapping with dotted names, e.g. ``settings.learning_rate``."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.plain_data import PlainDataError, load_yaml


def flatten_settings(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested mappings as one mapping, with keys joined by dots; tuples become lists, as in a file."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat.update(flatten_settings(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = json.loads(json.dumps(value, default=str))
    return flat


def read_flat_settings(recipe: Path) -> dict[str, Any]:
    """Return the settings in ``recipe.yaml`` of a run folder, by dotted name.

    Raises:
        BadInput: If the file is absent or damaged.
    """
    if not recipe.is_file():
        raise BadInput(
            f"There is no {recipe}; expected the settings of a training run. Check that {recipe.parent} is a run "
            "folder."
        )
    try:
        values = load_yaml(recipe)
    except (UnicodeDecodeError, PlainDataError) as error:
        raise BadInput(f"{recipe} is damaged: it is not YAML; train again in another folder.") from error
    if not isinstance(values, dict):
        raise BadInput(f"{recipe} is damaged: it holds no settings; train again in another folder.")
    return flatten_settings(values)
