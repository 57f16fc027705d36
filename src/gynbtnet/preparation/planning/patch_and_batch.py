"""Patch and batch for a memory budget, with GynBTNet's fixed levels and strides.

nnU-Net's rule (Isensee et al. 2021, supplementary note 2). The patch starts as a cube in mm, no larger than the median
scan. It shrinks along the axis on which it covers most of that scan, until two patches fit. Remaining memory increases
the batch, up to a twentieth of the cohort's voxels. nnU-Net adapts its network to the patch. Our network is fixed, and
the patch is a multiple of its total stride.
"""

from math import ceil, prod

from gynbtnet.preparation.planning.memory_estimate import training_bytes
from gynbtnet.preparation.planning.settings import PlanSettings, total_stride
from gynbtnet.runtime.array_types import Spacing, Triple
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.phrases import counted

_LARGEST = 256**3  # voxels at the start of the search, nnU-Net's
_FEWEST = 2  # patches in a batch
_SHARE_OF_COHORT = 0.05  # largest share of all voxels in a batch, nnU-Net's


def patch_and_batch(
    settings: PlanSettings,
    spacing: Spacing,
    median_shape: tuple[float, float, float],
    *,
    cases: int,
    in_channels: int,
    outputs: int,
) -> tuple[Triple, int]:
    """Choose patch (z, y, x), batch, or both for ``plan_memory_gb``, if the settings leave them open.

    Args:
        settings: budget, preset and strides.
        spacing: spacing of the plan, (z, y, x) in mm.
        median_shape: voxels of the median scan at that spacing, (z, y, x).
        cases: number of scans of the cohort.
        in_channels: number of image channels.
        outputs: number of classes, background included.

    Returns:
        Patch size (z, y, x) and batch size.

    Raises:
        BadInput: If even the smallest patch exceeds the budget.
    """
    budget, strides = settings.plan_memory_gb * 1e9, settings.resolved_strides()

    def needed(patch: Triple, batch: int) -> int:
        return training_bytes(
            settings.preset, strides, in_channels=in_channels, outputs=outputs, patch_size=patch, batch_size=batch
        )

    step, fewest = total_stride(strides), settings.batch_size or _FEWEST
    patch = settings.patch_size or _first_patch(spacing, median_shape, step)
    while settings.patch_size is None and needed(patch, fewest) > budget:
        smaller = _smaller(patch, median_shape, step)
        if smaller is None:
            break
        patch = smaller
    if needed(patch, fewest) > budget:
        raise BadInput(
            f"Preset {settings.preset} with {counted(fewest, 'patch', 'patches')} of {'×'.join(map(str, patch))} "
            f"voxels needs {needed(patch, fewest) / 1e9:.3g} GB to train, and plan_memory_gb allows "
            f"{settings.plan_memory_gb:g}; choose a smaller preset or batch, or a device with more memory."
        )
    if settings.batch_size is not None:
        return patch, settings.batch_size
    each = needed(patch, 2) - needed(patch, 1)
    fitting = fewest + int((budget - needed(patch, fewest)) // each)
    covering = round(_SHARE_OF_COHORT * prod(median_shape) * cases / prod(patch))
    return patch, max(min(fitting, covering), _FEWEST)


def _first_patch(spacing: Spacing, median_shape: tuple[float, float, float], step: Triple) -> Triple:
    """Return the first patch: a cube in mm, cropped to the median scan, rounded up to a multiple of ``step``."""
    side = (_LARGEST * prod(spacing)) ** (1 / 3)  # mm
    z, y, x = (
        ceil(min(round(side / length), size) / factor) * factor
        for length, size, factor in zip(spacing, median_shape, step, strict=True)
    )
    return _not_single((z, y, x), step)


def _smaller(patch: Triple, median_shape: tuple[float, float, float], step: Triple) -> Triple | None:
    """Shrink the patch by a step on the axis on which it covers most of the median scan; None if it can't shrink."""
    axes = [axis for axis in range(3) if patch[axis] > step[axis]]
    for axis in sorted(axes, key=lambda axis: patch[axis] / median_shape[axis], reverse=True):
        z, y, x = (n - step[axis] * (at == axis) for at, n in enumerate(patch))
        if (z, y, x) != step:
            return z, y, x
    return None


def _not_single(patch: Triple, step: Triple) -> Triple:
    """Enlarge a patch of one voxel at the deepest level, over which nothing can be normalised."""
    return (patch[0], patch[1], 2 * patch[2]) if patch == step else patch
