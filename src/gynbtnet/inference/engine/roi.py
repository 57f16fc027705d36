"""What of a scan the network looks at."""

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
from gynbtnet.preparation.planning.plan import CT, Plan
from gynbtnet.runtime.array_types import Box, Triple
from gynbtnet.runtime.progress import console


@dataclass(frozen=True)
class RegionOfInterest:
    """A part of the network's grid.

    Attributes:
        box: the part, in voxels of the grid.
        body: the patient inside it, None where everything is looked at.
    """

    box: Box
    body: npt.NDArray[np.bool_] | None


def find_region(volumes: Sequence[Volume], plan: Plan, grid: Geometry, roi: Roi) -> RegionOfInterest:
    """The patient as the scan's first CT shows it: where to lay windows, and which of them to leave out.

    The box lies between the patient's ends, or around the pelvis, or is all of the grid, as ``roi`` says. Everything
    where the scan has no CT or no patient is found; as "body", with a warning, where no pelvis is.

    Args:
        volumes: one a channel of the plan.
        plan: which of them is a CT, and how large the network's window is.
        grid: the network's, as :func:`~gynbtnet.preparation.preprocess.target_geometry` has it.
        roi: what to look for.
    """
    whole: Box = tuple(slice(0, n) for n in grid.shape)
    ct = [volume for name, volume in zip(plan.channels, volumes, strict=True) if name.casefold() == CT]
    coarse = downsample_scan(ct[0]) if ct else None
    body = find_body(coarse) if coarse else None
    if coarse is None or body is None:
        if roi == "pelvis":
            _warn_of_none()
        return RegionOfInterest(whole, None)
    fine = resample_mask(body, coarse.geometry, grid)
    found = find_pelvis(coarse, body) if roi == "pelvis" else None
    if roi == "pelvis" and found is None:
        _warn_of_none()
    if roi == "whole":
        return RegionOfInterest(whole, fine)
    needed = bounding_box(fine) if found is None else _box(found, coarse.geometry, grid)
    box = _at_least(needed or whole, plan.patch_size, grid.shape)
    return RegionOfInterest(box, fine[box])


def _warn_of_none() -> None:
    console.print("No pelvis was found by its bones; the whole patient is contoured, as without --roi.", style="yellow")


def _box(found: tuple[slice, slice], coarse: Geometry, grid: Geometry) -> Box:
    """The voxels of ``grid`` in the slices and columns of the coarse scan."""
    (z, x), rows = found, slice(0, coarse.shape[1])
    first = grid.to_index(coarse.to_world([side.start - 0.5 for side in (z, rows, x)]))
    last = grid.to_index(coarse.to_world([side.stop - 0.5 for side in (z, rows, x)]))
    limits = zip(np.rint(first).astype(int), np.rint(last).astype(int), grid.shape, strict=True)
    return tuple(slice(max(0, int(low)), min(n, int(high))) for low, high, n in limits)


def _at_least(box: Box, window: Triple, shape: Triple) -> Box:
    """The box, grown where it is smaller than the window and the scan isn't: what is there is better than padding."""
    grown = []
    for side, size, n in zip(box, window, shape, strict=True):
        more = max(0, min(size, n) - (side.stop - side.start))
        start = min(max(0, side.start - more // 2), n - (side.stop - side.start) - more)
        grown.append(slice(start, start + side.stop - side.start + more))
    return tuple(grown)
