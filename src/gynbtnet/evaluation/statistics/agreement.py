"""Bias and limits of agreement of two measurements where patients were measured several times.

A patient's differences resemble one another, so that the variance of one more measurement is that between patients plus
that within: S²_d + (1 − 1/m)·S²_w, with S²_d the variance of the patients' mean differences, S²_w that of a patient's
measurements around their own mean, pooled, and m the harmonic mean of the measurements a patient has (Bland and Altman
2007, doi 10.1080/10543400701329422, "true value varies"; unequal numbers as Zou 2013, doi 10.1177/0962280211402548).
Its interval, and those of the limits, come from the intervals of the parts (MOVER, Zou 2013). With one measurement a
patient these are the classical limits.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

Interval = tuple[float, float]


@dataclass(frozen=True)
class Agreement:
    """In the unit of the measurements; NaN where there are fewer than two patients.

    Attributes:
        bias: mean of the patients' mean differences.
        bias_interval: by Student's t of the patients.
        sd: of a single difference, between and within patients.
        lower: limit of agreement, below which 2.5 % of differences are expected.
        lower_interval: its interval.
        upper: limit of agreement, above which 2.5 % are.
        upper_interval: its interval.
        cases: how many differences.
        patients: of how many patients.
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


def agreement(differences: npt.ArrayLike, patients: Sequence[str], confidence: float = 0.95) -> Agreement:
    """Of n differences, and whose each is.

    Args:
        differences: n, one measurement minus the other.
        patients: n names.
        confidence: of the intervals; the limits hold 95 % of differences always.
    """
    found = np.asarray(differences, float)
    by_patient = [found[np.asarray(patients) == name] for name in sorted(set(patients))]
    n, many = len(found), len(by_patient)
    if many < 2:
        bias = float(found.mean()) if n else float("nan")
        nothing = (float("nan"), float("nan"))
        return Agreement(bias, nothing, float("nan"), float("nan"), nothing, float("nan"), nothing, n, many)
    means = np.array([one.mean() for one in by_patient])
    bias, between = float(means.mean()), float(means.var(ddof=1))
    within = sum(float(((one - one.mean()) ** 2).sum()) for one in by_patient) / max(n - many, 1)
    share = 1 - float(np.mean([1 / len(one) for one in by_patient]))
    variance = between + share * within
    tail = (1 - confidence) / 2
    low, high = _variance_interval(((between, many - 1), (share * within, n - many)), tail)
    margin = float(stats.t.ppf(1 - tail, many - 1)) * np.sqrt(between / many)
    z, sd = float(stats.norm.ppf(0.975)), np.sqrt(variance)
    far, near = (np.hypot(margin, z * (end - sd)) for end in (np.sqrt(high), np.sqrt(low)))
    lower, upper = bias - z * sd, bias + z * sd
    return Agreement(
        bias=bias,
        bias_interval=(float(bias - margin), float(bias + margin)),
        sd=float(sd),
        lower=float(lower),
        lower_interval=(float(lower - far), float(lower + near)),
        upper=float(upper),
        upper_interval=(float(upper - near), float(upper + far)),
        cases=n,
        patients=many,
    )


def _variance_interval(parts: Sequence[tuple[float, int]], tail: float) -> Interval:
    """Of a sum of independent variances, each with its degrees of freedom; a part with none is known to be 0."""
    known = [(variance, freedom) for variance, freedom in parts if freedom > 0]
    total = sum(variance for variance, _ in known)
    below = sum((v * (1 - f / stats.chi2.ppf(1 - tail, f))) ** 2 for v, f in known)
    above = sum((v * (f / stats.chi2.ppf(tail, f) - 1)) ** 2 for v, f in known)
    return max(0.0, float(total - np.sqrt(below))), float(total + np.sqrt(above))
