"""How much memory a training step of GynBTNet takes.

A model of what the network and its loss keep from the forward pass for the backward one, which tests hold against the
tensors that PyTorch really keeps. A residual block of c channels keeps four maps of c channels: what its first
convolution, its first norm, its second convolution and the block itself return. A decoder level also keeps the
concatenation of the upsampled projection and the skip.
"""

from itertools import pairwise
from math import prod

from gynbtnet.networks.presets import PRESETS
from gynbtnet.runtime.array_types import Triple

_FLOAT = 4  # bytes
_BYTES_A_PARAMETER = 4 * _FLOAT  # the parameter, its gradient, and AdamW's two moments
_MAPS_A_BLOCK = 4
_GRADIENT_MAPS = 4  # of the finest level, that the backward pass holds at once; measured
_LOSS_MAPS = 2  # of all outputs, at every level: log-probabilities and probabilities
_LOSS_VALUES = 3  # floats a voxel, at every level: the label as a 64-bit index, and the true class's probability


def training_bytes(
    preset: str,
    strides: tuple[Triple, ...],
    *,
    in_channels: int,
    outputs: int,
    patch_size: Triple,
    batch_size: int,
) -> int:
    """Bytes that a step of stage 2 or 3 takes at its peak, in 32-bit floats with AdamW and deep supervision.

    An upper bound that was found up to a quarter above the peak: gradients of parameters come into being while maps are
    given back. In bfloat16 a map has half the bytes, which isn't reckoned with; nor is what a convolution library takes
    for itself, or the some 0.5 GB of a CUDA context. Stage 1, whose encoder works on active cells alone, takes less.

    Args:
        preset: the network's size by name.
        strides: of each level, (z, y, x).
        in_channels: of the image.
        outputs: classes, background included.
        patch_size: voxels (z, y, x).
        batch_size: patches.
    """
    finest = PRESETS[preset].channels[0] * prod(patch_size)
    kept = activation_floats(preset, strides, in_channels=in_channels, patch_size=patch_size)
    loss = loss_floats(strides, outputs=outputs, patch_size=patch_size)
    weights = count_parameters(preset, in_channels=in_channels, outputs=outputs)
    return _BYTES_A_PARAMETER * weights + _FLOAT * batch_size * (kept + loss + _GRADIENT_MAPS * finest)


def activation_floats(preset: str, strides: tuple[Triple, ...], *, in_channels: int, patch_size: Triple) -> int:
    """FloatArray that the network keeps of one patch for the backward pass, the patch itself among them."""
    size, voxels = PRESETS[preset], _voxels(strides, patch_size)
    floats = in_channels * voxels[0]
    for channels, here in zip(size.channels, voxels, strict=True):
        floats += size.depth * _MAPS_A_BLOCK * channels * here
    for channels, here in zip(size.channels[:-1], voxels, strict=False):
        floats += (2 + size.depth * _MAPS_A_BLOCK) * channels * here
    return floats


def loss_floats(strides: tuple[Triple, ...], *, outputs: int, patch_size: Triple) -> int:
    """FloatArray that DiceCE on every decoder level keeps of one patch."""
    return (_LOSS_MAPS * outputs + _LOSS_VALUES) * sum(_voxels(strides, patch_size)[:-1])


def count_parameters(preset: str, *, in_channels: int, outputs: int) -> int:
    """Number of the network's parameters."""
    size = PRESETS[preset]
    total = sum(_level(before, channels, size.depth) for before, channels in pairwise((in_channels, *size.channels)))
    for channels, below in pairwise(size.channels):
        total += _convolution(below, channels) + _level(2 * channels, channels, size.depth)
        total += _convolution(channels, outputs)
    return total


def _level(in_channels: int, channels: int, depth: int) -> int:
    """Parameters of residual blocks, of which the first projects its shortcut; a norm has a scale and a shift."""
    first = _convolution(in_channels, channels, 27) + _convolution(in_channels, channels)
    inner = (2 * depth - 1) * _convolution(channels, channels, 27)
    return first + inner + 2 * depth * 2 * channels


def _convolution(in_channels: int, channels: int, taps: int = 1) -> int:
    return (in_channels * taps + 1) * channels


def _voxels(strides: tuple[Triple, ...], patch_size: Triple) -> list[int]:
    """Voxels of one patch at every level, fine to coarse."""
    voxels, grid = [], list(patch_size)
    for stride in strides:
        grid = [n // step for n, step in zip(grid, stride, strict=True)]
        voxels.append(prod(grid))
    return voxels
