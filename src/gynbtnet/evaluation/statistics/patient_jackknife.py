"""Patient jackknife: standard errors, t intervals and t tests from leaving out each patient with all cases.

Fractions of one patient are similar, so that the patient is the unit. The statistic is computed without each patient in
turn. Its variance is (P − 1)/P times the sum of squared deviations of these P values (Efron and Stein 1981, doi
10.1214/aos/1176345462). For equal numbers of cases, a mean has Student's interval of the P patient means. Its test is
the t test on them.

Patients with more cases have more weight in a mean over cases. The degrees of freedom are therefore one less than
Kish's effective number of patients, (Σ n)² / Σ n² for n cases per patient. For equal numbers that is P − 1.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from gynbtnet.evaluation.statistics.patient_bootstrap import sum_by_patient

_ROUNDING = 1e-10


@dataclass(frozen=True)
class PatientEstimate:
    """Statistics with their standard errors between patients.

    Attributes:
        value: statistics of all cases, (…,).
        standard_error: standard errors, (…,); NaN for fewer than two patients, or without a difference between
            patients.
        degrees_of_freedom: degrees of freedom of the standard errors.
        n_patients: number of patients.
    """

    value: npt.NDArray[np.float64]
    standard_error: npt.NDArray[np.float64]
    degrees_of_freedom: float
    n_patients: int

    @property
    def p(self) -> npt.NDArray[np.float64]:
        """Two-sided p-values of the t test against 0; 1 if the statistic is 0."""
        p: npt.NDArray[np.float64] = 2 * stats.t.sf(np.abs(self.value) / self.standard_error, self.degrees_of_freedom)
        return np.where(self.value == 0, 1.0, p)

    def interval(self, confidence: float = 0.95) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Return the lower and upper ends of the t intervals."""
        t = stats.t.ppf((1 + confidence) / 2, self.degrees_of_freedom)
        return self.value - t * self.standard_error, self.value + t * self.standard_error


def patient_jackknife(
    per_case: npt.NDArray[np.float64],
    patients: Sequence[str],
    statistic: Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]],
) -> PatientEstimate:
    """Compute statistics of sums over cases, with standard errors between patients.

    Args:
        per_case: values to sum, (n cases, …).
        patients: patient of each case, n.
        statistic: function of sums over cases, (…), that returns the statistics; it accepts further axes in front.

    Returns:
        The statistics of all cases.
    """
    _, counts = np.unique(np.asarray(patients), return_counts=True)
    sums, n_patients = sum_by_patient(per_case, patients), len(counts)
    total = sums.sum(axis=0)
    value = statistic(total)
    if n_patients < 2:
        return PatientEstimate(value, np.full(value.shape, np.nan), 0.0, n_patients)
    without = statistic(total - sums)
    variance = (n_patients - 1) / n_patients * ((without - without.mean(axis=0)) ** 2).sum(axis=0)
    error = np.sqrt(variance)
    degrees_of_freedom = float(counts.sum() ** 2 / (counts**2).sum() - 1)
    return PatientEstimate(
        value, np.where(error > _ROUNDING * np.abs(value), error, np.nan), degrees_of_freedom, n_patients
    )


def patient_mean(values: npt.NDArray[np.float64], patients: Sequence[str]) -> PatientEstimate:
    """Return the means over cases of ``values`` (n, m), with their standard errors between patients.

    Args:
        values: (n cases, m).
        patients: patient of each case, n.

    Returns:
        Means, (m,); NaN if there are no cases.

    Example:
        >>> estimate = patient_mean(np.array([[1.0], [3.0], [2.0], [6.0]]), ["a", "a", "b", "b"])
        >>> estimate.value.tolist(), estimate.standard_error.tolist()
        ([3.0], [1.0])
    """
    if not len(values):
        undefined = np.full(values.shape[1:], np.nan)
        return PatientEstimate(undefined, undefined, 0.0, 0)
    shift = values.mean(axis=0)
    pairs = np.stack([np.ones_like(values), values - shift], axis=-1)
    estimate = patient_jackknife(pairs, patients, lambda sums: shift + sums[..., 1] / sums[..., 0])
    return PatientEstimate(shift, estimate.standard_error, estimate.degrees_of_freedom, estimate.n_patients)
