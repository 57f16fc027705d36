"""Optimiser of a run."""

from typing import Any

from torch.optim import SGD, AdamW, Optimizer

from gynbtnet.training.optimisation.optimiser_settings import OptimiserSettings

SLOTS: dict[type[Optimizer], tuple[str, ...]] = {AdamW: ("step", "exp_avg", "exp_avg_sq"), SGD: ("momentum_buffer",)}
"""State per parameter that each optimiser keeps between two steps."""


def make_optimiser(groups: list[dict[str, Any]], settings: OptimiserSettings) -> Optimizer:
    """Return the optimiser of parameter groups, each with its own ``weight_decay``.

    On a GPU, one kernel updates many parameters at once: without it, AdamW is hundreds of kernels per step.
    """
    on_gpu = all(parameter.is_cuda for group in groups for parameter in group["params"])
    if settings.optimiser == "sgd":
        return SGD(groups, settings.learning_rate, momentum=settings.momentum, nesterov=True, fused=on_gpu or None)
    return AdamW(groups, settings.learning_rate, fused=on_gpu or None)
