"""Changes of nnU-Net's plan that a recipe asks for: patch, batch and network."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any

from gynbtnet.baselines.nnunet_library import CONFIGURATION
from gynbtnet.baselines.settings import NnUNetSettings
from gynbtnet.preparation.planning.settings import preset_strides, total_stride
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.phrases import by_axis

GYNBTNET = "gynbtnet.networks.nnunet_network.NnunetGynBTNet"
"""Class of our network as nnU-Net builds it; the only class of ours that a plan may name."""

_WIDEST = 320  # channels of nnU-Net's planner in 3D
_SMALLEST = 4  # voxels along an axis of the deepest level, nnU-Net's UNet_featuremap_min_edge_length
_NO_LIMIT = 999999  # strides along an axis, as in nnU-Net's planner


def changed_plans(plans: Mapping[str, Any], settings: NnUNetSettings) -> dict[str, Any]:
    """Return nnU-Net's plans with patch, batch and network of the settings; without such settings, an equal copy.

    Spacing, normalisation and resampling stay unchanged, so that the preprocessed scans fit all changes.

    Args:
        plans: content of ``plans.json`` as nnU-Net's planner wrote it.
        settings: settings of the baseline.

    Raises:
        BadInput: If the network can't divide the patch into its levels.
    """
    changed = deepcopy(dict(plans))
    configuration = changed["configurations"][CONFIGURATION]
    if settings.batch_size is not None:
        configuration["batch_size"] = settings.batch_size
    if settings.patch_size is not None:
        configuration["patch_size"] = [settings.patch_size[axis] for axis in plans["transpose_forward"]]
    if settings.network == "gynbtnet":
        _use_gynbtnet(configuration, settings, plans["transpose_backward"])
        return changed
    arguments = configuration["architecture"]["arch_kwargs"]
    if settings.patch_size is not None:
        _set_levels(configuration, settings.patch_size, plans["transpose_backward"])
    if settings.features is not None:
        arguments["features_per_stage"] = _features(settings.features, arguments["n_stages"])
    return changed


def _use_gynbtnet(configuration: dict[str, Any], settings: NnUNetSettings, back: Sequence[int]) -> None:
    """Replace the network by ours. A planned patch is rounded to a multiple of its stride."""
    preset = settings.preset or "XS"
    strides = preset_strides(preset)
    step = total_stride(strides)
    patch = configuration["patch_size"]
    rounded = [max(1, round(length / factor)) * factor for length, factor in zip(patch, step, strict=True)]
    if tuple(rounded) == tuple(step):  # a single voxel at the deepest level can't be normalised
        rounded[-1] *= 2
    if settings.patch_size is not None and rounded != list(patch):
        raise _indivisible(settings.patch_size, [rounded[axis] for axis in back], f"GynBTNet with preset {preset}")
    configuration["patch_size"] = rounded
    configuration["architecture"] = {
        "network_class_name": GYNBTNET,
        "arch_kwargs": {"preset": preset, "strides": [list(stride) for stride in strides]},
        "_kw_requires_import": [],
    }


def _set_levels(configuration: dict[str, Any], requested: Sequence[int], back: Sequence[int]) -> None:
    """Give nnU-Net's network the levels that its planner chooses for the patch."""
    from nnunetv2.experiment_planning.experiment_planners.network_topology import get_pool_and_conv_props

    arguments = configuration["architecture"]["arch_kwargs"]
    patch = configuration["patch_size"]
    _, strides, kernels, divisible, _ = get_pool_and_conv_props(configuration["spacing"], patch, _SMALLEST, _NO_LIMIT)
    if list(map(int, divisible)) != list(patch):
        raise _indivisible(requested, [int(divisible[axis]) for axis in back], "nnU-Net's network")
    levels = len(strides)
    base = arguments["features_per_stage"][0]
    arguments |= {
        "n_stages": levels,
        "features_per_stage": _features(base, levels),
        "kernel_sizes": [list(kernel) for kernel in kernels],
        "strides": [list(stride) for stride in strides],
    }
    for name, length in (
        ("n_conv_per_stage", levels),
        ("n_blocks_per_stage", levels),
        ("n_conv_per_stage_decoder", levels - 1),
    ):
        if name in arguments:
            arguments[name] = _resized(arguments[name], length)


def _features(base: int, levels: int) -> list[int]:
    return [min(_WIDEST, base * 2**level) for level in range(levels)]


def _resized(blocks: Sequence[int], length: int) -> list[int]:
    """Return the blocks of the first levels; further levels have as many as the last one, as in nnU-Net's planner."""
    return [blocks[min(level, len(blocks) - 1)] for level in range(length)]


def _indivisible(patch: Sequence[int], nearest: Sequence[int], network: str) -> BadInput:
    return BadInput(
        f"patch_size {by_axis(patch)} (z, y, x) can't be divided into the levels of {network}; the nearest patch that "
        f"can is {by_axis(nearest)}."
    )
