"""A scan on disk to contours on disk."""

import json
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import pydicom

from gynbtnet.datasets.json_files import sha256_of
from gynbtnet.datasets.synthetic_marks import dicom_is_synthetic, image_is_synthetic
from gynbtnet.imaging.ct_series import CTSeries, read_ct_series
from gynbtnet.imaging.rtstruct_writer import write_rtstruct
from gynbtnet.imaging.structure_names import StructureNames
from gynbtnet.imaging.volume import Volume
from gynbtnet.imaging.volume_files import read_volume, write_volume
from gynbtnet.inference.model import Model
from gynbtnet.inference.predict import predict
from gynbtnet.inference.settings import PredictionSettings
from gynbtnet.whole_files import written_whole

NOTICE = "For research use only; made by software and not reviewed by a clinician."
SYNTHETIC = "SYNTHETIC: no real patient was scanned."


@dataclass(frozen=True)
class _Scan:
    volume: Volume
    series: CTSeries | None
    files: tuple[Path, ...]
    synthetic: bool


def predict_scan(
    model: Model,
    scan: Path,
    out: Path,
    *,
    settings: PredictionSettings | None = None,
    series_uid: str | None = None,
    names: StructureNames | None = None,
    synthetic: bool = False,
) -> Path:
    """Contour one scan and write the folder ``out`` whole: ``labels.nii.gz``, ``RS.dcm`` and ``prediction.json``.

    Args:
        model: what contours.
        scan: a folder with a DICOM CT series, or an image file; only DICOM gets an ``RS.dcm``.
        out: replaced where it exists.
        settings: of the sliding window.
        series_uid: which series, where the folder holds several.
        names: how structures are called and coloured in the RTSTRUCT.
        synthetic: say in every file that no real patient was scanned; said anyway where the scan itself says so.

    Returns:
        ``out``.

    Raises:
        BadInput: where the scan can't be read as one CT.
    """
    settings = settings or PredictionSettings()
    began = time.perf_counter()
    found = _read(scan, series_uid)
    synthetic = synthetic or found.synthetic
    read = time.perf_counter()
    segmentation = predict(model, found.volume, settings)
    predicted = time.perf_counter()
    volumes = {structure: segmentation.volume_cm3(structure) for structure in segmentation.structures}
    notice = f"{SYNTHETIC} {NOTICE}" if synthetic else NOTICE
    description = f"Research use only, not reviewed. Model {model.sha256[:8]}"  # DICOM allows 64 characters
    with written_whole(out) as partial:
        partial.mkdir()
        write_volume(segmentation.labels, partial / "labels.nii.gz")
        if found.series is not None:
            write_rtstruct(
                segmentation,
                found.series,
                partial / "RS.dcm",
                names=names or StructureNames.load(None),
                label="GynBTNet",
                description=f"SYNTHETIC. {description}" if synthetic else description,
                software_version=version("gynbtnet"),
            )
        manifest = {
            "notice": notice,
            "synthetic": synthetic,
            "model": {"name": model.folder.resolve().name, "weights": model.weights, "sha256": model.sha256},
            "input": {
                "kind": "image file" if found.series is None else "DICOM",
                "series_uid": found.series.series_uid if found.series else None,
                "sha256": sha256_of(*found.files),
            },
            "geometry": found.volume.geometry.to_json(),
            "settings": settings.model_dump(mode="json"),
            "versions": {name: version(name) for name in ("gynbtnet", "torch", "SimpleITK", "pydicom")},
            "device": str(model.device),
            "seconds": {
                "reading": round(read - began, 3),
                "contouring": round(predicted - read, 3),
                "writing": round(time.perf_counter() - predicted, 3),
            },
            "structures": list(segmentation.structures),
            "volumes_cm3": {structure: round(volume, 3) for structure, volume in volumes.items()},
            "missing": [structure for structure, volume in volumes.items() if volume == 0],
        }
        (partial / "prediction.json").write_text(json.dumps(manifest, indent=2))
    return out


def _read(scan: Path, series_uid: str | None) -> _Scan:
    if scan.is_file():
        return _Scan(read_volume(scan), None, (scan,), image_is_synthetic(scan, scan.parent))
    series = read_ct_series(scan, series_uid)
    header = pydicom.dcmread(series.files[0], stop_before_pixels=True)
    return _Scan(series.volume, series, series.files, dicom_is_synthetic(header))
