"""A DSC predicted from what can be seen without the truth, with an interval that holds whatever the distribution.

The prediction is a ridge regression of logit DSC whose slopes can't be positive: nothing that looks worse is ever
promised a better DSC. Every patient has the weight 1, however many fractions there are, and the ridge that of one more
patient.

The interval is the hierarchical jackknife+ (Lee, Barber and Willett 2023, Distribution-free inference with hierarchical
data, arXiv:2306.06342), patients being the groups: with μ₋ₖ the regression without patient k, R its absolute residuals
on that patient's nₖ cases, each of weight 1/((K+1)·nₖ), and a weight of 1/(K+1) at infinity, it reaches from the
α-quantile of μ₋ₖ(x) − R to the (1 − α)-quantile of μ₋ₖ(x) + R. For a case of a new patient who is exchangeable with the
others it covers the DSC with a probability of 1 − 2α at least; mostly it is about 1 − α.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import optimize
from scipy.special import expit, logit

from gynbtnet.runtime.array_types import FloatArray

ALPHA = 0.1
"""The interval's nominal coverage is 1 − ALPHA, 90 %; what is guaranteed is 80 %."""
FEWEST_PATIENTS = 9
"""1/ALPHA − 1: from fewer patients no bound follows, and none is given."""
_RIDGE = 1.0
_LEAST_DSC = 0.01  # logits of 0 and 1 are infinite


@dataclass(frozen=True)
class Line:
    """logit DSC = intercept + slopes · x."""

    intercept: float
    slopes: tuple[float, ...]

    def at(self, x: Sequence[float]) -> float:
        """Of one case."""
        return self.intercept + float(np.dot(self.slopes, x))

    @classmethod
    def fit(cls, x: FloatArray, y: FloatArray, weights: FloatArray) -> "Line":
        """Least squares with a ridge and no positive slope; x (n, figures), y and weights (n,), each figure scaled."""
        centre, level = np.average(x, axis=0, weights=weights), float(np.average(y, weights=weights))
        scale = np.sqrt(np.average((x - centre) ** 2, axis=0, weights=weights))
        scale[scale < 1e-9] = np.inf  # a figure that never varies explains nothing
        root = np.sqrt(weights)
        rows = np.vstack([-((x - centre) / scale) * root[:, None], np.sqrt(_RIDGE) * np.eye(x.shape[1])])
        slopes = -optimize.nnls(rows, np.concatenate([(y - level) * root, np.zeros(x.shape[1])]))[0] / scale
        return cls(level - float(slopes @ centre), tuple(map(float, slopes)))


@dataclass(frozen=True)
class WithoutPatient:
    """The regression without one patient, and how far it was off on that patient's cases, in logits."""

    line: Line
    residuals: tuple[float, ...]


@dataclass(frozen=True)
class CalibratedDSC:
    """All that prediction needs.

    Attributes:
        line: fitted to all patients.
        patients: of each the regression without.
    """

    line: Line
    patients: tuple[WithoutPatient, ...]

    def at(self, x: Sequence[float]) -> tuple[float, float, float]:
        """DSC, and the lower and upper end of its interval, of a case with figures x; larger figures look worse."""
        levels = np.array([one.line.at(x) for one in self.patients for _ in one.residuals])
        residuals = np.array([residual for one in self.patients for residual in one.residuals])
        weights = np.array([1 / len(one.residuals) for one in self.patients for _ in one.residuals])
        weights /= len(self.patients) + 1
        middle = self.line.at(x)
        low = float(expit(min(middle, -_quantile(residuals - levels, weights))))
        high = float(expit(max(middle, _quantile(levels + residuals, weights))))
        # what lies where DSCs were cut off may be anything beyond
        low = 0.0 if low <= _LEAST_DSC else min(low, 1 - _LEAST_DSC)
        high = 1.0 if high >= 1 - _LEAST_DSC else max(high, _LEAST_DSC)
        return float(expit(middle)), low, high


def calibrate(patients: Sequence[str], x: FloatArray, dsc: FloatArray) -> CalibratedDSC | None:
    """Fit to cases whose DSC is known; None where they are of fewer than ``FEWEST_PATIENTS``.

    Args:
        patients: whose case each is, (n,).
        x: figures of each case, (n, figures); larger looks worse.
        dsc: of each case, (n,), from a model that hasn't seen the patient.
    """
    whose = np.asarray(patients)
    everyone, counts = np.unique(whose, return_counts=True)
    if len(everyone) < FEWEST_PATIENTS:
        return None
    weights = 1 / counts[np.searchsorted(everyone, whose)]
    y = logit(np.clip(dsc, _LEAST_DSC, 1 - _LEAST_DSC))
    left_out = []
    for patient in everyone:
        own = whose == patient
        line = Line.fit(x[~own], y[~own], weights[~own])
        residuals = [abs(float(value) - line.at(figures)) for figures, value in zip(x[own], y[own], strict=True)]
        left_out.append(WithoutPatient(line, tuple(residuals)))
    return CalibratedDSC(Line.fit(x, y, weights), tuple(left_out))


def _quantile(values: FloatArray, weights: FloatArray) -> float:
    """The smallest value up to which there are 1 − ALPHA of the weight; what ``weights`` lack to 1 lies at infinity."""
    order = np.argsort(values)
    reached = np.cumsum(weights[order]) >= 1 - ALPHA - 1e-9
    return float(values[order][reached.argmax()]) if reached.any() else float("inf")
