"""Settings of a round's training: those of the first model's own training, shorter and with a lower learning rate."""

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from gynbtnet.learning.settings import LearningSettings
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.plain_data import PlainDataError, load_yaml
from gynbtnet.training.budget import Budget
from gynbtnet.training.renamed_settings import with_current_names
from gynbtnet.training.run_folder import LEGACY_VALUES
from gynbtnet.training.settings import SegmentationSettings


def training_settings(run: Path) -> SegmentationSettings:
    """Return the settings by which a model was trained.

    Args:
        run: its run folder.

    Raises:
        BadInput: If the folder isn't the run folder of a segmentation, or its recipe is damaged.
    """
    path = run / "recipe.yaml"
    if not path.is_file():
        raise BadInput(
            f"There is no {path}; expected a run folder, as `gynbtnet finetune` or `run` writes it, such as runs/task. "
            "A cross-validation, a zip file or a folder of nnU-Net can't be trained further: give a run folder inside "
            "it, such as fold_0."
        )
    try:
        values: Any = load_yaml(path)
        recorded = with_current_names(values["settings"], "training")
        known = SegmentationSettings.model_fields
        before = {name: value for name, value in LEGACY_VALUES.items() if name in known}
        return SegmentationSettings.model_validate(before | recorded)
    except (UnicodeDecodeError, PlainDataError, KeyError, TypeError, AttributeError, ValidationError) as error:
        raise BadInput(
            f"{path} has no settings of a segmentation ({type(error).__name__}); give the run folder of stage 2 or 3, "
            "such as runs/task of an experiment."
        ) from error


def short_training(first: SegmentationSettings, settings: LearningSettings, round_number: int) -> SegmentationSettings:
    """Return the settings of a round.

    Args:
        first: settings of the first model's training, which every round is compared with.
        settings: settings of learning.
        round_number: number of the round, from 1; each has its own seed.
    """
    values = first.model_dump()
    changes = {
        "seed": first.seed + round_number,
        "epochs": max(1, round(first.epochs * settings.length)),
        "budget": _shorter(first.budget, settings.length),
        "learning_rate": first.learning_rate * settings.learning_rate,
        "warm_up_epochs": 0,
        "warm_up_share": settings.warm_up_share,
        "patience": None,
        "decoder_first_share": 0,
        "encoder_learning_rate": 1,
    }
    return SegmentationSettings.model_validate(values | changes)


def _shorter(budget: Budget | None, length: float) -> Budget | None:
    if budget is None:
        return None
    amount = budget.amount * length
    return Budget.model_validate({budget.unit: max(1, round(amount)) if budget.unit == "steps" else amount})
