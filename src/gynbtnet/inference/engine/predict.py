"""Segmentation of one scan in memory."""

from collections.abc import Sequence

from gynbtnet.imaging.volume import Segmentation, Volume
from gynbtnet.inference.engine.segmenter import Segmenter
from gynbtnet.inference.engine.settings import PredictionSettings


def predict(
    model: Segmenter, scan: Volume | Sequence[Volume], settings: PredictionSettings | None = None
) -> Segmentation:
    """Segment the structures of a model on the scan's own grid.

    Nothing is post-processed or checked; :func:`gynbtnet.inference.scan_prediction.predict_scan` does both.

    Args:
        model: trained model, see :func:`gynbtnet.load_model`.
        scan: CT in HU, on a grid of any orientation and spacing. For a model of several channels, one volume per
            channel, all on one grid.
        settings: sliding window and test-time augmentation; None: the defaults.

    Returns:
        The structures on the scan's grid.

    Raises:
        BadInput: If there isn't one volume per channel, or the volumes are on different grids. Also if
            the settings mirror an axis that wasn't mirrored in training, or the prediction doesn't fit into memory.

    Example:
        >>> contours = predict(load_model(run), ct.volume)
        >>> contours.structures, contours.labels.geometry == ct.volume.geometry
        (('bladder', 'rectum'), True)
    """
    volumes = [scan] if isinstance(scan, Volume) else scan
    return model.segment(volumes, settings or PredictionSettings()).segmentation
