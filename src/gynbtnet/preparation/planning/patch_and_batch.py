"""Patch and batch for a memory budget, under GynBTNet's fixed levels and strides.

As nnU-Net chooses them (Isensee et al. 2021, supplementary note 2): the patch begins in the proportions of a cube in
mm, no larger than the median scan, and gives way where it covers most of that scan, until two patches fit; memory that
is then left makes the batch larger, up to a twentieth of the cohort's voxels. nnU-Net adapts its network to the patch;
ours stays, and the patch is a multiple of what it divides by.
"""

from math import ceil, prod

from gynbtnet.preparation.planning.memory_estimate import training_bytes
from gynbtnet.preparation.planning.settings import PlanSettings, total_stride
from gynbtnet.runtime.array_types import Spacing, Triple
from gynbtnet.runtime.errors import BadInput

_LARGEST = 256**3  # voxels that the search begins with, nnU-Net's
_FEWEST = 2  # patches in a batch
_SHARE_OF_COHORT = 0.05  # that a batch may cover, nnU-Net's


def patch_and_batch(
    settings: PlanSettings,
    spacing: Spacing,
    median_shape: tuple[float, float, float],
    *,
    cases: int,
    in_channels: int,
    outputs: int,
) -> tuple[Triple, int]:
    """Fill in what the settings leave to ``plan_memory_gb``: patch (z, y, x), batch, or both.

    Args:
        settings: with the budget, the preset and its strides.
        spacing: of the plan, (z, y, x) in mm.
        median_shape: voxels of the median scan at that spacing, (z, y, x).
        cases: scans of the cohort.
        in_channels: of the image.
        outputs: classes, background included.

    Raises:
        BadInput: where even the smallest patch takes more than the budget.
    """
    budget, strides = settings.plan_memory_gb * 1e9, settings.resolved_strides()

    def taken(patch: Triple, batch: int) -> int:
        return training_bytes(
            settings.preset, strides, in_channels=in_channels, outputs=outputs, patch_size=patch, batch_size=batch
        )

    step, fewest = total_stride(strides), settings.batch_size or _FEWEST
    patch = settings.patch_size or _first_patch(spacing, median_shape, step)
    while settings.patch_size is None and taken(patch, fewest) > budget:
        smaller = _smaller(patch, median_shape, step)
        if smaller is None:
            break
        patch = smaller
    if taken(patch, fewest) > budget:
        raise BadInput(
            f"Preset {settings.preset} with {fewest} patches of {'×'.join(map(str, patch))} voxels takes "
            f"{taken(patch, fewest) / 1e9:.3g} GB to train, and plan_memory_gb allows {settings.plan_memory_gb:g}; "
            "choose a smaller preset or batch, or a device with more memory."
        )
    if settings.batch_size is not None:
        return patch, settings.batch_size
    each = taken(patch, 2) - taken(patch, 1)
    fitting = fewest + int((budget - taken(patch, fewest)) // each)
    covering = round(_SHARE_OF_COHORT * prod(median_shape) * cases / prod(patch))
    return patch, max(min(fitting, covering), _FEWEST)


def _first_patch(spacing: Spacing, median_shape: tuple[float, float, float], step: Triple) -> Triple:
    """The largest patch to be thought of: a cube in mm, cut to the median scan, up to a multiple of ``step``."""
    side = (_LARGEST * prod(spacing)) ** (1 / 3)  # mm
    z, y, x = (
        ceil(min(round(side / length), size) / factor) * factor
        for length, size, factor in zip(spacing, median_shape, step, strict=True)
    )
    return _not_single((z, y, x), step)


def _smaller(patch: Triple, median_shape: tuple[float, float, float], step: Triple) -> Triple | None:
    """One step less along the axis where the patch covers most of the median scan, of those that have one to give."""
    axes = [axis for axis in range(3) if patch[axis] > step[axis]]
    for axis in sorted(axes, key=lambda axis: patch[axis] / median_shape[axis], reverse=True):
        z, y, x = (n - step[axis] * (at == axis) for at, n in enumerate(patch))
        if (z, y, x) != step:
            return z, y, x
    return None


def _not_single(patch: Triple, step: Triple) -> Triple:
    """A patch that leaves more than one voxel at the deepest level, which nothing could be normalised over."""
    return (patch[0], patch[1], 2 * patch[2]) if patch == step else patch
