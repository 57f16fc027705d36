"""Files of a prediction: label map or masks, RTSTRUCT, SEG and others, each written independently of the others."""

import logging
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from gynbtnet.imaging.dicom.ct_series import CTSeries
from gynbtnet.imaging.dicom.rt.rtstruct_writer import write_rtstruct
from gynbtnet.imaging.dicom.seg_writer import write_seg
from gynbtnet.imaging.files.mask_folder import write_mask_folder
from gynbtnet.imaging.files.slicer_segmentation import write_slicer_segmentation
from gynbtnet.imaging.files.volume_files import write_volume
from gynbtnet.imaging.structure_masks import OverlappingSegmentation
from gynbtnet.imaging.structure_names import StructureNames
from gynbtnet.imaging.volume import Volume
from gynbtnet.inference.engine.segmenter import Segmenter
from gynbtnet.inference.patient_page import write_patient_page
from gynbtnet.inference.prediction import Prediction
from gynbtnet.inference.prediction_request import PredictionRequest
from gynbtnet.inference.preview import write_preview
from gynbtnet.pages.patient_page import PAGE as PATIENT_PAGE
from gynbtnet.runtime.errors import BadInput, traceback_without_message
from gynbtnet.runtime.phrases import by_axis

LABELS_FILE = "labels.nii.gz"
"""Name of the label map in the folder of a prediction whose structures exclude each other."""
RTSTRUCT_FILE = "RS.dcm"
"""Name of the RTSTRUCT in the folder of a prediction."""
SEG_FILE = "SEG.dcm"
"""Name of the DICOM SEG in the folder of a prediction."""
MASKS_FOLDER = "masks"
"""Name of the folder with one mask per structure in the folder of a prediction whose structures overlap."""
REVIEWS_FOLDER = "review"
"""Name of the folder with the journal and all written reviews in the folder of a prediction."""
SLICER_FILE = "segmentation.seg.nrrd"
"""Name of the file for 3D Slicer in the folder of a prediction."""
PREVIEW_FILE = "preview.png"
"""Name of the preview in the folder of a prediction."""
_WITHOUT_CONTOURS = {PREVIEW_FILE, PATIENT_PAGE}
"""Files that no other program can read contours from."""
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class WrittenFiles:
    """Outcome of writing the files of a prediction.

    Attributes:
        names: names of the files that were written.
        failed: reason by name of each file that could not be written.
    """

    names: tuple[str, ...]
    failed: Mapping[str, str]


def write_prediction_files(
    prediction: Prediction,
    folder: Path,
    *,
    request: PredictionRequest,
    model: Segmenter,
    scan: Volume,
    series: CTSeries | None,
    synthetic: bool,
    trained_on_synthetic: bool = False,
) -> WrittenFiles:
    """Write the files that a request asks for; a file that fails does not affect the others.

    A SEG can't be empty, so none is written for an empty prediction.

    Args:
        prediction: prediction to write.
        folder: existing folder.
        request: output files, contour style and names.
        model: model that made the prediction.
        scan: first channel of the scan, HU.
        series: DICOM identity of the scan; None for an image file.
        synthetic: mark every file as synthetic.
        trained_on_synthetic: state in RTSTRUCT and SEG that the model has seen only synthetic patients.

    Raises:
        BadInput: If no file with contours could be written.
        OSError: If the disk fails.
    """
    segmentation = prediction.segmentation
    names = request.names or StructureNames.load(None)
    notice = f"Research use only, not reviewed. Model {model.sha256[:8]}"  # DICOM allows 64 characters
    summary = prediction.summary
    if trained_on_synthetic:
        notice = f"TRAINED ON SYNTHETIC PATIENTS, not reviewed. Model {model.sha256[:8]}"
        summary = f"The model was trained on synthetic patients only. {summary}"
    description, software = f"SYNTHETIC. {notice}" if synthetic else notice, version("gynbtnet")

    def rtstruct(path: Path) -> None:
        assert series is not None
        write_rtstruct(
            segmentation,
            series,
            path,
            names=names,
            label=f"{model.title} {model.sha256}"[:16],  # DICOM allows 16 characters
            description=description,
            software_version=software,
            contour_style=request.settings.contour_style,
            hole_style=request.settings.hole_style,
            remarks=prediction.remarks,
            summary=summary,
        )

    def seg(path: Path) -> None:
        assert series is not None
        write_seg(segmentation, series, path, names=names, description=description, software_version=software)

    def preview(path: Path) -> None:
        title = f"{request.out.name}, contoured by {model.title} {model.sha256[:8]}"
        write_preview(scan, prediction, path, names=names, title=title, synthetic=synthetic)

    def page(path: Path) -> None:
        write_patient_page(
            scan,
            prediction,
            path,
            names=names,
            title=f"Contours of {request.out.name}",
            facts=_facts(request, model, scan, software),
            synthetic=synthetic,
        )

    writers: dict[str, Callable[[Path], None]] = {}
    if "nifti" in request.outputs:
        if isinstance(segmentation, OverlappingSegmentation):
            writers[MASKS_FOLDER] = lambda path: write_mask_folder(segmentation, path)
        else:
            writers[LABELS_FILE] = lambda path: write_volume(segmentation.labels, path)
    if "slicer" in request.outputs:
        writers[SLICER_FILE] = lambda path: write_slicer_segmentation(segmentation, path, names)
    if series is not None and "rtstruct" in request.outputs:
        writers[RTSTRUCT_FILE] = rtstruct
    if series is not None and "seg" in request.outputs and segmentation.covered().any():
        writers[SEG_FILE] = seg
    if request.settings.preview:
        writers |= {PREVIEW_FILE: preview, PATIENT_PAGE: page}
    reasons = {name: _write_independently(write, folder / name) for name, write in writers.items()}
    failed = {name: reason for name, reason in reasons.items() if reason}
    if failed and not set(writers) - set(failed) - _WITHOUT_CONTOURS:
        raise BadInput(f"No contours of {request.files.path} could be written. {' '.join(failed.values())}")
    return WrittenFiles(tuple(name for name in writers if name not in failed), failed)


def _facts(request: PredictionRequest, model: Segmenter, scan: Volume, software: str) -> tuple[tuple[str, str], ...]:
    """Return the model, the scan and the software, as names and values for people."""
    geometry = scan.geometry
    return (
        ("model", f"{model.title}, weights {model.sha256[:8]}"),
        ("training", model.trained_on.sentence if model.trained_on else "not recorded"),
        ("scan", f"{by_axis(geometry.shape)} voxels of {by_axis(geometry.spacing)} mm"),
        ("mirrored passes", "yes" if request.settings.mirroring else "no"),
        ("software", f"GynBTNet {software}"),
    )


def _write_independently(write: Callable[[Path], None], path: Path) -> str:
    """Write a file; return the reason of a failure, or an empty text. Errors of the disk and of memory are raised."""
    try:
        write(path)
    except BadInput as error:
        reason = str(error)
    except (OSError, MemoryError):
        raise
    except Exception as error:  # of a library; its text may quote a header with the patient's name
        _LOG.debug("While %s was written: %s", path.name, traceback_without_message(error))
        reason = f"{path.name} could not be made ({type(error).__name__})."
    else:
        return ""
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    return reason
