"""Prediction of many scans with one model: overlapped in one process, in several processes, or on a cluster."""

from collections.abc import Mapping, Sequence
from functools import lru_cache, partial
from pathlib import Path

from gynbtnet.inference.engine.segmenter import Segmenter
from gynbtnet.inference.engine.settings import PredictionSettings
from gynbtnet.inference.models.model_loading import load_model
from gynbtnet.inference.prediction_request import PredictionRequest
from gynbtnet.inference.scan_prediction import load_request, predict_request, predict_scan, write_prediction
from gynbtnet.runtime.errors import BadInput, ScansFailed
from gynbtnet.runtime.parallel import failure_reason, map_scans, pipeline_scans


def predict_scans(
    model: Segmenter,
    model_path: Path,
    requests: Mapping[str, PredictionRequest],
    *,
    jobs: int = 1,
    on_cluster: bool = False,
    failed: Sequence[tuple[str, str]] = (),
) -> None:
    """Predict every scan; a scan that fails does not stop the others.

    In one process, the next scan is read and the previous one is written while the network computes. At most three
    scans are then in memory. In several processes each has one scan in memory.

    Args:
        model: trained model.
        model_path: path from which other processes load it, see
            :func:`~gynbtnet.inference.models.model_loading.load_model`.
        requests: requests by the name that a report of failures uses.
        jobs: number of processes; each loads the model.
        on_cluster: leave all work to joblib's backend, within :func:`~gynbtnet.runtime.parallel.use_cluster`.
        failed: name and reason of scans that could not be found complete; they are reported with the others.

    Raises:
        BadInput: If there is one scan and it can't be predicted.
        ScansFailed: If any of several scans failed, with the reasons; raised after the last scan.
    """
    if len(requests) == 1 and not failed and not on_cluster:
        try:
            predict_scan(model, *requests.values())
        except (BadInput, OSError):
            raise
        except Exception as error:
            raise BadInput(failure_reason(error)) from error
        return
    reasons = list(failed)
    try:
        _predict_all(model, model_path, requests, jobs=jobs, on_cluster=on_cluster)
    except ScansFailed as error:
        reasons += error.failed
    if reasons:
        raise ScansFailed(reasons, len(requests) + len(failed))


def _predict_all(
    model: Segmenter, model_path: Path, requests: Mapping[str, PredictionRequest], *, jobs: int, on_cluster: bool
) -> None:
    if jobs == 1 and not on_cluster:
        pipeline_scans(
            lambda name: load_request(model, requests[name]),
            lambda loaded: predict_request(model, loaded),
            lambda predicted: write_prediction(model, predicted),
            list(requests),
            name=str,
            title="Contouring scans",
        )
    else:
        work = partial(_predict_in_worker, model_path, model.sha256)
        map_scans(work, list(requests.items()), name=lambda entry: entry[0], title="Contouring scans", jobs=jobs)


def _predict_in_worker(model_path: Path, sha256: str, entry: tuple[str, PredictionRequest]) -> Path:
    _, request = entry
    settings = request.settings.model_dump_json(include={"weights", "device", "folds"})
    return predict_scan(_load_once(model_path, settings, sha256), request)


@lru_cache(maxsize=1)
def _load_once(model_path: Path, settings: str, sha256: str) -> Segmenter:
    """Load the model once per process, and again if its weights have changed."""
    model = load_model(model_path, PredictionSettings.model_validate_json(settings))
    if model.sha256 != sha256:
        raise BadInput(f"The weights in {model_path} have changed since the command began; run it again.")
    return model
