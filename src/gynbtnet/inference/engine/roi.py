"""Region of interest: the part of a scan that the network reads."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gynbtnet.imaging.geometry import Geometry
from gynbtnet.imaging.mask_measures import bounding_box
from gynbtnet.imaging.volume import Volume
from gynbtnet.inference.engine.pelvis_finder import find_pelvis
from gynbtnet.inference.engine.settings import Roi
from gynbtnet.preparation.body_mask import find_body
from gynbtnet.preparation.downsampled_scan import downsample_scan, resample_mask
from gynbtnet.preparation.planning.plan import CT
from gynbtnet.runtime.array_types import Box, Triple

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class RegionOfInterest:
    """The part of the network's grid that is predicted.

    Attributes:
        box: voxels of the grid, (z, y, x).
        body: mask of the patient inside the box; None if everything is predicted.
    """

    box: Box
    body: npt.NDArray[np.bool_] | None


def find_region(
    volumes: Sequence[Volume], channels: Sequence[str], grid: Geometry, roi: Roi, *, window: Triple
) -> RegionOfInterest:
    """Return the part of the scan to predict, from the first CT among its channels.

    The box contains the patient, the pelvis or the whole grid, as ``roi`` specifies. It is the whole grid if the scan
    has no CT or no patient is found. If no pelvis is found, the box is that of "body", and a warning is logged.

    Args:
        volumes: one volume per channel; CT in HU.
        channels: names of the channels.
        grid: the network's grid, from :func:`~gynbtnet.preparation.preprocess.target_geometry`; its axes run to the
            patient's left, posterior and superior.
        roi: part to predict.
        window: voxels (z, y, x) of the network's window.
    """
    full: Box = tuple(slice(0, n) for n in grid.shape)
    ct = [volume for name, volume in zip(channels, volumes, strict=True) if name.casefold() == CT]
    coarse = downsample_scan(ct[0]) if ct else None
    body = find_body(coarse) if coarse else None
    if coarse is None or body is None:
        if roi == "pelvis":
            _warn_no_pelvis()
        return RegionOfInterest(full, None)
    fine = resample_mask(body, coarse.geometry, grid)
    pelvis = find_pelvis(coarse, body) if roi == "pelvis" else None
    if roi == "pelvis" and pelvis is None:
        _warn_no_pelvis()
    if roi == "whole":
        return RegionOfInterest(full, fine)
    needed = bounding_box(fine) if pelvis is None else _pelvis_box(pelvis, coarse.geometry, grid)
    box = _extended(needed or full, window, grid.shape)
    return RegionOfInterest(box, fine[box])


def _warn_no_pelvis() -> None:
    _LOG.warning("No pelvis was found by its bones; the whole patient is segmented, as without --roi.")


def _pelvis_box(pelvis: tuple[slice, slice], coarse: Geometry, grid: Geometry) -> Box:
    """Return the voxels of ``grid`` in these slices and columns of the coarse scan."""
    (z, x), rows = pelvis, slice(0, coarse.shape[1])
    first = grid.to_index(coarse.to_world([side.start - 0.5 for side in (z, rows, x)]))
    last = grid.to_index(coarse.to_world([side.stop - 0.5 for side in (z, rows, x)]))
    limits = zip(np.rint(first).astype(int), np.rint(last).astype(int), grid.shape, strict=True)
    return tuple(slice(max(0, int(low)), min(n, int(high))) for low, high, n in limits)


def _extended(box: Box, window: Triple, shape: Triple) -> Box:
    """Return the box, extended to the window's size as far as the scan reaches: image data is better than padding."""
    sides = []
    for side, size, n in zip(box, window, shape, strict=True):
        more = max(0, min(size, n) - (side.stop - side.start))
        start = min(max(0, side.start - more // 2), n - (side.stop - side.start) - more)
        sides.append(slice(start, start + side.stop - side.start + more))
    return tuple(sides)
