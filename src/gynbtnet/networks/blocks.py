"""Building blocks of the encoder and the decoder."""

from collections.abc import Sequence
from typing import Literal

from torch import Tensor, nn
from torch.nn.functional import interpolate

from gynbtnet.runtime.array_types import Triple

NormKind = Literal["instance", "batch"]


class ResidualBlock(nn.Module):
    """Two 3×3×3 convolutions and a shortcut, as in STU-Net's ``BasicResBlock``.

    Convolution (with the stride) → norm → LeakyReLU → convolution → norm → add the shortcut → LeakyReLU.

    Args:
        in_channels: Channels of the input.
        channels: Channels of the output.
        stride: Stride (z, y, x) of the first convolution and of the shortcut.
        project_shortcut: If true, the shortcut is a strided 1×1×1 convolution without norm, otherwise the identity.
        norm: Kind of both norms.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        *,
        stride: Triple = (1, 1, 1),
        project_shortcut: bool = False,
        norm: NormKind = "instance",
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv3d(in_channels, channels, 3, stride, padding=1)
        self.norm1 = make_norm(norm, channels)
        self.conv2 = nn.Conv3d(channels, channels, 3, padding=1)
        self.norm2 = make_norm(norm, channels)
        self.shortcut = nn.Conv3d(in_channels, channels, 1, stride) if project_shortcut else nn.Identity()
        self.activation = nn.LeakyReLU(0.01, inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """Compute (B, channels, D / stride, …) from (B, in_channels, D, H, W)."""
        y = self.activation(self.norm1(self.conv1(x)))
        y = self.norm2(self.conv2(y))
        y += self.shortcut(x)
        return self.activation(y)  # type: ignore[no-any-return]

    @property
    def conv_norm_pairs(self) -> tuple[tuple[nn.Conv3d, nn.Module], ...]:
        """Each convolution with the norm that its output goes into."""
        return (self.conv1, self.norm1), (self.conv2, self.norm2)


def make_level(
    in_channels: int, channels: int, depth: int, stride: Triple = (1, 1, 1), norm: NormKind = "instance"
) -> nn.Sequential:
    """Make one level: ``depth`` residual blocks, of which the first has the stride.

    The first block projects its shortcut even if input and output have the same shape. STU-Net does so, and its
    published weights fit only such a network.
    """
    first = ResidualBlock(in_channels, channels, stride=stride, project_shortcut=True, norm=norm)
    return nn.Sequential(first, *(ResidualBlock(channels, channels, norm=norm) for _ in range(depth - 1)))


def make_norm(kind: NormKind, channels: int) -> nn.InstanceNorm3d | nn.BatchNorm3d:
    """Make a norm with learned scale and shift; both kinds have the same parameter names.

    Args:
        kind: "instance" or "batch".
        channels: number of channels of the feature map.

    Returns:
        The norm for feature maps (batch, channels, z, y, x).
    """
    return nn.InstanceNorm3d(channels, affine=True) if kind == "instance" else nn.BatchNorm3d(channels)


def upsample(x: Tensor, shape: Sequence[int]) -> Tensor:
    """Resize (B, C, D, H, W) to ``shape`` (z, y, x) by nearest neighbour; returns ``x`` if it has that shape.

    Args:
        x: feature map (batch, channels, z, y, x).
        shape: new size along (z, y, x).

    Returns:
        The resized feature map.
    """
    return x if tuple(x.shape[2:]) == tuple(shape) else interpolate(x, size=tuple(shape), mode="nearest")
