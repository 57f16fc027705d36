"""Memory estimate of a prediction, and the refusal of scans that need more than is available."""

from math import prod

from gynbtnet.imaging.geometry import Geometry
from gynbtnet.networks.presets import PRESETS
from gynbtnet.preparation.planning.plan import Plan
from gynbtnet.preparation.preprocess import target_geometry
from gynbtnet.runtime.available_memory import check_memory
from gynbtnet.runtime.phrases import by_axis

_BYTES_OF_SCAN = 6  # per voxel of the scan while a channel is normalised and resampled: measured
_BYTES_OF_IMAGE = 8  # per voxel of the network's grid, for what resampling returns and makes on its way: measured
_FLOAT, _HALF = 4, 2
_MAPS = 5.5  # of the finest level, that the network holds at once: measured with presets XS and B
_SPARE = 1e8  # what libraries take for themselves


def check_prediction_memory(grid: Geometry, plan: Plan, *, on_cpu: bool) -> None:
    """Refuse a scan whose prediction can't fit into memory, before anything is allocated.

    Args:
        grid: the scan's.
        plan: the model's.
        on_cpu: whether the network computes in the same memory.

    Raises:
        BadInput: If the prediction needs more than is available.
    """
    planned = target_geometry(grid, plan)
    check_memory(
        prediction_bytes(grid, plan, on_cpu=on_cpu),
        f"The prediction of {by_axis(grid.shape)} voxels (z, y, x), which the model sees as "
        f"{by_axis(planned.shape)} of {by_axis(planned.spacing)} mm,",
        "crop the scan to the pelvis, or take a machine with more memory",
    )


def prediction_bytes(grid: Geometry, plan: Plan, *, on_cpu: bool) -> int:
    """Return about how many bytes a prediction takes at its peak, beyond the scan itself and the weights.

    Either resampling sets the peak, or the sliding window with the sums of logits of as many slices as a window has.
    Measured peaks were between half of it and all of it.
    """
    source, planned = prod(grid.shape), target_geometry(grid, plan)
    target, channels, outputs = (
        prod(planned.shape),
        len(plan.channels),
        len(plan.structures) + 1,
    )  # overlapping structures also get a background
    image = _FLOAT * channels * target
    resampling = _BYTES_OF_SCAN * source + _BYTES_OF_IMAGE * target
    labels_and_body = source + target
    if plan.regions is not None:  # the numbers of combinations, their copy in post-processing, and one mask
        labels_and_body += 3 * source
    window = 0.0
    if on_cpu:
        depth, height, width = planned.shape
        rows = min(plan.patch_size[0] + 1, max(depth, plan.patch_size[0]))
        window = _HALF * outputs * rows * max(height, plan.patch_size[1]) * max(width, plan.patch_size[2])
        window += _FLOAT * outputs * prod(plan.patch_size)
        if plan.network == "gynbtnet":
            window += _MAPS * _FLOAT * PRESETS[plan.preset].channels[0] * prod(plan.patch_size)
    return int(image + max(resampling, labels_and_body + window) + _SPARE)
