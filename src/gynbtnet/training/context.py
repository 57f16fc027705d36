"""Objects that every step of a training run needs."""

import math
from dataclasses import dataclass, field
from functools import cached_property

from lightning_fabric import Fabric

from gynbtnet.networks.transfer import Parts
from gynbtnet.training.checkpoint import Progress, is_sharded
from gynbtnet.training.cost.cost_meter import Clock, ProcessClock, UsedTime
from gynbtnet.training.data.batches import Batches
from gynbtnet.training.objectives.objective import Objective
from gynbtnet.training.optimisation.schedule import scheduled_rate
from gynbtnet.training.run_folder import RunFolder
from gynbtnet.training.settings import SegmentationSettings, TrainingSettings


@dataclass(frozen=True)
class TrainingContext:
    """Devices, objective, data, settings and folder of a training run; constant from its start to its end.

    Attributes:
        fabric: processes, devices and number format.
        objective: network, loss and validation scores of the stage.
        batches: training patches.
        validation: validation patches; None if no scan validates.
        settings: settings of the run.
        run: folder of the run.
        clock: clock that measures what the run uses of its budget.
        transferred: parts of the network that have the weights of an earlier stage; None: from scratch.
    """

    fabric: Fabric
    objective: Objective
    batches: Batches
    validation: Batches | None
    settings: TrainingSettings
    run: RunFolder
    clock: Clock = field(default_factory=ProcessClock)
    transferred: Parts | None = None

    @property
    def global_batch_size(self) -> int:
        """Patches that all devices process before the gradients are accumulated."""
        return self.batches.batch_size * self.batches.devices

    @cached_property
    def steps_per_epoch(self) -> int:
        """Optimiser steps per epoch. Without a setting, each training scan is shown once."""
        patches_per_step = self.global_batch_size * self.settings.gradient_accumulation_steps
        return self.settings.steps_per_epoch or math.ceil(len(self.batches.cases) / patches_per_step)

    @cached_property
    def total_steps(self) -> int | None:
        """Optimiser steps of the run; None if its budget is in seconds."""
        budget = self.settings.budget
        return self.settings.epochs * self.steps_per_epoch if budget is None else budget.steps

    @cached_property
    def length(self) -> float:
        """Length of the run in its unit: optimiser steps, or seconds if its budget is in seconds."""
        budget = self.settings.budget
        return budget.amount if budget is not None and self.total_steps is None else float(self.total_steps or 0)

    @cached_property
    def warm_up(self) -> float:
        """Part of the length with a rising learning rate, in the same unit; whole steps if it is in steps."""
        by_epochs = self.settings.warm_up_epochs * self.steps_per_epoch
        by_share = self.settings.warm_up_share * self.length
        if self.total_steps is None:
            return by_share
        return by_epochs or min(round(by_share), self.total_steps - 1)

    @property
    def runs_validation(self) -> bool:
        """True if this process validates: only the main one does, unless all must run a sharded network together."""
        return self.fabric.is_global_zero or is_sharded(self.objective.network)

    @property
    def encoder_rate(self) -> float:
        """Learning rate of the encoder, divided by that of the decoder."""
        if self.transferred is None or not isinstance(self.settings, SegmentationSettings):
            return 1.0
        return self.settings.encoder_learning_rate

    @property
    def head_rate(self) -> float:
        """Learning rate of the segmentation heads, divided by that of the decoder."""
        has_new_heads = self.transferred in ("encoder", "all_but_heads")
        if not has_new_heads or not isinstance(self.settings, SegmentationSettings):
            return 1.0
        return self.settings.new_head_learning_rate

    def trains_encoder(self, used: float) -> bool:
        """Return whether a step trains the encoder; a transferred one isn't trained in ``decoder_first_share``."""
        if self.transferred is None or not isinstance(self.settings, SegmentationSettings):
            return True
        return used >= self.settings.decoder_first_share * self.length

    def steps_done(self, progress: Progress) -> int:
        """Return the number of optimiser steps at the end of an epoch that isn't the last one."""
        return progress.epoch * self.steps_per_epoch

    def used(self, steps: int, time: UsedTime) -> float:
        """Return the used part of the length, in its unit, after ``steps`` optimiser steps and ``time``."""
        unit = self.settings.budget.unit if self.settings.budget else "steps"
        seconds = {"cpu_seconds": time.cpu_seconds, "gpu_seconds": time.gpu_seconds}
        return float(steps if unit == "steps" else seconds[unit] or 0)

    def is_over(self, progress: Progress) -> bool:
        """Return whether the run has used its length at the end of an epoch."""
        return self.used(self.steps_done(progress), progress.used) >= self.length

    def learning_rate(self, used: float) -> float:
        """Return the learning rate of the optimiser step that begins when ``used`` of the length is used.

        With a budget in seconds, warm-up starts at a hundredth of the rate, since the time of a step isn't known yet.
        """
        step = 1 if self.total_steps is not None else self.warm_up / 100
        settings = self.settings
        return scheduled_rate(
            used, self.length, settings.learning_rate, self.warm_up, schedule=settings.schedule, step=step
        )
