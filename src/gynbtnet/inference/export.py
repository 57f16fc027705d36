"""A scan on disk to contours on disk."""

import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pydicom

from gynbtnet.datasets.json_files import sha256_of, write_json
from gynbtnet.datasets.synthetic_marks import dicom_is_synthetic, image_is_synthetic
from gynbtnet.errors import BadInput
from gynbtnet.imaging.ct_series import CTSeries, read_ct_series
from gynbtnet.imaging.dicom_series import find_series
from gynbtnet.imaging.rtstruct_writer import write_rtstruct
from gynbtnet.imaging.seg_writer import write_seg
from gynbtnet.imaging.slice_repairs import Repairs
from gynbtnet.imaging.structure_names import StructureNames
from gynbtnet.imaging.volume import Volume
from gynbtnet.imaging.volume_files import SUFFIXES, is_image_file, read_volume, write_volume
from gynbtnet.inference.channel_files import further_channels
from gynbtnet.inference.contourer import Contourer
from gynbtnet.inference.settings import PredictionSettings
from gynbtnet.progress import console
from gynbtnet.whole_files import check_replaceable, written_whole

NOTICE = "For research use only; made by software and not reviewed by a clinician."
SYNTHETIC = "SYNTHETIC: no real patient was scanned."
LABELS, RTSTRUCT, SEG, MANIFEST = "labels.nii.gz", "RS.dcm", "SEG.dcm", "prediction.json"


@dataclass(frozen=True)
class _Scan:
    volumes: tuple[Volume, ...]
    series: CTSeries | None
    files: tuple[Path, ...]
    synthetic: bool
    notes: tuple[str, ...] = ()


def predict_scan(
    model: Contourer,
    scan: Path,
    out: Path,
    *,
    channels: Sequence[Path] = (),
    settings: PredictionSettings | None = None,
    series_uid: str | None = None,
    repairs: Repairs | None = None,
    names: StructureNames | None = None,
    synthetic: bool = False,
    force: bool = False,
) -> Path:
    """Contour one scan and write the folder ``out`` whole: ``labels.nii.gz``, ``RS.dcm`` and ``prediction.json``.

    With ``settings.seg`` there is a ``SEG.dcm`` too, unless nothing was found: a SEG can't be empty.

    What stands there already is kept where the same version made it from the same scan, weights and settings.

    Args:
        model: what contours.
        scan: a folder with a DICOM CT series, or an image file; only DICOM gets an ``RS.dcm``.
        out: apart from the scan.
        channels: image files of the channels after the first, on its grid; left out, see
            :func:`~gynbtnet.inference.channel_files.further_channels`.
        settings: of the sliding window and the files.
        series_uid: which series, where the folder holds several; left out, the largest axial one, with a note.
        repairs: which flaws of the series to mend instead of refusing it; each is told and noted in the manifest.
        names: how structures are called and coloured in the RTSTRUCT.
        synthetic: say in every file that no real patient was scanned; said anyway where the scan itself says so.
        force: whether another prediction of the same scan, which stands in ``out``, is replaced.

    Returns:
        ``out``.

    Raises:
        BadInput: where the scan can't be read as one CT, or ``out`` holds the scan, anything but a prediction, or
            another one and not ``force``.
    """
    settings = settings or PredictionSettings()
    _check_apart(out, scan)
    began = time.perf_counter()
    found = _read(scan, further_channels(scan, channels, model.channels), series_uid, repairs)
    for note in found.notes:
        console.print(note)
    synthetic = synthetic or found.synthetic
    made_from = _made_from(model, found, settings, synthetic)
    if _stands(out, made_from):
        return out
    check_replaceable(out, (LABELS, RTSTRUCT, SEG, MANIFEST), MANIFEST)
    _check_same_scan(out, scan, made_from["input"]["sha256"])
    if (out / MANIFEST).is_file() and not force:
        raise BadInput(
            f"{out} holds another prediction of this scan, which somebody may have corrected; replace it with --force, "
            "or give another output folder."
        )
    read = time.perf_counter()
    contours = model.contour(found.volumes, settings)
    segmentation = contours.segmentation
    predicted = time.perf_counter()
    volumes = {structure: segmentation.volume_cm3(structure) for structure in segmentation.structures}
    description = f"Research use only, not reviewed. Model {model.sha256[:8]}"  # DICOM allows 64 characters
    with written_whole(out) as partial:
        partial.mkdir()
        write_volume(segmentation.labels, partial / LABELS)
        if found.series is not None:
            write_rtstruct(
                segmentation,
                found.series,
                partial / RTSTRUCT,
                names=names or StructureNames.load(None),
                label=f"{model.title} {model.sha256}"[:16],  # what DICOM allows
                description=f"SYNTHETIC. {description}" if synthetic else description,
                software_version=version("gynbtnet"),
                outlines=settings.outlines,
                holes=settings.holes,
            )
            if settings.seg and segmentation.labels.array.any():
                write_seg(
                    segmentation,
                    found.series,
                    partial / SEG,
                    names=names or StructureNames.load(None),
                    description=f"SYNTHETIC. {description}" if synthetic else description,
                    software_version=version("gynbtnet"),
                )
        manifest = {
            "notice": f"{SYNTHETIC} {NOTICE}" if synthetic else NOTICE,
            **made_from,
            "notes": list(found.notes),
            "geometry": found.volumes[0].geometry.to_json(),
            "device": str(model.device),
            "seconds": {
                "reading": round(read - began, 3),
                "contouring": round(predicted - read, 3),
                "writing": round(time.perf_counter() - predicted, 3),
            },
            "volumes_cm3": {structure: round(volume, 3) for structure, volume in volumes.items()},
            "agreement": {
                structure: None if math.isnan(dice) else round(dice, 4)
                for structure, dice in contours.agreement.items()
            },
            "missing": [structure for structure, volume in volumes.items() if volume == 0],
        }
        write_json(manifest, partial / MANIFEST)
    return out


def _made_from(model: Contourer, scan: _Scan, settings: PredictionSettings, synthetic: bool) -> dict[str, Any]:
    """The part of the manifest that decides what the files hold."""
    return {
        "synthetic": synthetic,
        "model": {"name": model.folder.resolve().name, "weights": model.weights, "sha256": model.sha256},
        "input": {
            "kind": "image file" if scan.series is None else "DICOM",
            "series_uid": scan.series.series_uid if scan.series else None,
            "sha256": sha256_of(*scan.files),
        },
        "settings": settings.model_dump(mode="json"),
        "versions": {name: version(name) for name in ("gynbtnet", "torch", "SimpleITK", "pydicom", *model.libraries)},
        "structures": list(model.structures),
        "files": [LABELS] if scan.series is None else [LABELS, RTSTRUCT],
    }


def _stands(out: Path, made_from: Mapping[str, Any]) -> bool:
    """Whether ``out`` holds, whole, what would be made from the same again."""
    try:
        found = json.loads((out / MANIFEST).read_text())
        same = all(found[key] == value for key, value in made_from.items())
    except (OSError, ValueError, KeyError, TypeError):  # absent, damaged or of another version: made anew
        return False
    return same and all((out / name).is_file() for name in made_from["files"])


def _check_same_scan(out: Path, scan: Path, sha256: str) -> None:
    """BadInput where another scan's prediction would be replaced; a damaged one is."""
    try:
        standing = json.loads((out / MANIFEST).read_text())["input"]["sha256"]
    except (OSError, ValueError, KeyError, TypeError):
        return
    if standing != sha256:
        raise BadInput(
            f"{out} holds the prediction of another scan than {scan}, or of what that was before; give another output "
            "folder, or delete this one."
        )


def _check_apart(out: Path, scan: Path) -> None:
    """BadInput where writing ``out`` would delete the scan or leave files in its folder."""
    place, source = out.resolve(), scan.resolve()
    if place == source or place in source.parents or source in place.parents:
        raise BadInput(
            f"The prediction would be written to {out}, where the scan {scan} lies; give an output folder apart."
        )


def _read(scan: Path, channels: tuple[Path, ...], series_uid: str | None, repairs: Repairs | None) -> _Scan:
    further = [read_volume(path) for path in channels]
    if scan.is_file():
        if not is_image_file(scan):
            raise BadInput(
                f"{scan} is no image file ({', '.join(SUFFIXES)}); of a DICOM series give the folder, not one slice."
            )
        return _Scan((read_volume(scan), *further), None, (scan, *channels), image_is_synthetic(scan, scan.parent))
    images = sorted(path for path in scan.glob("*") if is_image_file(path))
    if images and not find_series(scan):
        raise BadInput(
            f"{scan} is a folder of image files without DICOM; give the file that holds the scan ({images[0].name}?)."
        )
    series = read_ct_series(scan, series_uid, repairs)
    header = pydicom.dcmread(series.files[0], stop_before_pixels=True)
    return _Scan(
        (series.volume, *further), series, (*series.files, *channels), dicom_is_synthetic(header), series.notes
    )
