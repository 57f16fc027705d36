"""Results of one model on a cohort: scores, scores of subgroups, consistency over fractions, accuracy of flags."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from gynbtnet.datasets.cohort import Cohort
from gynbtnet.evaluation.calibration.flag_accuracy import FlagAccuracy, flag_accuracy
from gynbtnet.evaluation.calibration.triage import Triage, triage
from gynbtnet.evaluation.cohorts.fraction_consistency import centroids, fraction_consistency
from gynbtnet.evaluation.cohorts.subgroups import subgroups
from gynbtnet.evaluation.metrics.evaluation import Evaluation
from gynbtnet.runtime.atomic_files import atomic_write


@dataclass(frozen=True)
class ModelResults:
    """Results of one model on one cohort.

    Attributes:
        name: name of the model; empty if it is the only one.
        evaluation: its scores.
        subgroups: see :func:`gynbtnet.evaluation.cohorts.subgroups.subgroups`.
        fraction_consistency: see :func:`gynbtnet.evaluation.cohorts.fraction_consistency.fraction_consistency`.
        flags: accuracy of its failure flags; None if its predictions have no record of flags.
        triage: ranks of the cases by predicted DSC; None if the model is not calibrated.
    """

    name: str
    evaluation: Evaluation
    subgroups: pd.DataFrame
    fraction_consistency: pd.DataFrame
    flags: FlagAccuracy | None
    triage: Triage | None = None

    def save(self, folder: Path) -> None:
        """Write ``subgroups.csv``, ``consistency.csv``, and ``flags.csv`` and ``triage.csv`` if they exist."""
        tables = {"subgroups.csv": self.subgroups, "consistency.csv": self.fraction_consistency}
        if self.flags:
            tables["flags.csv"] = self.flags.contours
        if self.triage:
            tables["triage.csv"] = self.triage.cases
        for name, table in tables.items():
            with atomic_write(folder / name) as partial:
                table.to_csv(partial, index=False)


def model_results(
    name: str,
    cohort: Cohort,
    evaluation: Evaluation,
    predictions: Path | None,
    with_metal: Collection[str],
    review_share: float = 0.2,
) -> ModelResults:
    """Collect the results of a model.

    Args:
        name: name of the model.
        cohort: the cases that were scored.
        evaluation: their scores.
        predictions: folder with ``<case id>/labels.nii.gz`` and ``prediction.json``; None: neither centroids nor flags
            are known.
        with_metal: see :func:`gynbtnet.evaluation.cohorts.metal_artefacts.cases_with_metal`.
        review_share: share of the cases to review, for the triage.

    Raises:
        BadInput: If a prediction is absent or damaged.
    """
    return ModelResults(
        name=name,
        evaluation=evaluation,
        subgroups=subgroups(cohort, evaluation, with_metal),
        fraction_consistency=fraction_consistency(
            cohort, evaluation, centroids(cohort, predictions) if predictions else {}
        ),
        flags=flag_accuracy(cohort, evaluation, predictions) if predictions else None,
        triage=triage(cohort, evaluation, predictions, review_share) if predictions else None,
    )
