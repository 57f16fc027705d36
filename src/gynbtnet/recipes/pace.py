"""Pace of the machine whose CPU seconds are the budgets of learning curves, so that every machine trains the same."""

from typing import Annotated, Literal

from pydantic import Field

from gynbtnet.runtime.settings import Settings
from gynbtnet.training.budget import Budget

EarlierStage = Literal["pretraining", "supervised"]
_StepsPerSecond = Annotated[float, Field(gt=0, le=1e6)]


class Pace(Settings):
    """Optimiser steps that a machine does in a CPU second.

    With it, a budget in CPU seconds is the number of steps that this machine does in them. Other machines need more or
    less time for the same training.
    """

    machine: str = Field(min_length=1, description="Machine whose CPU seconds are the budgets.")
    task: dict[str, _StepsPerSecond] = Field(description="Steps of the task in a CPU second, by model.")
    stages: dict[EarlierStage, _StepsPerSecond] = Field({}, description="Steps of each earlier stage in a CPU second.")


def paced(budget: Budget, steps_per_second: float | None) -> Budget:
    """Return a budget of CPU seconds in steps; any other one, and all without a pace, as they are.

    Args:
        budget: the budget.
        steps_per_second: steps in a CPU second; None: budgets stay in seconds.
    """
    if steps_per_second is None or budget.cpu_seconds is None:
        return budget
    return Budget(steps=max(1, round(budget.cpu_seconds * steps_per_second)))
