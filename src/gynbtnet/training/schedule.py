"""The learning rate as a function of the step."""

import math


def cosine_with_warm_up(step: int, steps: int, highest: float, warm_up: int = 0) -> float:
    """Learning rate of optimiser step ``step`` of ``steps``, both counted from 0.

    It rises in equal parts over ``warm_up`` steps to ``highest``, which the first step after them has, then falls along
    half a cosine and would be zero at step ``steps`` (Loshchilov and Hutter 2017, equation 5, without restarts).
    """
    if not 0 <= step < steps or not 0 <= warm_up < steps:
        raise ValueError(f"step {step} with {warm_up} of warm-up does not lie within {steps} steps")
    if step < warm_up:
        return highest * (step + 1) / (warm_up + 1)
    return highest * 0.5 * (1 + math.cos(math.pi * (step - warm_up) / (steps - warm_up)))
