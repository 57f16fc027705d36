"""The encoder, run on active blocks alone."""

from typing import cast

from torch import Tensor

from gynbtnet.networks.blocks import ResidualBlock
from gynbtnet.networks.unet import Encoder
from gynbtnet.sparse.active_blocks import ActiveBlocks, divide_exactly
from gynbtnet.sparse.packed import Packed, pack
from gynbtnet.sparse.residual_block import residual_block


def sparse_encode(encoder: Encoder, image: Tensor, active: ActiveBlocks, *, recompute: bool = False) -> list[Packed]:
    """Features of every level, fine to coarse, of the active voxels of an image (B, C, D, H, W).

    Runs ``encoder``'s own parameters: there is no sparse twin to convert. Masked voxels are never read.

    Args:
        encoder: the dense encoder.
        image: the batch.
        active: which cells it sees.
        recompute: keep only each block's output for the gradients and compute the rest again: less memory, more time.

    Raises:
        ValueError: where the image doesn't divide into mask cells, or a cell by the encoder's total stride.
    """
    divide_exactly(image.shape[2:], active.grid)
    packed = pack(image, active.joined())
    features = []
    for level in encoder.levels.children():
        for block in level.children():
            packed = residual_block(packed, cast("ResidualBlock", block), recompute=recompute)
        features.append(packed)
    return features
