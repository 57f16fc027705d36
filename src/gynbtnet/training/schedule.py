"""Learning-rate schedule: linear warm-up, then a cosine."""

import math


def cosine_with_warm_up(step: int, steps: int, highest: float, warm_up: int = 0) -> float:
    """Return the learning rate of an optimiser step.

    It rises linearly over ``warm_up`` steps, and the first step after them has ``highest``. Then it falls along half a
    cosine that would be zero at step ``steps`` (Loshchilov and Hutter 2017, equation 5, without restarts).

    Args:
        step: number of the step, from 0.
        steps: number of steps of the run.
        highest: highest learning rate.
        warm_up: number of warm-up steps.

    Returns:
        The learning rate, above 0 and at most ``highest``.

    Raises:
        ValueError: If ``step`` or ``warm_up`` is outside of the run.

    Example:
        >>> [cosine_with_warm_up(step, steps=4, highest=0.1, warm_up=2) for step in (0, 2, 3)]
        [0.03333333333333333, 0.1, 0.05]
    """
    if not 0 <= step < steps or not 0 <= warm_up < steps:
        raise ValueError(f"step {step} with {warm_up} of warm-up is not within {steps} steps")
    if step < warm_up:
        return highest * (step + 1) / (warm_up + 1)
    return highest * 0.5 * (1 + math.cos(math.pi * (step - warm_up) / (steps - warm_up)))
