"""Learning-rate schedule: linear warm-up, then a cosine or a polynomial."""

import math
from typing import Literal

Schedule = Literal["cosine", "poly"]

_EXPONENT = 0.9  # of the polynomial, as in nnU-Net's PolyLRScheduler


def scheduled_rate(
    used: float, budget: float, highest: float, warm_up: float = 0, *, schedule: Schedule = "cosine", step: float = 1
) -> float:
    """Return the learning rate at a point of a run.

    It rises linearly during the warm-up, and the first step after it has ``highest``. Then it falls to zero at the end
    of the budget: along half a cosine (Loshchilov and Hutter 2017, equation 5, without restarts), or as nnU-Net's
    polynomial, ``(1 - t) ** 0.9`` with t from 0 to 1 (Isensee et al. 2021, doi:10.1038/s41592-020-01008-z).

    Args:
        used: amount of the budget that is used before the step: steps or seconds.
        budget: budget of the run, in the same unit.
        highest: highest learning rate.
        warm_up: amount of the budget for the warm-up, in the same unit.
        schedule: shape after the warm-up.
        step: amount that one step of the warm-up uses. The first step has the rate ``highest × step / (warm_up +
            step)``, so that it is above 0.

    Returns:
        The learning rate, above 0 and at most ``highest``.

    Raises:
        ValueError: If ``used`` or ``warm_up`` is outside of the budget.

    Example:
        >>> [scheduled_rate(used, budget=4, highest=0.1, warm_up=2) for used in (0, 2, 3)]
        [0.03333333333333333, 0.1, 0.05]
    """
    if not 0 <= used < budget or not 0 <= warm_up < budget:
        raise ValueError(f"{used} with {warm_up} of warm-up is not within a budget of {budget}")
    if used < warm_up:
        return highest * (used + step) / (warm_up + step)
    if schedule == "poly":
        return float(highest * (1 - (used - warm_up) / (budget - warm_up)) ** _EXPONENT)
    return highest * 0.5 * (1 + math.cos(math.pi * (used - warm_up) / (budget - warm_up)))
