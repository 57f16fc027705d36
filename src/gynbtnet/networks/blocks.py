"""What the encoder and the decoder are made of."""

from collections.abc import Sequence
from typing import Literal

from torch import Tensor, nn

from gynbtnet.networks.inference_ops import convolve, convolve_inplace, normalise
from gynbtnet.runtime.array_types import Triple

NormKind = Literal["instance", "batch"]


class ResidualBlock(nn.Module):
    """Two 3×3×3 convolutions beside a shortcut, as in STU-Net's ``BasicResBlock``.

    Convolution (carries the stride) → norm → LeakyReLU → convolution → norm → add the shortcut → LeakyReLU. The
    shortcut is a strided 1×1×1 convolution without norm where ``projects``, the identity elsewhere.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        *,
        stride: Triple = (1, 1, 1),
        projects: bool = False,
        norm: NormKind = "instance",
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv3d(in_channels, channels, 3, stride, padding=1)
        self.norm1 = make_norm(norm, channels)
        self.conv2 = nn.Conv3d(channels, channels, 3, padding=1)
        self.norm2 = make_norm(norm, channels)
        self.shortcut = nn.Conv3d(in_channels, channels, 1, stride) if projects else nn.Identity()
        self.activation = nn.LeakyReLU(0.01, inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, D, H, W) → (B, channels, D / stride, …)."""
        y = self.refine(convolve(self.conv1, x))
        y = convolve(self.shortcut, x, onto=y) if isinstance(self.shortcut, nn.Conv3d) else y.add_(x)
        return self.activation(y)  # type: ignore[no-any-return]

    @property
    def followed_by_norm(self) -> tuple[tuple[nn.Conv3d, nn.Module], ...]:
        """Each convolution with the norm that reads its result."""
        return (self.conv1, self.norm1), (self.conv2, self.norm2)

    def refine(self, y: Tensor) -> Tensor:
        """From what the first convolution gives to what the shortcut is added to. ``y`` may be overwritten."""
        y = self.activation(normalise(self.norm1, y))
        return normalise(self.norm2, convolve_inplace(self.conv2, y))


def make_norm(kind: NormKind, channels: int) -> nn.InstanceNorm3d | nn.BatchNorm3d:
    """A norm with learned scale and shift; both kinds name their parameters alike."""
    return nn.InstanceNorm3d(channels, affine=True) if kind == "instance" else nn.BatchNorm3d(channels)


def make_level(
    in_channels: int, channels: int, depth: int, stride: Triple = (1, 1, 1), norm: NormKind = "instance"
) -> nn.Sequential:
    """``depth`` residual blocks; the first carries the stride and projects its shortcut even where shapes match.

    STU-Net does so, and its published weights load only into a network that does.
    """
    first = ResidualBlock(in_channels, channels, stride=stride, projects=True, norm=norm)
    return nn.Sequential(first, *(ResidualBlock(channels, channels, norm=norm) for _ in range(depth - 1)))


def as_triples(strides: Sequence[int | Sequence[int]]) -> tuple[Triple, ...]:
    """Strides of all levels as (z, y, x), where a single number stands for three.

    Raises:
        ValueError: where a stride isn't 1 or 2, or a level doesn't have three of them.
    """
    triples = tuple((s,) * 3 if isinstance(s, int) else tuple(int(n) for n in s) for s in strides)
    if any(len(triple) != 3 or not set(triple) <= {1, 2} for triple in triples):
        raise ValueError(f"a stride is 1 or 2, or three of those, not {list(strides)}")
    return triples  # type: ignore[return-value]
