"""Optimiser of a run."""

from typing import Any

from torch.optim import SGD, AdamW, Optimizer

from gynbtnet.training.optimisation.optimiser_settings import OptimiserSettings

SLOTS: dict[type[Optimizer], tuple[str, ...]] = {AdamW: ("step", "exp_avg", "exp_avg_sq"), SGD: ("momentum_buffer",)}
"""State per parameter that each optimiser keeps between two steps."""


def make_optimiser(groups: list[dict[str, Any]], settings: OptimiserSettings, *, loss_is_scaled: bool) -> Optimizer:
    """Return the optimiser of parameter groups, each with its own ``weight_decay``.

    On a GPU, one kernel updates many parameters at once: without it, AdamW is hundreds of kernels per step. Such an
    optimiser unscales the gradients itself, too late for clipping; so it isn't used with a scaled loss.

    Args:
        groups: parameter groups.
        settings: settings of the run.
        loss_is_scaled: True if gradients must be unscaled, as in ``16-mixed``.
    """
    on_gpu = all(parameter.is_cuda for group in groups for parameter in group["params"])
    fused = (on_gpu and not loss_is_scaled) or None
    if settings.optimiser == "sgd":
        return SGD(groups, settings.learning_rate, momentum=settings.momentum, nesterov=True, fused=fused)
    return AdamW(groups, settings.learning_rate, fused=fused)
