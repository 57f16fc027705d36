"""Settings of the optimiser, its schedule and the averaged weights."""

from typing import Literal

from pydantic import Field

from gynbtnet.runtime.settings import Settings
from gynbtnet.training.optimisation.schedule import Schedule


class OptimiserSettings(Settings):
    """Settings of the optimiser steps of all three stages."""

    optimiser: Literal["adamw", "sgd"] = Field(
        "adamw", description="adamw: AdamW; sgd: gradient descent with Nesterov momentum, as in nnU-Net."
    )
    momentum: float = Field(0.99, gt=0, lt=1, description="Nesterov momentum of sgd; adamw doesn't use it.")
    learning_rate: float = Field(5e-5, gt=0, le=1000, description="Highest learning rate.")
    schedule: Schedule = Field(
        "cosine",
        description="Decrease of the learning rate after the warm-up. cosine: half a cosine; poly: nnU-Net's "
        "polynomial with the exponent 0.9.",
    )
    weight_decay: float = Field(
        0.01, ge=0, le=1000, description="Weight decay: decoupled with adamw, added to the gradients with sgd."
    )
    weight_decay_on: Literal["all", "weights"] = Field(
        "all",
        description="all: every parameter decays, AdamW's default; weights: norms, biases and mask tokens don't, as in "
        "SparK.",
    )
    max_grad_norm: float | None = Field(
        12.0, gt=0, description="Largest gradient norm, as in nnU-Net; null: no clipping."
    )
    ema: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="Decay of an exponential moving average of the weights, e.g. 0.99. Validation, best and last "
        "weights use the average. In the first steps the decay is lower; null: the weights of the last step.",
    )
