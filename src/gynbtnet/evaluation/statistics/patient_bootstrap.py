"""Intervals by resampling patients, each with all cases, since a patient's fractions aren't independent.

The plain percentile interval is too short where there are few patients. Ours is the expanded one: its tails are widened
to Φ(−√(P/(P−1))·t), t the quantile of Student's distribution with P − 1 degrees of freedom, so that for a mean it is as
wide as the t interval of P patients (Hesterberg 2015, The American Statistician 69(4), 371–386,
doi 10.1080/00031305.2015.1089789).
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy import stats


def resampled_patients(patients: int, resamples: int, seed: int) -> npt.NDArray[np.float64]:
    """How often each patient is drawn in each resample, (resamples, patients); every row sums to ``patients``."""
    random = np.random.default_rng(seed)
    drawn: npt.NDArray[np.float64] = random.multinomial(patients, [1 / patients] * patients, resamples).astype(float)
    return drawn


def sums_by_patient(values: npt.NDArray[np.float64], patients: Sequence[str]) -> npt.NDArray[np.float64]:
    """Of (n, …) values the sums over each patient's cases, (P, …), patients sorted by name."""
    names, places = np.unique(np.asarray(patients), return_inverse=True)
    sums = np.zeros((len(names), *values.shape[1:]))
    np.add.at(sums, places, values)
    return sums


def interval(
    resampled: npt.NDArray[np.float64], patients: int, confidence: float
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Lower and upper ends, (…,), of figures in resamples, (resamples, …); NaN for fewer than two patients.

    Resamples in which a figure isn't defined (NaN) don't count.
    """
    if patients < 2:
        nothing = np.full(resampled.shape[1:], np.nan)
        return nothing, nothing
    t = stats.t.ppf((1 + confidence) / 2, patients - 1)
    tail = stats.norm.cdf(-np.sqrt(patients / (patients - 1)) * t)
    undefined = np.isnan(resampled).all(axis=0)
    low, high = np.nanquantile(np.where(undefined, 0.0, resampled), [tail, 1 - tail], axis=0)
    return np.where(undefined, np.nan, low), np.where(undefined, np.nan, high)
