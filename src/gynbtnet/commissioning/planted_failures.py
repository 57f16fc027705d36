"""Planted failures: synthetic scans and contours with a known fault, and what the software reports about them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from gynbtnet.commissioning.findings import Findings, find, without_path
from gynbtnet.commissioning.planted_scans import PlantedScan, local_scans, phantom_scans
from gynbtnet.datasets.case import Case
from gynbtnet.evaluation.metrics.evaluation import read_prediction_folder
from gynbtnet.imaging.files.volume_files import read_volume
from gynbtnet.imaging.label_map import paint_masks
from gynbtnet.imaging.structure_masks import OverlappingSegmentation, StructureMasks
from gynbtnet.imaging.structure_names import StructureNames
from gynbtnet.imaging.volume import Segmentation
from gynbtnet.inference.engine.mirroring import tta_signature
from gynbtnet.inference.engine.segmenter import SegmentationResult, Segmenter
from gynbtnet.inference.engine.settings import PredictionSettings
from gynbtnet.inference.manifest import MANIFEST
from gynbtnet.inference.prediction_request import PredictionRequest
from gynbtnet.inference.review import review_segmentation
from gynbtnet.pictures.overlays import make_view, overlay_figure
from gynbtnet.pictures.picture import render_picture
from gynbtnet.runtime.atomic_files import atomic_write
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.plain_data import load_json
from gynbtnet.runtime.progress import track

Outcome = Literal["refused", "flagged", "not noticed", "control", "not run"]
PICTURE = "planted.png"
"""Picture of contours in the folder of a planted failure."""
_DPI = 60


@dataclass(frozen=True)
class PlantedFailure:
    """A planted failure and its outcome.

    Attributes:
        name: name of its folder.
        planted: the failure, for people.
        outcome: "refused": no contours. "flagged": the software reports something that it doesn't report without
            the failure. "not noticed": nothing new is reported. "control": without a failure. "not run": it can't be
            made for this model.
        report: findings of the software that the control doesn't have, one sentence or two each; of a control all.
        as_control: findings that the control has as well.
    """

    name: str
    planted: str
    outcome: Outcome
    report: tuple[str, ...]
    as_control: tuple[str, ...] = ()


def run_planted_failures(
    model: Segmenter,
    case: Case,
    prediction: Path,
    out: Path,
    settings: PredictionSettings,
    names: StructureNames,
) -> tuple[PlantedFailure, ...]:
    """Run every planted failure; those that are up to date in ``out`` are kept.

    Args:
        model: model to commission.
        case: a local case with contours of the model.
        prediction: folder of its prediction.
        out: folder with one folder per planted failure.
        settings: prediction settings.
        names: names of structures.

    Returns:
        Controls and failures, with the findings of the software.
    """
    control = Findings.of_folder(prediction)
    results = [
        PlantedFailure("local_control", "A local scan as it is.", "control", control.sentences(names)),
        _half_organ(model, case, prediction, out, settings, names, control),
    ]
    phantoms = phantom_scans(case.geometry.spacing)
    phantom_control: Findings | None = None
    for scan in track([*local_scans(case.image), *phantoms], "Planted failures"):
        if scan.origin == "phantom" and len(model.channels) > 1:
            reason = (f"The phantom has a CT only, and the model reads {', '.join(model.channels)}.",)
            results.append(PlantedFailure(scan.name, scan.planted, "not run", reason))
            continue
        findings = _predict(model, scan, case.images[1:], out / scan.name, settings, names)
        if scan is phantoms[0]:
            phantom_control = findings
            results.append(PlantedFailure(scan.name, scan.planted, "control", findings.sentences(names)))
            continue
        compared = control if scan.origin == "local" or phantom_control is None else phantom_control
        results.append(_judged(scan.name, scan.planted, findings, compared, names))
    return tuple(results)


def _judged(name: str, planted: str, findings: Findings, control: Findings, names: StructureNames) -> PlantedFailure:
    new, shared = (part.sentences(names) for part in findings.split_by(control))
    outcome: Outcome = "refused" if findings.refusal else "flagged" if new else "not noticed"
    return PlantedFailure(name, planted, outcome, new, shared)


def _predict(
    model: Segmenter,
    scan: PlantedScan,
    channels: Sequence[Path],
    folder: Path,
    settings: PredictionSettings,
    names: StructureNames,
) -> Findings:
    """Write a scan unless it is there, predict it, and draw its contours."""
    source = folder / "source"
    if not source.is_dir():
        with atomic_write(source) as partial:
            partial.mkdir()
            scan.write(partial)
    path = next(iter(sorted(source.iterdir())))
    try:
        request = PredictionRequest.from_path(
            model, path, folder / "prediction", channels=channels, settings=settings, synthetic=True, force=True
        )
    except BadInput as refusal:
        return Findings(without_path(refusal, path))
    findings = find(model, request)
    if not findings.refusal and path.is_file():
        segmentation = read_prediction_folder(request.out, model.structures)
        _draw(path, segmentation, folder / PICTURE, scan.planted, names)
    return findings


def _half_organ(
    model: Segmenter,
    case: Case,
    prediction: Path,
    out: Path,
    settings: PredictionSettings,
    names: StructureNames,
    control: Findings,
) -> PlantedFailure:
    """Delete the left half of a predicted organ, the bladder if the model has one, and review what is left."""
    segmentation = read_prediction_folder(prediction, model.structures)
    volumes = segmentation.volumes_cm3()
    organ = "bladder" if volumes.get("bladder") else max(volumes, key=lambda name: volumes[name])
    title = names.display_name(organ)
    planted = f"Half of a predicted contour: the left half of the {title} of a local scan was deleted."
    if not volumes[organ]:
        return PlantedFailure("half_organ", planted, "not run", ("The model found no structure in this scan.",))
    halved = without_left_half(segmentation, organ)
    known = load_json(prediction / MANIFEST)["agreement"]
    agreement = {name: math.nan if value is None else float(value) for name, value in known.items()}
    signature = tta_signature(settings, model.plan, len(model.networks(settings))) if model.plan else ""
    reviewed = review_segmentation(model, SegmentationResult(halved, agreement, signature), settings)
    reviewed = replace(reviewed, warnings=(*control.warnings, *reviewed.warnings))
    findings = Findings.of_prediction(reviewed)
    _draw(case.image, reviewed.segmentation, out / "half_organ" / PICTURE, planted, names)
    return _judged("half_organ", planted, findings, control, names)


def without_left_half(segmentation: Segmentation, structure: str) -> Segmentation:
    """Return a segmentation in which a structure lacks everything to the left of its centroid."""
    mask = segmentation.mask(structure)
    voxels = np.argwhere(mask)
    x = segmentation.labels.geometry.to_world(voxels)[:, 0]
    left = np.zeros_like(mask)
    left[tuple(voxels[x > x.mean()].T)] = True
    if isinstance(segmentation, OverlappingSegmentation):
        masks = {name: segmentation.mask(name) for name in segmentation.structures}
        return paint_masks(StructureMasks.of({**masks, structure: mask & ~left}, segmentation.labels.geometry))
    labels = np.where(left, 0, segmentation.labels.array).astype(segmentation.labels.array.dtype)
    return replace(segmentation, labels=replace(segmentation.labels, array=labels))


def _draw(image: Path, segmentation: Segmentation, path: Path, description: str, names: StructureNames) -> None:
    figure = overlay_figure(make_view(read_volume(image), segmentation), names)
    with atomic_write(path) as partial:
        partial.write_bytes(render_picture(figure, description, _DPI).png)
