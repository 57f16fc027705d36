"""Non-inferiority by patient against a margin, and the number of patients that the next study needs.

A model is not inferior if the one-sided 95 % interval of its mean difference to the other model excludes everything
worse than the margin. The bound is that of the t test by patient, one side of two one-sided tests (Schuirmann 1987,
doi 10.1007/BF01068419).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from gynbtnet.evaluation.statistics.patient_jackknife import patient_mean

MOST_PATIENTS = 100_000
"""Larger studies are not searched for."""


@dataclass(frozen=True)
class NonInferiority:
    """Result of a non-inferiority test.

    Attributes:
        advantage: mean advantage of the model, positive if it is better, in the metric's unit.
        bound: one-sided lower end of the interval of the advantage; NaN if undefined.
        p: one-sided p-value of the hypothesis that the model is worse by the margin or more.
        patient_sd: SD of the advantage between patients.
        required_patients: patients that a study of equal models needs, see :func:`required_patients`; NaN if undefined.
    """

    advantage: float
    bound: float
    p: float
    patient_sd: float
    required_patients: float


def non_inferiority(
    differences: npt.NDArray[np.float64], patients: Sequence[str], sign: int, margin: float, alpha: float = 0.05
) -> NonInferiority:
    """Test whether a model is worse than another by less than a margin.

    Args:
        differences: model minus other, (n cases,).
        patients: patient of each case, n.
        sign: 1 if a larger value is better, -1 if a smaller value is better.
        margin: largest acceptable disadvantage, above 0, in the metric's unit.
        alpha: one-sided level.

    Returns:
        Advantage, its bound, p, and the number of patients that a next study needs.

    Example:
        >>> result = non_inferiority(np.array([0.01, -0.01, 0.0, 0.01]), ("a", "a", "b", "c"), sign=1, margin=0.05)
        >>> result.bound > -0.05, result.p < 0.05
        (True, True)
    """
    estimate = patient_mean(sign * differences[:, None], patients)
    advantage, error = float(estimate.value[0]), float(estimate.standard_error[0])
    bound = advantage - error * float(stats.t.ppf(1 - alpha, estimate.degrees_of_freedom))
    p = float(stats.t.sf((advantage + margin) / error, estimate.degrees_of_freedom))
    sd = error * math.sqrt(estimate.n_patients)
    return NonInferiority(advantage, bound, p, sd, required_patients(sd, margin, alpha=alpha))


def required_patients(patient_sd: float, margin: float, *, power: float = 0.8, alpha: float = 0.05) -> float:
    """Return the number of patients with which equal models are shown to be non-inferior with this power.

    Args:
        patient_sd: SD of the difference between patients, from a pilot.
        margin: largest acceptable disadvantage, above 0, in the same unit.
        power: probability of success if the models are equal.
        alpha: one-sided level.

    Returns:
        A whole number, at least 2; NaN if the SD is undefined or more than ``MOST_PATIENTS`` are needed.

    Example:
        >>> required_patients(0.04, 0.02)
        27.0
    """
    if not patient_sd > 0:
        return math.nan
    n = np.arange(2, MOST_PATIENTS + 1) if margin < patient_sd / 10 else np.arange(2, 1001)
    reached = stats.nct.sf(stats.t.ppf(1 - alpha, n - 1), n - 1, margin * np.sqrt(n) / patient_sd) >= power
    return float(n[int(np.argmax(reached))]) if reached.any() else math.nan
