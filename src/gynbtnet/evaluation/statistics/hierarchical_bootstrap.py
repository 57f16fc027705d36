"""Hierarchical bootstrap: intervals of a mean difference of two models over patients and over training runs.

A model's score varies with the patients that are scored and with the seed of its training. Both are resampled with
replacement. The mean of S resampled seeds varies too little by the factor √((S − 1) / S), which is large for 3 seeds.
The deviations of the resampled seeds are therefore multiplied by √(S / (S − 1)), so that their variance is unbiased
(Davison and Hinkley 1997, Bootstrap Methods and their Application, section 3.8, doi 10.1017/CBO9780511802843). The
tails are widened for few patients as in :mod:`gynbtnet.evaluation.statistics.patient_bootstrap`.
"""

import numpy as np
import numpy.typing as npt

from gynbtnet.evaluation.statistics.patient_bootstrap import bootstrap_interval, resample_patients


def hierarchical_interval(
    values: npt.NDArray[np.float64],
    other: npt.NDArray[np.float64],
    *,
    paired_runs: bool,
    n_resamples: int,
    seed: int,
    confidence: float = 0.95,
) -> tuple[float, float]:
    """Return the interval of the mean of ``values`` minus the mean of ``other``.

    Args:
        values: (S runs, P patients) of one model.
        other: (T runs, P patients) of the other model, with the same patients.
        paired_runs: whether run i of both models has something in common, such as the training patients. Runs are then
            resampled together, and S must be T. Otherwise the runs of the two models are resampled independently.
        n_resamples: number of resamples.
        seed: seed of the resamples.
        confidence: confidence level.

    Returns:
        Lower and upper end; NaN for fewer than 5 patients. With a single run, the interval includes no variation
        between runs.

    Raises:
        ValueError: If the numbers of patients differ, or those of paired runs.

    Example:
        >>> values, other = np.array([[0.9, 0.8, 0.85, 0.9, 0.8]]), np.array([[0.7, 0.7, 0.6, 0.7, 0.6]])
        >>> low, high = hierarchical_interval(values, other, paired_runs=False, n_resamples=1000, seed=0)
        >>> low < 0.19 < high
        True
    """
    if values.shape[1] != other.shape[1] or (paired_runs and len(values) != len(other)):
        raise ValueError(f"shapes {values.shape} and {other.shape} can't be paired")
    n_patients = values.shape[1]
    patients = resample_patients(n_patients, n_resamples, seed) / n_patients
    runs = _run_weights(len(values), n_resamples, seed + 1)
    other_runs = runs if paired_runs else _run_weights(len(other), n_resamples, seed + 2)
    means = ((runs @ values - other_runs @ other) * patients).sum(axis=1)
    low, high = bootstrap_interval(means, n_patients, confidence)
    return float(low), float(high)


def _run_weights(n_runs: int, n_resamples: int, seed: int) -> npt.NDArray[np.float64]:
    """Return the weights of the runs in each resample, (n_resamples, n_runs); their deviations are unbiased."""
    if n_runs == 1:
        return np.ones((n_resamples, 1))
    shares = resample_patients(n_runs, n_resamples, seed) / n_runs
    weights: npt.NDArray[np.float64] = 1 / n_runs + np.sqrt(n_runs / (n_runs - 1)) * (shares - 1 / n_runs)
    return weights
