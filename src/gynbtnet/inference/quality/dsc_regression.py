"""Regression of the DSC on features that need no reference contours, with a distribution-free interval.

The prediction is a ridge regression of logit DSC. Its slopes can't be positive, so a worse-looking feature never leads
to a higher predicted DSC. Every patient has a weight of 1, regardless of the number of fractions. The ridge has the
weight of one additional patient.

The interval is the hierarchical jackknife+ with patients as groups (Lee, Barber and Willett 2023, Distribution-free
inference with hierarchical data, arXiv:2306.06342). Let μ₋ₖ be the regression without patient k, and R its absolute
residuals on the nₖ cases of patient k. Each residual has a weight of 1/((K+1)·nₖ), and infinity has a weight of
1/(K+1). The lower end is the α-quantile of μ₋ₖ(x) − R. The upper end is the (1 − α)-quantile of μ₋ₖ(x) + R.

For a new patient who is exchangeable with the others, the interval covers the DSC with a probability of at
least 1 − 2α. In most data the coverage is about 1 − α.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import optimize
from scipy.special import expit, logit

from gynbtnet.runtime.array_types import FloatArray

ALPHA = 0.1
"""The nominal coverage of the interval is 1 − ALPHA = 90 %; 80 % is guaranteed."""
FEWEST_PATIENTS = 9
"""1/ALPHA − 1; fewer patients give no finite bound, so the DSC is not predicted."""
_RIDGE = 1.0
_LEAST_DSC = 0.01  # logits of 0 and 1 are infinite


@dataclass(frozen=True)
class Line:
    """Linear model: logit DSC = intercept + slopes · x."""

    intercept: float
    slopes: tuple[float, ...]

    def at(self, x: Sequence[float]) -> float:
        """Return the logit DSC of a case with features ``x``."""
        return self.intercept + float(np.dot(self.slopes, x))

    @classmethod
    def fit(cls, x: FloatArray, y: FloatArray, weights: FloatArray) -> "Line":
        """Fit by weighted least squares with a ridge on scaled features and without positive slopes.

        Args:
            x: features, (n, features).
            y: logit DSC, (n,).
            weights: (n,).
        """
        centre, level = np.average(x, axis=0, weights=weights), float(np.average(y, weights=weights))
        scale = np.sqrt(np.average((x - centre) ** 2, axis=0, weights=weights))
        scale[scale < 1e-9] = np.inf  # a constant feature explains nothing
        root = np.sqrt(weights)
        rows = np.vstack([-((x - centre) / scale) * root[:, None], np.sqrt(_RIDGE) * np.eye(x.shape[1])])
        slopes = -optimize.nnls(rows, np.concatenate([(y - level) * root, np.zeros(x.shape[1])]))[0] / scale
        return cls(level - float(slopes @ centre), tuple(map(float, slopes)))


@dataclass(frozen=True)
class WithoutPatient:
    """Regression without one patient, and its absolute residuals on the cases of that patient, in logits."""

    line: Line
    residuals: tuple[float, ...]


@dataclass(frozen=True)
class CalibratedDSC:
    """A calibrated regression of the DSC.

    Attributes:
        line: regression on all patients.
        patients: regressions without one patient each.
    """

    line: Line
    patients: tuple[WithoutPatient, ...]

    def at(self, x: Sequence[float]) -> tuple[float, float, float]:
        """Return DSC, lower and upper end of its interval for a case with features ``x``."""
        levels = np.array([patient.line.at(x) for patient in self.patients for _ in patient.residuals])
        residuals = np.array([residual for patient in self.patients for residual in patient.residuals])
        weights = np.array([1 / len(patient.residuals) for patient in self.patients for _ in patient.residuals])
        weights /= len(self.patients) + 1
        middle = self.line.at(x)
        low = float(expit(min(middle, -_quantile(residuals - levels, weights))))
        high = float(expit(max(middle, _quantile(levels + residuals, weights))))
        # an end at the clipping limit of the DSC is extended to 0 or 1
        low = 0.0 if low <= _LEAST_DSC else min(low, 1 - _LEAST_DSC)
        high = 1.0 if high >= 1 - _LEAST_DSC else max(high, _LEAST_DSC)
        return float(expit(middle)), low, high


def calibrate(patients: Sequence[str], x: FloatArray, dsc: FloatArray) -> CalibratedDSC | None:
    """Calibrate the regression on cases with known DSC.

    Args:
        patients: patient of each case, (n,).
        x: features, (n, features); a larger value looks worse.
        dsc: DSC of each case, (n,), of a model that wasn't trained on the patient.

    Returns:
        The regression; None if there are fewer than ``FEWEST_PATIENTS`` patients.
    """
    owners = np.asarray(patients)
    unique, counts = np.unique(owners, return_counts=True)
    if len(unique) < FEWEST_PATIENTS:
        return None
    weights = 1 / counts[np.searchsorted(unique, owners)]
    y = logit(np.clip(dsc, _LEAST_DSC, 1 - _LEAST_DSC))
    without_patient = []
    for patient in unique:
        own = owners == patient
        line = Line.fit(x[~own], y[~own], weights[~own])
        residuals = [abs(float(value) - line.at(features)) for features, value in zip(x[own], y[own], strict=True)]
        without_patient.append(WithoutPatient(line, tuple(residuals)))
    return CalibratedDSC(Line.fit(x, y, weights), tuple(without_patient))


def _quantile(values: FloatArray, weights: FloatArray) -> float:
    """Return the (1 − ALPHA)-quantile of weighted values; the weight missing to 1 is at infinity."""
    order = np.argsort(values)
    reached = np.cumsum(weights[order]) >= 1 - ALPHA - 1e-9
    return float(values[order][reached.argmax()]) if reached.any() else float("inf")
