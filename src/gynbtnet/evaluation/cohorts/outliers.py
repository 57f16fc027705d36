"""Which cases of a cohort stand apart: a volume, or a voxel's size, far from what the others have.

The rule is robust, so that an outlier doesn't hide itself: x is the logarithm of the figure, since sizes vary in
proportion, and it stands apart where |x − median| / s > 3.5, with s = MAD / 0.6745 and MAD the median of |x − median|
(Iglewicz and Hoaglin 1993, How to Detect and Handle Outliers). s is at least 0.01, so that values alike to 3.5 % never
stand apart, and of fewer than five values none does.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gynbtnet.datasets.cohort import Cohort

LIMIT = 3.5
FEWEST = 5
"""Values of which one can stand apart."""
_LEAST_SCALE = 0.01


@dataclass(frozen=True)
class Outlier:
    """A figure that stands apart.

    Attributes:
        case_id: of which case.
        metric: what stands apart, such as "volume of bladder (cm³)".
        value: its own.
        median: that of all cases.
        score: by the rule above, more than ``LIMIT``; negative where the value is small.
    """

    case_id: str
    metric: str
    value: float
    median: float
    score: float


def find_outliers(cohort: Cohort) -> tuple[Outlier, ...]:
    """The figures that stand apart, the farthest first: volumes of structures, and spacings of slices and voxels."""
    found: list[Outlier] = []
    metrics: dict[str, dict[str, float]] = {f"volume of {name} (cm³)": {} for name in cohort.structures}
    metrics |= {
        "slice spacing (mm)": {case.id: case.geometry.spacing[0] for case in cohort.cases},
        "in-plane spacing (mm)": {case.id: case.geometry.spacing[2] for case in cohort.cases},
    }
    for case in cohort.cases:
        for name, volume in case.volumes_cm3.items():
            if volume > 0:
                metrics[f"volume of {name} (cm³)"][case.id] = volume
    for metric, values in metrics.items():
        scores = robust_scores(np.array(list(values.values())))
        median = float(np.median(list(values.values()))) if values else 0.0
        found += [
            Outlier(case_id, metric, value, median, float(score))
            for (case_id, value), score in zip(values.items(), scores, strict=True)
            if abs(score) > LIMIT
        ]
    return tuple(sorted(found, key=lambda one: (-abs(one.score), one.case_id)))


def robust_scores(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """How far each of n positive values lies from the others, (n,), signed; 0 where there are too few."""
    if len(values) < FEWEST:
        return np.zeros(len(values))
    logarithms = np.log(values)
    off = logarithms - np.median(logarithms)
    scores: npt.NDArray[np.float64] = off / max(float(np.median(np.abs(off))) / 0.6745, _LEAST_SCALE)
    return scores
