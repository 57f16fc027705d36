"""Bland–Altman limits of agreement of two measurements, for several measurements per patient.

The differences of a patient are similar. The variance of one more difference is therefore the variance between patients
plus that within: S²_d + (1 − 1/m)·S²_w. S²_d is the variance of the patients' mean differences. S²_w is the pooled
variance of a patient's differences around their mean, and m the harmonic mean of the number of measurements per patient
(Bland and Altman 2007, doi 10.1080/10543400701329422, "true value varies"; unequal numbers as Zou 2013, doi
10.1177/0962280211402548). Its interval, and the intervals of the limits, are computed from the intervals of both
variances (MOVER, Zou 2013). With one measurement per patient, these are the classical limits.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

Interval = tuple[float, float]


@dataclass(frozen=True)
class LimitsOfAgreement:
    """Bias and limits of agreement, in the unit of the measurements; NaN for fewer than two patients.

    Attributes:
        bias: mean of the patients' mean differences.
        bias_interval: interval of the bias, by Student's t over the patients.
        sd: SD of a single difference, between and within patients.
        lower: lower limit of agreement; 2.5 % of differences are expected below it.
        lower_interval: interval of the lower limit.
        upper: upper limit of agreement; 2.5 % of differences are expected above it.
        upper_interval: interval of the upper limit.
        cases: number of differences.
        patients: number of patients.
    """

    bias: float
    bias_interval: Interval
    sd: float
    lower: float
    lower_interval: Interval
    upper: float
    upper_interval: Interval
    cases: int
    patients: int


def limits_of_agreement(
    differences: npt.ArrayLike, patients: Sequence[str], confidence: float = 0.95
) -> LimitsOfAgreement:
    """Compute bias and limits of agreement.

    Args:
        differences: one measurement minus the other, n.
        patients: patient of each difference, n.
        confidence: confidence level of the intervals; the limits always contain 95 % of differences.

    Returns:
        Bias, standard deviation, limits and their intervals, in the unit of the differences; NaN if there are too few.
    """
    values = np.asarray(differences, float)
    by_patient = [values[np.asarray(patients) == name] for name in sorted(set(patients))]
    n, n_patients = len(values), len(by_patient)
    if n_patients < 2:
        bias, nan = float(values.mean()) if n else float("nan"), float("nan")
        return LimitsOfAgreement(bias, (nan, nan), nan, nan, (nan, nan), nan, (nan, nan), n, n_patients)
    means = np.array([own.mean() for own in by_patient])
    bias, between = float(means.mean()), float(means.var(ddof=1))
    within = sum(float(((own - own.mean()) ** 2).sum()) for own in by_patient) / max(n - n_patients, 1)
    share = 1 - float(np.mean([1 / len(own) for own in by_patient]))
    variance = between + share * within
    tail = (1 - confidence) / 2
    low, high = _variance_interval(((between, n_patients - 1), (share * within, n - n_patients)), tail)
    margin = float(stats.t.ppf(1 - tail, n_patients - 1)) * np.sqrt(between / n_patients)
    z, sd = float(stats.norm.ppf(0.975)), np.sqrt(variance)
    outer, inner = (np.hypot(margin, z * (end - sd)) for end in (np.sqrt(high), np.sqrt(low)))
    lower, upper = bias - z * sd, bias + z * sd
    return LimitsOfAgreement(
        bias=bias,
        bias_interval=(float(bias - margin), float(bias + margin)),
        sd=float(sd),
        lower=float(lower),
        lower_interval=(float(lower - outer), float(lower + inner)),
        upper=float(upper),
        upper_interval=(float(upper - inner), float(upper + outer)),
        cases=n,
        patients=n_patients,
    )


def _variance_interval(parts: Sequence[tuple[float, int]], tail: float) -> Interval:
    """Return the interval of a sum of independent variances, each with its degrees of freedom.

    A variance without degrees of freedom is known to be 0.
    """
    known = [(variance, freedom) for variance, freedom in parts if freedom > 0]
    total = sum(variance for variance, _ in known)
    below = sum((v * (1 - f / stats.chi2.ppf(1 - tail, f))) ** 2 for v, f in known)
    above = sum((v * (f / stats.chi2.ppf(tail, f) - 1)) ** 2 for v, f in known)
    return max(0.0, float(total - np.sqrt(below))), float(total + np.sqrt(above))
