"""One metric of one structure, in the cases for which every model has a score."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gynbtnet.evaluation.metrics.evaluate import Evaluation

BETTER = {"dsc": 1, "surface_dsc": 1, "hd95_mm": -1, "asd_mm": -1, "hausdorff_mm": -1, "centroid_shift_mm": -1}
"""Metrics that can be compared: 1 where larger is better, -1 where smaller is. A signed difference is neither."""


@dataclass(frozen=True)
class PairedValues:
    """Values of n cases under k models.

    Attributes:
        structure: its id.
        metric: a field of :class:`gynbtnet.evaluation.metrics.metrics.Score`.
        models: k names.
        cases: n ids, sorted.
        patients: whose each case is, n.
        values: (n, k), in the metric's unit.
        left_out: cases that some models have a score for and others haven't, and that no pair can be made of: a
            structure that is not there was drawn by some, or the policy dropped it.
    """

    structure: str
    metric: str
    models: tuple[str, ...]
    cases: tuple[str, ...]
    patients: tuple[str, ...]
    values: npt.NDArray[np.float64]
    left_out: int

    @property
    def patients_count(self) -> int:
        """How many patients the cases are of."""
        return len(set(self.patients))

    def differences(self, model: str, other: str) -> npt.NDArray[np.float64]:
        """``model`` minus ``other``, (n,)."""
        first, second = (self.values[:, self.models.index(name)] for name in (model, other))
        difference: npt.NDArray[np.float64] = first - second
        return difference


def paired_values(evaluations: Mapping[str, Evaluation], structure: str, metric: str) -> PairedValues:
    """The cases of ``structure`` that all of ``evaluations``, by model, have a score for."""
    found: list[dict[str, float]] = []
    patients: dict[str, str] = {}
    for evaluation in evaluations.values():
        of_structure = [one for one in evaluation.scores if one.structure == structure and one.scored]
        found.append({one.case: float(getattr(one, metric)) for one in of_structure})
        patients |= {one.case: one.patient for one in of_structure}
    cases = sorted(set.intersection(*(set(one) for one in found)))
    values = np.array([[of_model[case] for of_model in found] for case in cases], float).reshape(-1, len(found))
    return PairedValues(
        structure=structure,
        metric=metric,
        models=tuple(evaluations),
        cases=tuple(cases),
        patients=tuple(patients[case] for case in cases),
        values=values,
        left_out=len(patients) - len(cases),
    )
