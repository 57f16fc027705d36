"""Learning rate of nnU-Net's trainer that follows the used share of a run from step to step."""

from collections.abc import Callable
from math import nextafter
from typing import Any

from gynbtnet.baselines.nnunet_usage import run_length
from gynbtnet.baselines.settings import NnUNetSettings
from gynbtnet.runtime.errors import BadInput
from gynbtnet.training.optimisation.schedule import scheduled_rate

_LAST = nextafter(1, 0)  # used share of a step that begins at the end of the budget


class ShareSchedule:
    """Schedule with the interface of PyTorch's schedulers that sets the rate by the used share of the run.

    Args:
        trainer: initialised trainer of nnU-Net, whose optimiser gets the rate.
        settings: settings of the baseline.
        share: function that returns the used share of the run.
    """

    def __init__(self, trainer: Any, settings: NnUNetSettings, share: Callable[[], float]) -> None:
        self._trainer, self._settings, self._share = trainer, settings, share
        in_seconds = settings.budget is not None and settings.budget.unit != "steps"
        # as in our own training: with a budget in seconds, the warm-up starts at a hundredth of the rate
        self._step = settings.warm_up_share / 100 if in_seconds else 1 / run_length(settings)

    def step(self, epoch: int | None = None) -> None:
        """Set the rate of the next optimiser step; the epoch has no influence."""
        rate = scheduled_rate(
            min(self._share(), _LAST),
            1,
            self._trainer.initial_lr,
            self._settings.warm_up_share,
            schedule=self._settings.schedule or "poly",
            step=self._step,
        )
        for group in self._trainer.optimizer.param_groups:
            group["lr"] = rate


def schedule_by_share(trainer: Any, settings: NnUNetSettings, share: Callable[[], float]) -> None:
    """Replace the schedule of an initialised trainer if the settings have a budget or a schedule.

    Raises:
        BadInput: If the trainer has its own schedule, which follows the epochs.
    """
    if settings.budget is None and settings.schedule is None:
        return
    own = type(trainer.lr_scheduler).__name__
    if own != "PolyLRScheduler":
        raise BadInput(
            f"{type(trainer).__name__} has its own schedule ({own}), which follows the epochs; with a budget or a "
            "schedule use another trainer, and the settings schedule and warm_up_share."
        )
    trainer.lr_scheduler = ShareSchedule(trainer, settings, share)
