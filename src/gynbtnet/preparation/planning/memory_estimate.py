"""Memory estimate of a training step of GynBTNet.

A model of the tensors that the network and its loss keep for the backward pass; tests compare it with PyTorch. A
residual block keeps four maps of its channels: the outputs of both convolutions, of the first norm and of the block. A
decoder level also keeps the concatenation of the upsampled projection and
the skip.
"""

from itertools import pairwise
from math import prod

from gynbtnet.networks.presets import PRESETS
from gynbtnet.runtime.array_types import Triple

_FLOAT = 4  # bytes
_BYTES_PER_PARAMETER = 4 * _FLOAT  # the parameter, its gradient, and AdamW's two moments
_MAPS_PER_BLOCK = 4
_GRADIENT_MAPS = 4  # of the finest level that exist at once in the backward pass; measured
_LOSS_MAPS = 2  # of all outputs, at every level: log-probabilities and probabilities
_LOSS_VALUES = 3  # floats per voxel, at every level: the label as a 64-bit index, and the true class's probability


def training_bytes(
    preset: str,
    strides: tuple[Triple, ...],
    *,
    in_channels: int,
    outputs: int,
    patch_size: Triple,
    batch_size: int,
) -> int:
    """Estimate the peak memory of a step of stage 2 or 3, in 32-bit floats with AdamW and deep supervision.

    An upper bound, up to a quarter above the measured peak, because gradients of parameters appear while maps are
    freed. Not included: bfloat16, which halves the maps; workspace of a convolution library; about 0.5 GB of a CUDA
    context. Stage 1 needs less, because its encoder computes only active cells.

    Args:
        preset: name of the network's size.
        strides: stride of each level, (z, y, x).
        in_channels: number of image channels.
        outputs: number of classes, background included.
        patch_size: voxels (z, y, x).
        batch_size: number of patches.

    Returns:
        Bytes.
    """
    finest = PRESETS[preset].channels[0] * prod(patch_size)
    kept = activation_floats(preset, strides, in_channels=in_channels, patch_size=patch_size)
    loss = loss_floats(strides, outputs=outputs, patch_size=patch_size)
    weights = count_parameters(preset, in_channels=in_channels, outputs=outputs)
    return _BYTES_PER_PARAMETER * weights + _FLOAT * batch_size * (kept + loss + _GRADIENT_MAPS * finest)


def activation_floats(preset: str, strides: tuple[Triple, ...], *, in_channels: int, patch_size: Triple) -> int:
    """Return the number of floats that the network keeps of one patch for the backward pass, including the patch."""
    size, voxels = PRESETS[preset], _voxels(strides, patch_size)
    floats = in_channels * voxels[0]
    for channels, n_voxels in zip(size.channels, voxels, strict=True):
        floats += size.depth * _MAPS_PER_BLOCK * channels * n_voxels
    for channels, n_voxels in zip(size.channels[:-1], voxels, strict=False):
        floats += (2 + size.depth * _MAPS_PER_BLOCK) * channels * n_voxels
    return floats


def loss_floats(strides: tuple[Triple, ...], *, outputs: int, patch_size: Triple) -> int:
    """Return the number of floats that DiceCE on every decoder level keeps of one patch."""
    return (_LOSS_MAPS * outputs + _LOSS_VALUES) * sum(_voxels(strides, patch_size)[:-1])


def count_parameters(preset: str, *, in_channels: int, outputs: int) -> int:
    """Return the number of parameters of the network."""
    size = PRESETS[preset]
    total = sum(_level(before, channels, size.depth) for before, channels in pairwise((in_channels, *size.channels)))
    for channels, below in pairwise(size.channels):
        total += _convolution(below, channels) + _level(2 * channels, channels, size.depth)
        total += _convolution(channels, outputs)
    return total


def _level(in_channels: int, channels: int, depth: int) -> int:
    """Count the parameters of residual blocks; the first one projects its shortcut; a norm has a scale and a shift."""
    first = _convolution(in_channels, channels, 27) + _convolution(in_channels, channels)
    inner = (2 * depth - 1) * _convolution(channels, channels, 27)
    return first + inner + 2 * depth * 2 * channels


def _convolution(in_channels: int, channels: int, taps: int = 1) -> int:
    return (in_channels * taps + 1) * channels


def _voxels(strides: tuple[Triple, ...], patch_size: Triple) -> list[int]:
    """Return the voxels of one patch at every level, fine to coarse."""
    voxels, grid = [], list(patch_size)
    for stride in strides:
        grid = [n // step for n, step in zip(grid, stride, strict=True)]
        voxels.append(prod(grid))
    return voxels
