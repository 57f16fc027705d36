"""Many scans through one model: overlapped in this process, side by side in several, or on a cluster."""

from collections.abc import Mapping, Sequence
from functools import lru_cache, partial
from pathlib import Path

from gynbtnet.inference.engine.segmenter import Segmenter
from gynbtnet.inference.engine.settings import PredictionSettings
from gynbtnet.inference.models.ensemble import load_model
from gynbtnet.inference.predict_scan import (
    PredictionRequest,
    load_request,
    predict_request,
    segment_request,
    write_prediction,
)
from gynbtnet.runtime.errors import BadInput, ScansFailed
from gynbtnet.runtime.parallel import failure_reason, map_scans, pipeline_scans


def predict_scans(
    model: Segmenter,
    place: Path,
    requests: Mapping[str, PredictionRequest],
    *,
    jobs: int = 1,
    apart: bool = False,
    failed: Sequence[tuple[str, str]] = (),
) -> None:
    """Contour every scan; one that fails doesn't stop the others.

    In one process the next scan is read and the one before is written while the network computes: three scans at most
    are in memory. In several, each has one.

    Args:
        model: what contours.
        place: where other processes find it, see :func:`~gynbtnet.inference.models.ensemble.load_model`.
        requests: by the names that a report of failures uses.
        jobs: processes at once; each loads the model.
        apart: leave all of it to joblib's backend, within :func:`~gynbtnet.runtime.parallel.use_cluster`.
        failed: scans that couldn't be found whole, to be told with the others: place and reason.

    Raises:
        BadInput: where there is one scan and it can't be contoured.
        ScansFailed: at the end, where any of several failed: which, and why.
    """
    if len(requests) == 1 and not failed and not apart:
        try:
            predict_request(model, *requests.values())
        except (BadInput, OSError):
            raise
        except Exception as error:
            raise BadInput(failure_reason(error)) from error
        return
    reasons = list(failed)
    try:
        _predict_all(model, place, requests, jobs=jobs, apart=apart)
    except ScansFailed as error:
        reasons += error.failed
    if reasons:
        raise ScansFailed(reasons, len(requests) + len(failed))


def _predict_all(
    model: Segmenter, place: Path, requests: Mapping[str, PredictionRequest], *, jobs: int, apart: bool
) -> None:
    if jobs == 1 and not apart:
        pipeline_scans(
            lambda name: load_request(model, requests[name]),
            lambda read: segment_request(model, read),
            lambda contoured: write_prediction(model, contoured),
            list(requests),
            name=str,
            title="Contouring scans",
        )
    else:
        work = partial(_predict, place, model.sha256)
        map_scans(work, list(requests.items()), name=lambda named: named[0], title="Contouring scans", jobs=jobs)


def _predict(place: Path, sha256: str, named: tuple[str, PredictionRequest]) -> Path:
    _, request = named
    loading = request.settings.model_dump_json(include={"weights", "device", "folds"})
    return predict_request(_loaded(place, loading, sha256), request)


@lru_cache(maxsize=1)
def _loaded(place: Path, settings: str, sha256: str) -> Segmenter:
    """The model with these weights: loaded once in a process, and again where others have come in their place."""
    model = load_model(place, PredictionSettings.model_validate_json(settings))
    if model.sha256 != sha256:
        raise BadInput(f"The weights in {place} are others than when the command began; run it again.")
    return model
