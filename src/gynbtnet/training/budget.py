"""Budget of a training run: the amount of computation after which it ends."""

from typing import Literal, Self

from pydantic import Field, model_validator

from gynbtnet.runtime.settings import Settings


class Budget(Settings):
    """Amount of computation for one training run; exactly one of the three is set.

    The learning rate follows the share of the budget that is used, so that every run ends at its lowest rate. Loading
    and augmenting patches count as training, and validation doesn't.
    """

    cpu_seconds: float | None = Field(
        None, gt=0, description="CPU time of all processes of the run, in seconds, without validation."
    )
    steps: int | None = Field(None, ge=1, description="Optimiser steps.")
    gpu_seconds: float | None = Field(
        None, gt=0, description="Time of training in seconds, times the number of GPUs, without validation."
    )

    @model_validator(mode="after")
    def _has_one_unit(self) -> Self:
        if sum(value is not None for value in (self.cpu_seconds, self.steps, self.gpu_seconds)) != 1:
            raise ValueError("expected exactly one of cpu_seconds, steps and gpu_seconds")
        return self

    @property
    def unit(self) -> Literal["cpu_seconds", "steps", "gpu_seconds"]:
        """Name of the value that is set."""
        if self.steps is not None:
            return "steps"
        return "gpu_seconds" if self.cpu_seconds is None else "cpu_seconds"

    @property
    def amount(self) -> float:
        """Number of steps or seconds."""
        return float(getattr(self, self.unit))
