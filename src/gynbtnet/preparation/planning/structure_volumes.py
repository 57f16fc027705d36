"""Volumes of structures in the training patients, and the range of expected volumes."""

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit  # scipy.stats takes half a second to import

from gynbtnet.datasets.cohort import Cohort
from gynbtnet.runtime.phrases import counted

COVERED = 0.99
"""Share of further patients with a volume inside the range, if logarithms of volumes are normally distributed."""
_LEAST_SPREAD = 0.05  # equal volumes (within 5 %) don't predict the next one


@dataclass(frozen=True)
class StructureVolume:
    """The volumes of one structure in a cohort, as a log-normal distribution.

    Attributes:
        structure: its identifier.
        patients: number of patients with it, at least two.
        median_cm3: exp of the mean of ln(volume); each patient has the same weight, with any number of fractions.
        spread: standard deviation of ln(volume) over patients and their fractions, at least 0.05.

    Raises:
        ValueError: If a value is impossible.
    """

    structure: str
    patients: int
    median_cm3: float
    spread: float

    def __post_init__(self) -> None:
        if self.patients < 2 or not (0 < self.median_cm3 < math.inf and 0 < self.spread < math.inf):
            raise ValueError(
                f"{self.structure} has {counted(self.patients, 'patient')}, a median of {self.median_cm3} cm³ and a "
                f"spread of {self.spread}; expected at least two patients and positive values"
            )

    @property
    def range_cm3(self) -> tuple[float, float]:
        """Smallest and largest expected volume: the 99 % prediction interval for one more patient.

        exp(m ± t·s·√(1 + 1/n)) with Student's t of n − 1 degrees of freedom for n patients. Few patients give a wide
        range (Krishnamoorthy and Mathew 2009, Statistical Tolerance Regions, 2.2, on the logarithms).
        """
        t = float(stdtrit(self.patients - 1, (1 + COVERED) / 2))
        factor = math.exp(min(t * self.spread * math.sqrt(1 + 1 / self.patients), 50.0))
        return self.median_cm3 / factor, self.median_cm3 * factor

    def score(self, volume_cm3: float) -> float:
        """Return the distance of ln(volume) from the mean, in spreads; negative for a small volume."""
        return math.log(volume_cm3 / self.median_cm3) / self.spread


def structure_volumes(cohort: Cohort) -> tuple[StructureVolume, ...]:
    """Measure the volumes in a cohort's contours, for structures that at least two patients have, in cohort order.

    Args:
        cohort: cohort with the volumes of its cases in cm³.

    Returns:
        The range of volumes of each of these structures.
    """
    measured = []
    for structure in cohort.structures:
        logs_by_patient: dict[str, list[float]] = {}
        for case in cohort.cases:
            if (volume := case.volumes_cm3.get(structure, 0.0)) > 0:
                logs_by_patient.setdefault(case.patient, []).append(math.log(volume))
        n = len(logs_by_patient)
        if n < 2:
            continue
        mean = float(np.mean([np.mean(logs) for logs in logs_by_patient.values()]))
        squares = [np.mean((np.array(logs) - mean) ** 2) for logs in logs_by_patient.values()]
        spread = math.sqrt(float(np.sum(squares)) / (n - 1))
        measured.append(StructureVolume(structure, n, math.exp(mean), max(spread, _LEAST_SPREAD)))
    return tuple(measured)
