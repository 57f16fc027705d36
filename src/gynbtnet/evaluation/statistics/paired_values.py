"""Paired values of models: one metric of one structure, in the cases in which every model can be judged.

In a case without the structure, a model that predicts it has the score of a false structure. A model that rightly
predicts none is then scored as perfect: DSC 1, distance 0. Otherwise false structures would cost nothing in a test.
Cases in which every model is right about the absence have no score and are left out.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gynbtnet.evaluation.metrics.evaluation import Evaluation

BETTER_SIGN = {
    "dsc": 1,
    "surface_dsc": 1,
    "hd95_mm": -1,
    "asd_mm": -1,
    "hausdorff_mm": -1,
    "centroid_shift_mm": -1,
    "added_path_length_mm": -1,
    "added_path_length_share": -1,
    "added_path_length_1_voxel_mm": -1,
    "added_path_length_1_voxel_share": -1,
}
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
        left_out: number of cases that cannot be paired, since the policy dropped the score of some models.
        absences: number of the n cases in which the truth lacks the structure and some models predicted it.
    """

    structure: str
    metric: str
    models: tuple[str, ...]
    cases: tuple[str, ...]
    patients: tuple[str, ...]
    values: npt.NDArray[np.float64]
    left_out: int
    absences: int

    @property
    def n_patients(self) -> int:
        """Number of patients."""
        return len(set(self.patients))

    def differences(self, model: str, other: str) -> npt.NDArray[np.float64]:
        """Return the values of ``model`` minus those of ``other``, (n,)."""
        difference: npt.NDArray[np.float64] = self.of_model(model) - self.of_model(other)
        return difference

    def of_model(self, model: str) -> npt.NDArray[np.float64]:
        """Return the values of ``model``, (n,)."""
        return self.values[:, self.models.index(model)]


def pair_values(evaluations: Mapping[str, Evaluation], structure: str, metric: str) -> PairedValues:
    """Collect the values of a structure and metric in the cases in which every model can be judged.

    Args:
        evaluations: evaluations by model.
        structure: identifier of the structure.
        metric: a key of :data:`BETTER_SIGN`.
    """
    perfect = 1.0 if BETTER_SIGN[metric] > 0 else 0.0
    by_model: list[dict[str, float]] = []
    patients: dict[str, str] = {}
    without: set[str] = set()
    for evaluation in evaluations.values():
        scores = [score for score in evaluation.scores if score.structure == structure]
        scored = {score.case: float(getattr(score, metric)) for score in scores if score.is_scored}
        by_model.append(scored | {score.case: perfect for score in scores if score.missing_in == "both"})
        patients |= {score.case: score.patient for score in scores if score.is_scored}
        without |= {score.case for score in scores if score.missing_in == "truth"}
    cases = sorted(set(patients).intersection(*by_model))
    table = np.array([[values[case] for values in by_model] for case in cases], float).reshape(-1, len(by_model))
    return PairedValues(
        structure=structure,
        metric=metric,
        models=tuple(evaluations),
        cases=tuple(cases),
        patients=tuple(patients[case] for case in cases),
        values=table,
        left_out=len(patients) - len(cases),
        absences=len(without.intersection(cases)),
    )
