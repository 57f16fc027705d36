"""Objects that every step of a training run needs."""

import math
from dataclasses import dataclass
from functools import cached_property

from lightning_fabric import Fabric

from gynbtnet.training.checkpoint import is_sharded
from gynbtnet.training.data.batches import Batches
from gynbtnet.training.objectives.objective import Objective
from gynbtnet.training.run_folder import RunFolder
from gynbtnet.training.schedule import cosine_with_warm_up
from gynbtnet.training.settings import TrainingSettings


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
    """

    fabric: Fabric
    objective: Objective
    batches: Batches
    validation: Batches | None
    settings: TrainingSettings
    run: RunFolder

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
    def total_steps(self) -> int:
        """Optimiser steps of the run."""
        return self.settings.epochs * self.steps_per_epoch

    @cached_property
    def warm_up_steps(self) -> int:
        """Optimiser steps with a rising learning rate."""
        by_epochs = self.settings.warm_up_epochs * self.steps_per_epoch
        return by_epochs or min(round(self.settings.warm_up_share * self.total_steps), self.total_steps - 1)

    @property
    def runs_validation(self) -> bool:
        """True if this process validates: only the main one does, unless all must run a sharded network together."""
        return self.fabric.is_global_zero or is_sharded(self.objective.network)

    def learning_rate(self, step: int) -> float:
        """Return the learning rate of an optimiser step, counted from 0."""
        return cosine_with_warm_up(step, self.total_steps, self.settings.learning_rate, self.warm_up_steps)
