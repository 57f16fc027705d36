"""Prediction of the image files of a cohort, for scores alone."""

from pathlib import Path

from gynbtnet.datasets.cohort import Cohort
from gynbtnet.inference.engine.segmenter import Segmenter
from gynbtnet.inference.engine.settings import PredictionSettings
from gynbtnet.inference.prediction_request import PredictionRequest
from gynbtnet.inference.scan_prediction import predict_scan
from gynbtnet.runtime.progress import track


def predict_images(model: Segmenter, cohort: Cohort, out: Path, settings: PredictionSettings) -> None:
    """Predict the image file of every case; predictions of an earlier call by the same model are kept.

    Args:
        model: the model.
        cohort: the cases.
        out: folder of the predictions, ``<out>/<case id>/``.
        settings: settings of the prediction.
    """
    for case in track(cohort.cases, "Predicting cases"):
        request = PredictionRequest.from_path(
            model,
            case.image,
            out / case.id,
            channels=case.images[1:],
            settings=settings.to_evaluate(is_dicom=False),
            synthetic=case.synthetic,
            force=True,
            check=False,
        )
        predict_scan(model, request)
