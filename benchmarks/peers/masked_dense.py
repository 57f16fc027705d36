"""Literal reference for sparse pretraining: dense convolution × mask, norms over gathered voxels; it saves nothing."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import instance_norm, interpolate, leaky_relu

from gynbtnet.networks import Encoder
from gynbtnet.sparse import MaskedAutoencoder


def masked_encode(encoder: Encoder, image: Tensor, mask: Tensor) -> list[Tensor]:
    """Return the features of every level; voxels outside ``mask`` (B, z, y, x) are zero."""
    x = image * at_resolution(mask, image)
    features = []
    for level in encoder.levels:
        for block in level:
            slope = block.activation.negative_slope
            y = leaky_relu(masked_norm(masked(block.conv1(x), mask), block.norm1, mask), slope)
            y = masked_norm(masked(block.conv2(y), mask), block.norm2, mask)
            shortcut = masked(block.shortcut(x), mask) if isinstance(block.shortcut, nn.Conv3d) else x
            x = leaky_relu(y + shortcut, slope)
        features.append(x)
    return features


def masked_reconstruction(network: MaskedAutoencoder, features: Sequence[Tensor], mask: Tensor) -> Tensor:
    """Return the light decoder's reconstruction from dense features, densified literally."""
    dense = []
    for level, x in zip(network.densify, features, strict=True):
        token = level.mask_token.view(1, -1, 1, 1, 1)
        filled = torch.where(at_resolution(mask, x), masked_norm(x, level.norm, mask), token.to(x.dtype))
        dense.append(level.projection(filled))
    return network.decoder(dense)


def masked_norm(x: Tensor, norm: nn.InstanceNorm3d, mask: Tensor) -> Tensor:
    """Gather each sample's active voxels, normalise, scatter back."""
    active = at_resolution(mask, x)[:, 0]
    rows = x.movedim(1, -1)
    result = torch.zeros_like(rows)
    for sample, voxels in enumerate(active):
        gathered = rows[sample][voxels].t()[None]
        normed = instance_norm(gathered, weight=norm.weight, bias=norm.bias, eps=norm.eps)
        result[sample][voxels] = normed[0].t().to(result.dtype)
    return result.movedim(-1, 1)


def masked(x: Tensor, mask: Tensor) -> Tensor:
    return x * at_resolution(mask, x)


def at_resolution(mask: Tensor, x: Tensor) -> Tensor:
    """Return the mask (B, 1, D, H, W), repeated to the resolution of ``x``."""
    return interpolate(mask[:, None].to(torch.uint8), x.shape[2:]).bool()
