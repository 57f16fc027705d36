"""Prediction of one series, in the worker's process."""

from functools import lru_cache
from pathlib import Path

from gynbtnet.inference.engine.segmenter import Segmenter
from gynbtnet.inference.engine.settings import PredictionSettings
from gynbtnet.inference.models.evaluated_settings import evaluated_settings
from gynbtnet.inference.models.model_loading import load_model
from gynbtnet.inference.prediction_request import PredictionRequest
from gynbtnet.inference.scan_prediction import predict_scan
from gynbtnet.node.jobs import Job

_MODELS_IN_MEMORY = 4


def predict_job(job: Job) -> None:
    """Predict a series and write its folder; the model stays in memory for the next job.

    Args:
        job: the job.

    Raises:
        BadInput: If the scan can't be contoured.
    """
    settings = _settings(job)
    model = _load(str(job.model), settings.model_dump_json())
    request = PredictionRequest.from_path(model, job.scan, job.out, settings=settings, repairs=job.repairs)
    predict_scan(model, request)


@lru_cache(maxsize=_MODELS_IN_MEMORY)
def _load(path: str, settings: str) -> Segmenter:
    return load_model(Path(path), PredictionSettings.model_validate_json(settings))


@lru_cache(maxsize=_MODELS_IN_MEMORY)
def _evaluated(model: Path) -> PredictionSettings:
    return evaluated_settings(model) or PredictionSettings()


def _settings(job: Job) -> PredictionSettings:
    """Return the settings of ``gynbtnet predict`` for this model, with those of the job."""
    changes = {"outputs": job.outputs, "backend": job.backend}
    settings = PredictionSettings.model_validate(_evaluated(job.model).model_dump() | changes)
    return settings.fast() if job.fast else settings
