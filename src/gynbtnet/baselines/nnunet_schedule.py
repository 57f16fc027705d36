"""Learning rate of nnU-Net's trainer that follows the used share of a run from step to step."""

import math
from collections.abc import Callable
from typing import Any, Literal

from gynbtnet.baselines.settings import NnUNetSettings
from gynbtnet.runtime.errors import BadInput

_EXPONENT = 0.9  # of nnU-Net's PolyLRScheduler
_LOWEST = 0.01  # share of the highest rate at which a warm-up begins, so that its first step isn't lost


def rate_factor(share: float, schedule: Literal["poly", "cosine"], warm_up_share: float = 0) -> float:
    """Return the learning rate of a step as a factor of the highest one.

    Args:
        share: used share of the run before the step, from 0 to 1.
        schedule: poly: (1 − x) to the power of 0.9, as in nnU-Net; cosine: half a cosine. x is the share after the
            warm-up.
        warm_up_share: share of the run in which the rate rises linearly.

    Example:
        >>> [rate_factor(share, "cosine", warm_up_share=0.5) for share in (0.25, 0.5, 0.75)]
        [0.5, 1.0, 0.5]
    """
    if share < warm_up_share:
        return max(share / warm_up_share, _LOWEST)
    x = min((share - warm_up_share) / (1 - warm_up_share), 1.0)
    return round(0.5 * (1 + math.cos(math.pi * x)), 15) if schedule == "cosine" else float((1 - x) ** _EXPONENT)


class ShareSchedule:
    """Schedule with the interface of PyTorch's schedulers that sets the rate by the used share of the run.

    Args:
        trainer: initialised trainer of nnU-Net, whose optimiser gets the rate.
        settings: settings of the baseline.
        share: function that returns the used share of the run.
    """

    def __init__(self, trainer: Any, settings: NnUNetSettings, share: Callable[[], float]) -> None:
        self._trainer, self._settings, self._share = trainer, settings, share

    def step(self, epoch: int | None = None) -> None:
        """Set the rate of the next optimiser step; the epoch has no influence."""
        factor = rate_factor(self._share(), self._settings.schedule or "poly", self._settings.warm_up_share)
        for group in self._trainer.optimizer.param_groups:
            group["lr"] = self._trainer.initial_lr * factor


def schedule_by_share(trainer: Any, settings: NnUNetSettings, share: Callable[[], float]) -> None:
    """Replace the schedule of an initialised trainer if the settings have a budget or a schedule.

    Raises:
        BadInput: If the trainer has a schedule of its own, which follows the epochs.
    """
    if settings.budget is None and settings.schedule is None:
        return
    own = type(trainer.lr_scheduler).__name__
    if own != "PolyLRScheduler":
        raise BadInput(
            f"{type(trainer).__name__} has a schedule of its own ({own}), which follows the epochs; with a budget or a "
            "schedule use another trainer, and the settings schedule and warm_up_share."
        )
    trainer.lr_scheduler = ShareSchedule(trainer, settings, share)
