"""Outliers of a cohort: volumes and voxel spacings that are far from those of the other cases.

The rule is robust, so that an outlier doesn't hide itself (Iglewicz and Hoaglin 1993, How to Detect and Handle
Outliers). x is the logarithm of the value, since sizes vary in proportion. A value is an outlier if |x − median| / s >
3.5, with s = MAD / 0.6745. MAD is the median of |x − median|. s is at least 0.01, so that values that agree within
3.5 % are never outliers. With fewer than five values there are no outliers.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gynbtnet.datasets.cohort import Cohort
from gynbtnet.imaging.structure_names import StructureNames

LIMIT = 3.5
FEWEST = 5
"""Number of values from which one can be an outlier."""
_LEAST_SCALE = 0.01


@dataclass(frozen=True)
class Outlier:
    """A value far from those of the other cases.

    Attributes:
        case_id: id of the case.
        quantity: the measured quantity: volume, slice spacing or in-plane spacing.
        unit: its unit: cm³ or mm.
        value: value of the case.
        median: median of all cases.
        score: score by the rule above, beyond ``LIMIT``; negative if the value is small.
        structure: the structure whose volume it is; None for a spacing.
    """

    case_id: str
    quantity: str
    unit: str
    value: float
    median: float
    score: float
    structure: str | None = None

    def label(self, names: StructureNames | None = None) -> str:
        """Return quantity, structure and unit in words, for instance "volume of Bladder (cm³)".

        Args:
            names: names of the structures; None: the built-in table.
        """
        names = names or StructureNames.load()
        structure = f" of {names.display_name(self.structure)}" if self.structure else ""
        return f"{self.quantity}{structure} ({self.unit})"


def find_outliers(cohort: Cohort) -> tuple[Outlier, ...]:
    """Return the outliers among structure volumes, slice spacings and in-plane spacings, the farthest first.

    Args:
        cohort: cohort with the volumes in cm³ and the spacings in mm of its cases.

    Returns:
        One outlier per case and quantity.
    """
    spacings = {
        "slice spacing": {case.id: case.geometry.spacing[0] for case in cohort.cases},
        "in-plane spacing": {case.id: case.geometry.spacing[2] for case in cohort.cases},
    }
    outliers: list[Outlier] = []
    for structure in cohort.structures:
        volumes = {
            case.id: case.volumes_cm3[structure] for case in cohort.cases if case.volumes_cm3.get(structure, 0) > 0
        }
        outliers += [
            Outlier(case_id, "volume", "cm³", volumes[case_id], median, score, structure)
            for case_id, median, score in _far_values(volumes)
        ]
    for quantity, values in spacings.items():
        outliers += [
            Outlier(case_id, quantity, "mm", values[case_id], median, score)
            for case_id, median, score in _far_values(values)
        ]
    return tuple(sorted(outliers, key=lambda outlier: (-abs(outlier.score), outlier.case_id)))


def robust_scores(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the signed robust score of each value.

    Args:
        values: n positive values.

    Returns:
        n scores; 0 if there are fewer than ``FEWEST`` values.
    """
    if len(values) < FEWEST:
        return np.zeros(len(values))
    logarithms = np.log(values)
    distances = logarithms - np.median(logarithms)
    scores: npt.NDArray[np.float64] = distances / max(float(np.median(np.abs(distances))) / 0.6745, _LEAST_SCALE)
    return scores


def _far_values(values: dict[str, float]) -> list[tuple[str, float, float]]:
    """Return case id, median and score of each value beyond the limit."""
    array = np.array(list(values.values()))
    median = float(np.median(array)) if values else 0.0
    scored = zip(values, robust_scores(array), strict=True)
    return [(case_id, median, float(score)) for case_id, score in scored if abs(score) > LIMIT]
