"""Scores of a model on the frozen test patients."""

import hashlib
import json
from pathlib import Path

from gynbtnet.datasets.cohort import Cohort
from gynbtnet.evaluation.metrics.evaluation import Evaluation, evaluate
from gynbtnet.experiment.image_prediction import predict_images
from gynbtnet.inference.engine.settings import PredictionSettings
from gynbtnet.inference.models.model import Model
from gynbtnet.learning.learning_folder import LearningFolder
from gynbtnet.runtime.json_files import sha256_of


def score_frozen_test(
    model: Path, frozen: Cohort, folders: LearningFolder, prediction: PredictionSettings, *, jobs: int = 1
) -> Evaluation:
    """Score a model on the frozen test; scores of an earlier call for the same model, patients and settings are read.

    Args:
        model: run folder.
        frozen: the frozen test patients with their contours.
        folders: folder of the results.
        prediction: settings of the prediction.
        jobs: number of processes that score.

    Returns:
        The scores.
    """
    loaded = Model.load(model, weights=prediction.weights, device=prediction.device)
    out = folders.frozen_test(_digest(loaded.sha256, frozen, prediction))
    if (out / "evaluation" / "scores.csv").is_file():
        return Evaluation.load(out / "evaluation")
    predict_images(loaded, frozen, out / "predictions", prediction)
    return evaluate(frozen, out / "predictions", out / "evaluation", jobs=jobs)


def _digest(weights: str, frozen: Cohort, prediction: PredictionSettings) -> str:
    """Return a digest of everything that the scores depend on."""
    cases = [(case.id, sha256_of(*case.files)) for case in frozen.cases]
    content = [weights, cases, frozen.structures, prediction.model_dump(mode="json")]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()
