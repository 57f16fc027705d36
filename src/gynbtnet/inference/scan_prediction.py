"""Prediction of one scan from files to files, in three steps that several scans can go through at the same time."""

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

from gynbtnet.imaging.dicom.slice_repairs import Repairs
from gynbtnet.imaging.files.mask_folder import MASK_SUFFIX
from gynbtnet.inference.engine.mirroring import with_tta_axes
from gynbtnet.inference.engine.segmenter import Segmenter
from gynbtnet.inference.manifest import (
    MANIFEST,
    InputRecord,
    ModelRecord,
    Provenance,
    ScanRecord,
    Seconds,
    existing_input_sha256,
    failed_files,
    is_up_to_date,
    make_manifest,
)
from gynbtnet.inference.prediction import Prediction
from gynbtnet.inference.prediction_files import (
    LABELS_FILE,
    MASKS_FOLDER,
    PREVIEW_FILE,
    REVIEWS_FOLDER,
    RTSTRUCT_FILE,
    SEG_FILE,
    SLICER_FILE,
    write_prediction_files,
)
from gynbtnet.inference.prediction_request import PredictionRequest, check_separate
from gynbtnet.inference.quality.body_hu import body_hu
from gynbtnet.inference.review import review_segmentation, rules_sha256
from gynbtnet.inference.scans.scan_input import ScanInput, read_scan
from gynbtnet.pages.patient_page import PAGE as PATIENT_PAGE
from gynbtnet.runtime.atomic_files import atomic_write, ensure_replaceable
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.json_files import write_json

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class LoadedRequest:
    """A request whose scan is in memory.

    Attributes:
        request: the request.
        scan: volumes and identity of the scan.
        provenance: everything that determines the content of the files.
        seconds: duration of reading.
        up_to_date: the output folder already contains exactly this prediction.
    """

    request: PredictionRequest
    scan: ScanInput
    provenance: Provenance
    seconds: float
    up_to_date: bool


@dataclass(frozen=True)
class PredictedRequest:
    """A request whose scan is predicted.

    Attributes:
        loaded: the loaded request.
        prediction: the prediction to write; None if the output folder is up to date.
        seconds: duration of the prediction.
    """

    loaded: LoadedRequest
    prediction: Prediction | None
    seconds: float


def predict_scan(model: Segmenter, request: PredictionRequest) -> Path:
    """Predict one scan and write the output folder, all of it or nothing.

    The folder contains ``prediction.json``, the contour files that ``settings.outputs`` names (``labels.nii.gz``,
    ``RS.dcm``, ``SEG.dcm``), ``preview.png`` and ``patient.html``. A SEG can't be empty, so there is none if no
    structure was found. A file that can't be written does not affect the others; the manifest contains the reason.

    An existing prediction is kept if scan, weights, settings and version are unchanged.

    Args:
        model: trained model, see :func:`gynbtnet.load_model`.
        request: scan, output folder and settings, see :meth:`PredictionRequest.from_path`.

    Returns:
        The output folder.

    Raises:
        BadInput: If the scan can't be read as one CT in HU, or a file is requested that this scan can't have. Also if
            the output folder contains the scan, something else than a prediction, or another prediction and ``force``
            is not set. Finally, after all others are written, if a file could not be written.
    """
    return write_prediction(model, predict_request(model, load_request(model, request)))


def load_request(model: Segmenter, request: PredictionRequest) -> LoadedRequest:
    """Read and check the scan, and check that the output folder may be written: the first step.

    Raises:
        BadInput: If either check fails, see :func:`predict_scan`.
    """
    began = time.perf_counter()
    check_separate(request.out, request.files.path)
    if request.files.series is None and {"rtstruct", "seg"}.intersection(request.outputs):
        raise BadInput(
            f"{request.files.path} is not a DICOM series, which RTSTRUCT and SEG need; ask for nifti only, or give the "
            "DICOM folder of the scan."
        )
    scan = read_scan(request.files, model.channels, request.repairs, check=request.check)
    if scan.series is not None and {"rtstruct", "seg"}.issuperset(request.outputs):
        scan.series.check_referable()  # otherwise there would be no file with contours
    provenance = _provenance(model, scan, request)
    warnings = (*_model_warnings(provenance), *scan.warnings)
    for level, sentences in ((logging.INFO, scan.notes), (logging.WARNING, warnings)):
        for sentence in sentences:
            _LOG.log(level, "%s: %s", request.files.path, sentence)
    up_to_date = is_up_to_date(request.out, provenance)
    if not up_to_date:
        _check_out(request, scan.sha256)
    return LoadedRequest(request, scan, provenance, time.perf_counter() - began, up_to_date)


def predict_request(model: Segmenter, loaded: LoadedRequest) -> PredictedRequest:
    """Predict the loaded scan, unless the output folder is up to date: the second step."""
    if loaded.up_to_date:
        return PredictedRequest(loaded, None, 0.0)
    began = time.perf_counter()
    settings, scan = loaded.request.settings, loaded.scan
    result = model.segment(scan.volumes, settings)
    prediction = review_segmentation(model, result, settings)
    warnings = (*_model_warnings(loaded.provenance), *scan.warnings, *prediction.warnings)
    prediction = replace(prediction, notes=(*scan.notes, *result.notes), warnings=warnings)
    return PredictedRequest(loaded, prediction, time.perf_counter() - began)


def write_prediction(model: Segmenter, predicted: PredictedRequest) -> Path:
    """Write the output folder and return its path: the third step.

    Raises:
        BadInput: If a file is missing because it could not be written, now or when an existing folder was written.
    """
    loaded, prediction = predicted.loaded, predicted.prediction
    out = loaded.request.out
    if prediction is None:
        _report_failed(out, failed_files(out))
        return out
    began = time.perf_counter()
    with atomic_write(out) as partial:
        partial.mkdir()
        written = write_prediction_files(
            prediction,
            partial,
            request=loaded.request,
            model=model,
            scan=loaded.scan.volumes[0],
            series=loaded.scan.series,
            synthetic=loaded.provenance.synthetic,
            trained_on_synthetic=bool(_model_warnings(loaded.provenance)),
        )
        seconds = (loaded.seconds, predicted.seconds, time.perf_counter() - began)
        files = loaded.request.files
        manifest = make_manifest(
            loaded.provenance,
            prediction,
            scan=ScanRecord(
                files.path.resolve(),
                tuple(path.resolve() for path in files.channels),
                loaded.request.repairs or Repairs(),
            ),
            files=written.names,
            failed=written.failed,
            device=str(model.device),
            seconds=Seconds(*(round(duration, 3) for duration in seconds)),
            body_hu=body_hu(loaded.scan.volumes, model.channels),
        )
        write_json(manifest, partial / MANIFEST)
    _report_failed(out, written.failed)
    return out


def _model_warnings(provenance: Provenance) -> tuple[str, ...]:
    """Return a warning if the model has seen only synthetic patients and the scan is of a real one."""
    trained_on = provenance.model.trained_on
    if trained_on is None or not trained_on.synthetic or provenance.synthetic:
        return ()
    return (f"{trained_on.sentence} It has never seen a real one: don't use these contours for a patient.",)


def _report_failed(out: Path, failed: Mapping[str, str]) -> None:
    if failed:
        reasons = " ".join(f"{name}: {reason}" for name, reason in failed.items())
        raise BadInput(f"{out} was written without {' and '.join(failed)}. {reasons}")


def _provenance(model: Segmenter, scan: ScanInput, request: PredictionRequest) -> Provenance:
    return Provenance(
        synthetic=request.synthetic or scan.synthetic,
        model=ModelRecord(
            *(model.folder.resolve().name, model.weights, model.sha256, model.digests, rules_sha256(model)),
            trained_on=model.trained_on,
        ),
        input=InputRecord(
            kind="image file" if scan.series is None else "DICOM",
            series_uid=scan.series.series_uid if scan.series else None,
            sha256=scan.sha256,
        ),
        settings=with_tta_axes(request.settings, model.mirror_axes, str(model.folder)).model_dump(mode="json"),
        versions={name: version(name) for name in ("gynbtnet", "torch", "SimpleITK", "pydicom", *model.libraries)},
        structures=model.structures,
        adaptation=model.adaptation,
    )


def _check_out(request: PredictionRequest, sha256: str) -> None:
    """Check that nothing would be replaced except, with ``force``, an earlier prediction of the same scan."""
    out = request.out
    if (out / REVIEWS_FOLDER).is_dir():
        raise BadInput(f"{out} has a review, which would be lost; give another output folder, or leave this scan out.")
    ensure_replaceable(
        out,
        (LABELS_FILE, RTSTRUCT_FILE, SEG_FILE, SLICER_FILE, PREVIEW_FILE, PATIENT_PAGE, MANIFEST),
        MANIFEST,
        folders={MASKS_FOLDER: MASK_SUFFIX},
    )
    if existing_input_sha256(out) not in (None, sha256):
        raise BadInput(
            f"{out} contains the prediction of another scan than {request.files.path}, or of an earlier version of "
            "it; give another output folder, or delete this one."
        )
    if (out / MANIFEST).is_file() and not request.force:
        raise BadInput(
            f"{out} contains another prediction of this scan, and somebody may have corrected it; replace it with "
            "--force, or give another output folder."
        )
