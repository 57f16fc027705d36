"""Contours of a scan, on the scan's own grid."""

from collections.abc import Sequence

import torch

from gynbtnet.imaging.sides import mirrored_labels
from gynbtnet.imaging.volume import Segmentation, Volume
from gynbtnet.inference.engine.contours import Prediction
from gynbtnet.inference.engine.logits_to_labels import logits_to_labels
from gynbtnet.inference.engine.mirroring import tta_axes
from gynbtnet.inference.engine.prediction_memory import check_prediction_memory
from gynbtnet.inference.engine.roi import find_region
from gynbtnet.inference.engine.segmenter import PlannedModel
from gynbtnet.inference.engine.settings import PredictionSettings
from gynbtnet.inference.engine.sliding_window import sliding_window_logits
from gynbtnet.inference.engine.test_time_augmentation import AveragedForward
from gynbtnet.preparation.planning.settings import ALL_AXES
from gynbtnet.preparation.preprocess import check_channels, preprocess_volume


def predict(
    model: PlannedModel, scan: Volume | Sequence[Volume], settings: PredictionSettings | None = None
) -> Segmentation:
    """Contour the structures of ``model`` on the scan's own grid, whatever that is.

    Args:
        model: what contours.
        scan: a CT in HU, or one volume a channel of the model, all on one grid.
        settings: of the sliding window.

    Raises:
        BadInput: If there isn't one volume per channel, they lie on different grids, or an axis is to be mirrored that
            wasn't mirrored in training.
    """
    return segment(model, [scan] if isinstance(scan, Volume) else scan, settings or PredictionSettings()).segmentation


def segment(model: PlannedModel, volumes: Sequence[Volume], settings: PredictionSettings) -> Prediction:
    """What :func:`predict` finds, and how far the passes that were averaged agree.

    Args:
        model: what contours.
        volumes: one a channel of the model, all on one grid; CT in HU.
        settings: of the sliding window.

    Raises:
        BadInput: If there isn't one volume per channel, they lie on different grids, an axis is to be mirrored that
            wasn't mirrored in training, or the prediction doesn't fit into memory.
    """
    check_channels(volumes, model.plan)
    check_prediction_memory(volumes[0].geometry, model.plan, on_cpu=model.device.type == "cpu")
    image, grid = preprocess_volume(volumes, model.plan)
    region = find_region(volumes, model.plan, grid, settings.roi)
    plan = model.plan
    mirrored = [ALL_AXES.index(axis) for axis in tta_axes(settings, plan.mirror_axes, str(model.folder))]
    passes = AveragedForward(
        model.networks(settings), mirrored, mirrored_labels(plan.structures) if plan.sides_swapped else None
    )
    with torch.inference_mode():
        slabs = sliding_window_logits(
            passes,
            image[(slice(None), *region.box)],
            model.plan.patch_size,
            overlap=settings.overlap,
            device=model.device,
            body=region.body,
        )
        labels = logits_to_labels(volumes[0].geometry, slabs, grid.cropped(region.box))
    structures = model.plan.structures
    return Prediction(Segmentation(Volume(labels, volumes[0].geometry), structures), passes.agreement(structures))
