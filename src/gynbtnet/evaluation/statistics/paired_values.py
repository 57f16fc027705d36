"""Paired values of models: one metric of one structure, in the cases in which every model has a score."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gynbtnet.evaluation.metrics.evaluation import Evaluation

BETTER_SIGN = {"dsc": 1, "surface_dsc": 1, "hd95_mm": -1, "asd_mm": -1, "hausdorff_mm": -1, "centroid_shift_mm": -1}
"""Metrics that can be compared: 1 if larger is better, -1 if smaller is better. Signed differences are not listed."""


@dataclass(frozen=True)
class PairedValues:
    """Values of one metric of one structure, for n cases and k models.

    Attributes:
        structure: identifier of the structure.
        metric: a field of :class:`gynbtnet.evaluation.metrics.metrics.Score`.
        models: k names.
        cases: n ids, sorted.
        patients: patient of each case, n.
        values: (n, k), in the metric's unit.
        left_out: number of cases that cannot be paired, since only some models have a score. Either some models
            predicted a structure that is absent, or the policy dropped the case.
    """

    structure: str
    metric: str
    models: tuple[str, ...]
    cases: tuple[str, ...]
    patients: tuple[str, ...]
    values: npt.NDArray[np.float64]
    left_out: int

    @property
    def n_patients(self) -> int:
        """Number of patients."""
        return len(set(self.patients))

    def differences(self, model: str, other: str) -> npt.NDArray[np.float64]:
        """Return the values of ``model`` minus those of ``other``, (n,)."""
        first, second = (self.values[:, self.models.index(name)] for name in (model, other))
        difference: npt.NDArray[np.float64] = first - second
        return difference


def pair_values(evaluations: Mapping[str, Evaluation], structure: str, metric: str) -> PairedValues:
    """Collect the values of a structure and metric in the cases in which every model has a score.

    Args:
        evaluations: evaluations by model.
        structure: identifier of the structure.
        metric: a key of :data:`BETTER_SIGN`.
    """
    by_model: list[dict[str, float]] = []
    patients: dict[str, str] = {}
    for evaluation in evaluations.values():
        scores = [score for score in evaluation.scores if score.structure == structure and score.is_scored]
        by_model.append({score.case: float(getattr(score, metric)) for score in scores})
        patients |= {score.case: score.patient for score in scores}
    cases = sorted(set.intersection(*(set(values) for values in by_model)))
    table = np.array([[values[case] for values in by_model] for case in cases], float).reshape(-1, len(by_model))
    return PairedValues(
        structure=structure,
        metric=metric,
        models=tuple(evaluations),
        cases=tuple(cases),
        patients=tuple(patients[case] for case in cases),
        values=table,
        left_out=len(patients) - len(cases),
    )
