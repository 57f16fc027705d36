"""Submanifold convolution of packed features with a dense convolution's own parameters."""

from math import prod

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from gynbtnet.sparse.active_blocks import divided
from gynbtnet.sparse.packed import Packed
from gynbtnet.sparse.pair_convolution import PairConvolution
from gynbtnet.sparse.tile_convolution import TileConvolution

LARGEST_HALO = 4
"""Tiles where a block with its halo has at most so many times the block's voxels (edge 4 and more), pairs elsewhere."""


def convolve(packed: Packed, conv: nn.Conv3d) -> Packed:
    """What ``conv`` gives at the active voxels where the masked ones hold zero; masked voxels stay masked.

    Computes active blocks only. Equals ``conv(dense) * mask`` in values and gradients.

    Raises:
        ValueError: where ``conv`` isn't 1×1×1 or 3×3×3 with "same" padding and bias, or a block doesn't divide by its
            stride.
    """
    kernel, stride = conv.kernel_size, conv.stride
    if kernel not in ((1, 1, 1), (3, 3, 3)) or conv.padding != tuple(k // 2 for k in kernel) or conv.bias is None:
        raise ValueError(f"a sparse convolution is 1×1×1 or 3×3×3, padded by half, with a bias; not {conv}")
    block = divided(packed.block, stride)
    rows, weight, bias = _at_autocast_precision(packed.rows, conv.weight, conv.bias)
    if kernel == (1, 1, 1):
        result = linear(_every(packed.with_rows(rows), stride), weight.flatten(1), bias)
    elif prod(n + 2 for n in packed.block) <= LARGEST_HALO * prod(packed.block):
        result = TileConvolution.apply(rows, weight, bias, packed.active, packed.block, stride)  # type: ignore[no-untyped-call]
    else:
        pairs = packed.active.pairs(packed.block, stride)
        result = PairConvolution.apply(rows, weight, bias, pairs, len(packed.active) * prod(block))  # type: ignore[no-untyped-call]
    return Packed(result, block, packed.active)


def _every(packed: Packed, stride: tuple[int, ...]) -> Tensor:
    """The rows at every ``stride``-th voxel of each block."""
    blocks = packed.rows.view(len(packed.active), *packed.block, -1)
    return blocks[:, :: stride[0], :: stride[1], :: stride[2]].reshape(-1, packed.rows.shape[1])


def _at_autocast_precision(*tensors: Tensor) -> tuple[Tensor, ...]:
    """Autocast casts for torch's own convolutions and doesn't know of ours."""
    device = tensors[0].device.type
    if not torch.is_autocast_enabled(device):
        return tensors
    return tuple(tensor.to(torch.get_autocast_dtype(device)) for tensor in tensors)
