"""How large each structure was where it was learned, and what size would be new."""

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit  # scipy.stats takes half a second to import

from gynbtnet.datasets.cohort import Cohort

COVERED = 0.99
"""Share of further patients whose volume lies in the range, where logarithms of volumes are normally distributed."""
_LEAST_SPREAD = 0.05  # volumes alike to 5 % say nothing about the next one


@dataclass(frozen=True)
class StructureVolume:
    """The volumes of one structure in a cohort, as a log-normal distribution.

    Attributes:
        structure: its id.
        patients: who have it, two at least.
        median_cm3: exp of the mean of ln(volume), each patient counting once however many fractions there are.
        spread: standard deviation of ln(volume) over patients and their fractions, 0.05 at least.

    Raises:
        ValueError: where that can't be.
    """

    structure: str
    patients: int
    median_cm3: float
    spread: float

    def __post_init__(self) -> None:
        if self.patients < 2 or not (0 < self.median_cm3 < math.inf and 0 < self.spread < math.inf):
            raise ValueError(
                f"{self.structure} with {self.patients} patients, a median of {self.median_cm3} cm³ and a spread of "
                f"{self.spread}, where they are two at least and positive"
            )

    @property
    def range_cm3(self) -> tuple[float, float]:
        """Smallest and largest volume that is nothing new: the 99 % prediction interval for one patient more.

        exp(m ± t·s·√(1 + 1/n)) with Student's t of n − 1 degrees of freedom, n the patients: few of them give a wide
        range (Krishnamoorthy and Mathew 2009, Statistical Tolerance Regions, 2.2, on the logarithms).
        """
        t = float(stdtrit(self.patients - 1, (1 + COVERED) / 2))
        factor = math.exp(min(t * self.spread * math.sqrt(1 + 1 / self.patients), 50.0))
        return self.median_cm3 / factor, self.median_cm3 * factor

    def score(self, volume_cm3: float) -> float:
        """How many spreads ln(volume) lies above the mean; negative for a small one."""
        return math.log(volume_cm3 / self.median_cm3) / self.spread


def structure_volumes(cohort: Cohort) -> tuple[StructureVolume, ...]:
    """By the contours of a cohort, each structure that two patients have; in the cohort's order."""
    found = []
    for structure in cohort.structures:
        of_patients: dict[str, list[float]] = {}
        for case in cohort.cases:
            if (volume := case.volumes_cm3.get(structure, 0.0)) > 0:
                of_patients.setdefault(case.patient, []).append(math.log(volume))
        n = len(of_patients)
        if n < 2:
            continue
        mean = float(np.mean([np.mean(logs) for logs in of_patients.values()]))
        squares = [np.mean((np.array(logs) - mean) ** 2) for logs in of_patients.values()]
        spread = math.sqrt(float(np.sum(squares)) / (n - 1))
        found.append(StructureVolume(structure, n, math.exp(mean), max(spread, _LEAST_SPREAD)))
    return tuple(found)
