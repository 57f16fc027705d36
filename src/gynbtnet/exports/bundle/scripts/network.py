"""GynBTNet in plain PyTorch: a residual encoder and decoder with skips."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.functional import interpolate


class ResidualBlock(nn.Module):
    """Two convolutions and a shortcut, each convolution followed by an instance norm."""

    def __init__(self, inputs: int, channels: int, stride: Sequence[int], project: bool) -> None:
        super().__init__()
        step = tuple(stride)
        self.conv1 = nn.Conv3d(inputs, channels, 3, step, padding=1)  # type: ignore[arg-type]
        self.norm1 = nn.InstanceNorm3d(channels, affine=True)
        self.conv2 = nn.Conv3d(channels, channels, 3, padding=1)
        self.norm2 = nn.InstanceNorm3d(channels, affine=True)
        self.shortcut = nn.Conv3d(inputs, channels, 1, step) if project else nn.Identity()  # type: ignore[arg-type]
        self.activation = nn.LeakyReLU(0.01)

    def forward(self, x: Tensor) -> Tensor:
        """Compute (B, channels, …) from (B, inputs, …)."""
        y = self.norm2(self.conv2(self.activation(self.norm1(self.conv1(x)))))
        result: Tensor = self.activation(y + self.shortcut(x))
        return result


def _level(inputs: int, channels: int, depth: int, stride: Sequence[int] = (1, 1, 1)) -> nn.Sequential:
    first = ResidualBlock(inputs, channels, stride, project=True)
    further = (ResidualBlock(channels, channels, (1, 1, 1), project=False) for _ in range(depth - 1))
    return nn.Sequential(first, *further)


class Encoder(nn.Module):
    """Downsampling half; one feature map per level, fine to coarse."""

    def __init__(self, in_channels: int, channels: Sequence[int], depth: int, strides: Sequence[Sequence[int]]) -> None:
        super().__init__()
        pairs = zip(pairwise((in_channels, *channels)), strides, strict=True)
        self.levels = nn.ModuleList(_level(before, after, depth, stride) for (before, after), stride in pairs)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Compute the features of (B, in_channels, z, y, x)."""
        features = []
        for level in self.levels:
            image = level(image)
            features.append(image)
        return features


class Decoder(nn.Module):
    """Upsampling half; each level reads the level below and the encoder's map of the same size."""

    def __init__(self, channels: Sequence[int], depth: int, outputs: int) -> None:
        super().__init__()
        pairs = list(pairwise(reversed(channels)))
        self.projections = nn.ModuleList(nn.Conv3d(below, own, 1) for below, own in pairs)
        self.levels = nn.ModuleList(_level(2 * own, own, depth) for _, own in pairs)
        self.heads = nn.ModuleList(nn.Conv3d(own, outputs, 1) for _, own in pairs)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Compute the logits of the finest level."""
        *skips, x = features
        for projection, level, skip in zip(self.projections, self.levels, reversed(skips), strict=True):
            x = projection(x)
            if x.shape[2:] != skip.shape[2:]:
                x = interpolate(x, size=skip.shape[2:], mode="nearest")
            x = level(torch.cat((x, skip), dim=1))
        logits: Tensor = self.heads[-1](x)
        return logits


class GynBTNet(nn.Module):
    """Segmentation network.

    Args:
        in_channels: channels of the image.
        outputs: outputs, with the background if structures exclude each other.
        channels: channels of each level, fine to coarse.
        depth: residual blocks per level.
        strides: stride (z, y, x) of each level.
    """

    def __init__(
        self,
        in_channels: int,
        outputs: int,
        channels: Sequence[int],
        depth: int,
        strides: Sequence[Sequence[int]],
    ) -> None:
        super().__init__()
        self.encoder = Encoder(in_channels, channels, depth, strides)
        self.decoder = Decoder(channels, depth, outputs)

    def forward(self, image: Tensor) -> Tensor:
        """Compute logits (B, outputs, z, y, x) from (B, in_channels, z, y, x)."""
        logits: Tensor = self.decoder(self.encoder(image))
        return logits


def with_weights(network: nn.Module, path: str, device: torch.device) -> nn.Module:
    """Return the network on a device, in evaluation mode, with the weights of a safetensors file."""
    network.load_state_dict(load_file(path))
    return network.to(device).eval()
