"""Settings that had another name in earlier versions.

An error about a recipe gives the new name; run folders with the former names still resume.
"""

from collections.abc import Mapping
from typing import Any

RENAMED_SETTINGS: Mapping[tuple[str, str], str] = {
    ("training", "clip"): "max_grad_norm",
    ("training", "accumulate"): "gradient_accumulation_steps",
    ("training", "recompute"): "activation_checkpointing",
    ("training", "validate_every"): "validation_interval_epochs",
    ("training", "picture_every"): "picture_interval_epochs",
    ("training", "checkpoint_every"): "checkpoint_interval_epochs",
    ("training", "foreground_share"): "foreground_oversampling",
    ("training", "fit_memory"): "auto_micro_batch",
    ("training", "memory_gb"): "micro_batch_memory_gb",
    ("training", "cut_out"): "cutout_ratio",
    ("plan", "memory_gb"): "plan_memory_gb",
    ("prediction", "outlines"): "contour_style",
    ("prediction", "holes"): "hole_style",
    ("prediction", "review_below"): "review_dsc_threshold",
    ("nnunet", "checkpoint_every"): "checkpoint_interval_epochs",
}
"""Current name of a setting by its group in a recipe and its former name."""


def with_current_names(values: Mapping[str, Any], group: str = "") -> dict[str, Any]:
    """Return settings with former names replaced, in nested groups too.

    Args:
        values: settings of one group, by name; a value may be a group itself.
        group: name of the group, e.g. ``training``.
    """
    names = {name: RENAMED_SETTINGS.get((group, name), name) for name in values}
    return {
        names[name]: with_current_names(value, name) if isinstance(value, Mapping) else value
        for name, value in values.items()
    }
