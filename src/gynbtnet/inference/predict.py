"""Contours of a scan, on the scan's own grid."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from gynbtnet.imaging.volume import Segmentation, Volume
from gynbtnet.inference.contours import Contours
from gynbtnet.inference.native_labels import labels_on
from gynbtnet.inference.passes import Passes
from gynbtnet.inference.prediction_memory import check_prediction_memory
from gynbtnet.inference.region import find_region
from gynbtnet.inference.settings import PredictionSettings
from gynbtnet.inference.sliding_window import slide
from gynbtnet.preparation.preprocess import check_channels, preprocess_volume

if TYPE_CHECKING:
    from gynbtnet.inference.ensemble import Ensemble
    from gynbtnet.inference.model import Model

_AXES = {"z": 0, "y": 1, "x": 2}


def predict(
    model: "Model | Ensemble", scan: Volume | Sequence[Volume], settings: PredictionSettings | None = None
) -> Segmentation:
    """Contour the structures of ``model`` on the scan's own grid, whatever that is.

    Args:
        model: what contours.
        scan: a CT in HU, or one volume a channel of the model, all on one grid.
        settings: of the sliding window.

    Raises:
        BadInput: where there isn't one volume a channel, or they lie on different grids.
    """
    return contour(model, [scan] if isinstance(scan, Volume) else scan, settings or PredictionSettings()).segmentation


def contour(model: "Model | Ensemble", volumes: Sequence[Volume], settings: PredictionSettings) -> Contours:
    """What :func:`predict` finds, and how far the passes that were averaged agree.

    Args:
        model: what contours.
        volumes: one a channel of the model, all on one grid; CT in HU.
        settings: of the sliding window.

    Raises:
        BadInput: where there isn't one volume a channel, or they lie on different grids, or the
            prediction doesn't fit into memory.
    """
    check_channels(volumes, model.plan)
    check_prediction_memory(volumes[0].geometry, model.plan, on_cpu=model.device.type == "cpu")
    image, grid = preprocess_volume(volumes, model.plan)
    region = find_region(volumes, model.plan, grid, settings.roi)
    mirrored = [_AXES[name] for name in settings.mirrored_axes] if settings.mirroring else []
    passes = Passes(model.networks(settings), mirrored)
    with torch.inference_mode():
        slabs = slide(
            passes,
            image[(slice(None), *region.box)],
            model.plan.patch_size,
            overlap=settings.overlap,
            device=model.device,
            body=region.body,
        )
        labels = labels_on(volumes[0].geometry, slabs, region.geometry(grid))
    structures = model.plan.structures
    return Contours(Segmentation(Volume(labels, volumes[0].geometry), structures), passes.agreement(structures))
