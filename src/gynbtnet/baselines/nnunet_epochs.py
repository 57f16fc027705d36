"""Epochs of nnU-Net's trainer until the end of the run or of its budget, with a log of each."""

from collections.abc import Callable
from math import isfinite
from typing import Any

import numpy as np
import torch

from gynbtnet.baselines.nnunet_schedule import ShareSchedule
from gynbtnet.baselines.nnunet_usage import UsageMeter
from gynbtnet.baselines.settings import NnUNetSettings
from gynbtnet.runtime.errors import Diverged, Paused
from gynbtnet.training.cost.run_clock import RunClock
from gynbtnet.training.recording.run_log import RunLog
from gynbtnet.training.run_folder import RunFolder

COLUMNS = (
    *("step", "learning_rate", "loss", "seconds", "cpu_seconds", "gpu_seconds"),
    *("validation_loss", "pseudo_dice"),
)
"""Columns of the log after the epoch. ``cpu_seconds`` and ``gpu_seconds`` are cumulative, ``seconds`` is the epoch's
training time."""


def run_epochs(
    trainer: Any,
    settings: NnUNetSettings,
    meter: UsageMeter,
    run: RunFolder,
    share: Callable[[], float],
    advance: Callable[..., None],
) -> None:
    """Call the trainer's methods as its ``run_training`` does, until the used share is 1.

    The last epoch of a budget may be shorter. It is validated and saved as every other one.

    Args:
        trainer: initialised trainer of nnU-Net, at the epoch of its checkpoint.
        settings: settings of the baseline.
        meter: meter of the run.
        run: folder of the fold, which gets ``log.csv``.
        share: function that returns the used share of the run.
        advance: called after each step with the note for the progress bar.

    Raises:
        Diverged: If the mean loss of an epoch is not finite.
        Paused: If ``settings.time_budget_hours`` are used up before the share is 1.
    """
    clock = RunClock(settings.time_budget_hours)
    trainer.on_train_start()
    with RunLog(run.path, COLUMNS, trainer.current_epoch) as log:
        while share() < 1:
            trainer.on_epoch_start()
            trainer.on_train_epoch_start()
            before = meter.seconds
            with meter.running():
                outputs = _train(trainer, settings.steps_per_epoch, meter, share, advance)
            loss = float(np.mean([output["loss"] for output in outputs]))
            if not isfinite(loss):
                raise Diverged(
                    f"The loss of nnU-Net became {loss} in epoch {trainer.current_epoch + 1} of the run in {run.path}; "
                    "start it again in another folder with a lower nnunet.learning_rate."
                )
            trainer.on_train_epoch_end(outputs)
            _validate(trainer)
            usage = meter.usage()
            values = {
                "step": usage.steps,
                "learning_rate": trainer.optimizer.param_groups[0]["lr"],
                "loss": loss,
                "seconds": meter.seconds - before,
                "cpu_seconds": usage.cpu_seconds,
                **({"gpu_seconds": usage.gpu_seconds} if trainer.device.type == "cuda" else {}),
                "validation_loss": float(trainer.logger.get_value("val_losses", step=-1)),
                "pseudo_dice": float(trainer.logger.get_value("mean_fg_dice", step=-1)),
            }
            log.append(trainer.current_epoch + 1, values)  # before the checkpoint: a resumed run removes later rows
            out_of_time = clock.is_over() and share() < 1
            if out_of_time:
                trainer.save_every = 1  # a checkpoint of this epoch
            trainer.on_epoch_end()
            if out_of_time:
                raise Paused(
                    f"The time budget of {settings.time_budget_hours:g} h is used up after {usage.steps} steps of "
                    f"nnU-Net in {run.path}; run the same command again to continue it."
                )


def _train(
    trainer: Any, steps: int, meter: UsageMeter, share: Callable[[], float], advance: Callable[..., None]
) -> list[Any]:
    """Do the optimiser steps of an epoch, or as many as the budget allows; at least one, since each adds to the log."""
    outputs: list[Any] = []
    while not outputs or (len(outputs) < steps and share() < 1):
        if isinstance(trainer.lr_scheduler, ShareSchedule):
            trainer.lr_scheduler.step()
        outputs.append(trainer.train_step(next(trainer.dataloader_train)))
        meter.count_step()
        advance(note=f"loss {float(outputs[-1]['loss']):.3f}")
    return outputs


@torch.no_grad()
def _validate(trainer: Any) -> None:
    trainer.on_validation_epoch_start()
    outputs = [
        trainer.validation_step(next(trainer.dataloader_val)) for _ in range(trainer.num_val_iterations_per_epoch)
    ]
    trainer.on_validation_epoch_end(outputs)
