"""The encoder, run on active blocks alone."""

from typing import cast

from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from gynbtnet.networks.blocks import ResidualBlock
from gynbtnet.networks.unet import Encoder
from gynbtnet.sparse.active_blocks import ActiveBlocks
from gynbtnet.sparse.convolution import convolve
from gynbtnet.sparse.norm import normalise
from gynbtnet.sparse.packed import Packed, pack


def sparse_encode(encoder: Encoder, image: Tensor, active: ActiveBlocks) -> list[Packed]:
    """Features of every level, fine to coarse, of the active voxels of an image (B, C, D, H, W).

    Runs ``encoder``'s own parameters: there is no sparse twin to convert. Masked voxels are never read.

    Raises:
        ValueError: where the image doesn't divide into mask cells, or a cell by the encoder's total stride.
    """
    packed = pack(image, active)
    features = []
    for level in encoder.levels.children():
        for block in level.children():
            packed = _residual(packed, cast("ResidualBlock", block))
        features.append(packed)
    return features


def _residual(packed: Packed, block: ResidualBlock) -> Packed:
    slope = block.activation.negative_slope
    first = normalise(convolve(packed, block.conv1), block.norm1)
    first = first.with_rows(leaky_relu(first.rows, slope, inplace=True))
    second = normalise(convolve(first, block.conv2), block.norm2)
    shortcut = convolve(packed, block.shortcut) if isinstance(block.shortcut, nn.Conv3d) else packed
    return second.with_rows(leaky_relu(second.rows + shortcut.rows, slope, inplace=True))
