"""Predictions that a comparison shows: those that were scored, and no others."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from gynbtnet.datasets.case import Case
from gynbtnet.evaluation.comparison.comparison import Comparison
from gynbtnet.evaluation.metrics.evaluation import prediction_folder, read_prediction
from gynbtnet.evaluation.metrics.metrics import Score
from gynbtnet.runtime.errors import BadInput

_ROUNDING_CM3 = 1e-3


def select_shown_predictions(comparison: Comparison, given: Mapping[str, Path]) -> dict[str, Path]:
    """Return the folders of predictions whose structures have the volumes that were scored, by model.

    Folders that were only found next to the scores may be those of another model or of other cases: they are left out.

    Args:
        comparison: the comparison with all its folders.
        given: folders that the user has named, by model.

    Raises:
        BadInput: If a folder that the user has named lacks a case, or its predictions are not the scored ones.
    """
    shown = {}
    for model, folder in comparison.predictions.items():
        try:
            _check_scored(comparison, model, folder)
        except BadInput:
            if model in given:
                raise
        else:
            shown[model] = folder
    return shown


def _check_scored(comparison: Comparison, model: str, folder: Path) -> None:
    scores: dict[str, list[Score]] = {}
    for score in comparison.evaluations[model].scores:
        scores.setdefault(score.case, []).append(score)
    for case in comparison.cohort.cases:
        _check_case(case, folder, scores[case.id], comparison.cohort.structures)


def _check_case(case: Case, folder: Path, scores: Sequence[Score], structures: Sequence[str]) -> None:
    prediction, path = read_prediction(case, folder, structures), prediction_folder(case, folder)
    if not case.geometry.is_same(prediction.labels.geometry):
        raise BadInput(f"{path} is not on the grid of its scan; give the folder that was evaluated.")
    volumes = prediction.volumes_cm3()
    for score in scores:
        volume = volumes[score.structure]
        if abs(volume - score.prediction_cm3) > _ROUNDING_CM3:  # False for NaN: the structure is unknown
            raise BadInput(
                f"{path} is not the prediction that was scored: its {score.structure} has {volume:.2f} cm³ instead of "
                f"{score.prediction_cm3:.2f} cm³. Give the folder that was evaluated, or evaluate it again."
            )
