"""nnU-Net's own U-Nets: plain and residual, for two and three axes, with the parameter names of its checkpoints."""

from collections import OrderedDict
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from gynbtnet.networks.nnunet_architecture import UNetArchitecture
from gynbtnet.networks.transfer import PartNames


class ConvolutionBlock(nn.Module):
    """Convolution, norm and activation.

    Args:
        architecture: axes, norm and activation.
        in_channels: channels of the input.
        channels: channels of the output.
        kernel: kernel along each axis; the border is padded with half of it.
        stride: stride along each axis.
        bias: whether the convolution has a bias; None: as in the architecture.
        activate: whether an activation follows.
    """

    def __init__(
        self,
        architecture: UNetArchitecture,
        in_channels: int,
        channels: int,
        kernel: Sequence[int],
        stride: Sequence[int],
        *,
        bias: bool | None = None,
        activate: bool = True,
    ) -> None:
        super().__init__()
        convolution: Any = nn.Conv2d if architecture.axes == 2 else nn.Conv3d
        padding = tuple((size - 1) // 2 for size in kernel)
        has_bias = architecture.bias if bias is None else bias
        self.conv = convolution(in_channels, channels, tuple(kernel), tuple(stride), padding, bias=has_bias)
        self.norm = _norm(architecture, channels)
        self.activation = _activation(architecture) if activate else nn.Identity()
        self.activation_first = architecture.activation_first and activate

    def forward(self, x: Tensor) -> Tensor:
        """Compute (B, channels, …) from (B, in_channels, …)."""
        first, second = (self.activation, self.norm) if self.activation_first else (self.norm, self.activation)
        result: Tensor = second(first(self.conv(x)))
        return result


class NnunetResidualBlock(nn.Module):
    """Residual block of type D (He et al. 2019, arXiv:1812.01187): the shortcut is averaged, then projected.

    Args:
        architecture: axes, norm and activation.
        in_channels: channels of the input.
        channels: channels of the output.
        kernel: kernel of both convolutions along each axis.
        stride: stride of the first convolution along each axis.
    """

    def __init__(
        self,
        architecture: UNetArchitecture,
        in_channels: int,
        channels: int,
        kernel: Sequence[int],
        stride: Sequence[int],
    ) -> None:
        super().__init__()
        one = (1,) * architecture.axes
        self.conv1 = ConvolutionBlock(architecture, in_channels, channels, kernel, stride)
        self.conv2 = ConvolutionBlock(architecture, channels, channels, kernel, one, activate=False)
        self.activation = _activation(architecture)
        shortcut: list[nn.Module] = []
        if any(step != 1 for step in stride):
            pool: Any = nn.AvgPool2d if architecture.axes == 2 else nn.AvgPool3d
            shortcut.append(pool(tuple(stride), tuple(stride)))
        if in_channels != channels:
            shortcut.append(ConvolutionBlock(architecture, in_channels, channels, one, one, bias=False, activate=False))
        self.skip = nn.Sequential(*shortcut)

    def forward(self, x: Tensor) -> Tensor:
        """Compute (B, channels, …) from (B, in_channels, …)."""
        y = self.conv2(self.conv1(x))
        y += self.skip(x)
        result: Tensor = self.activation(y)
        return result


def _stack(
    block: type[ConvolutionBlock | NnunetResidualBlock],
    architecture: UNetArchitecture,
    depth: int,
    in_channels: int,
    channels: int,
    kernel: Sequence[int],
    stride: Sequence[int],
) -> nn.Sequential:
    """Return ``depth`` blocks, of which the first has the stride, under the name that nnU-Net's checkpoints have."""
    name = "convs" if block is ConvolutionBlock else "blocks"
    one = (1,) * architecture.axes
    first = block(architecture, in_channels, channels, kernel, stride)
    others = (block(architecture, channels, channels, kernel, one) for _ in range(depth - 1))
    return nn.Sequential(OrderedDict({name: nn.Sequential(first, *others)}))


class NnunetEncoder(nn.Module):
    """Encoder of plain or residual stages.

    Args:
        architecture: architecture of the network.
        in_channels: channels of the image.
    """

    def __init__(self, architecture: UNetArchitecture, in_channels: int) -> None:
        super().__init__()
        self.stem: nn.Module | None = None
        residual = architecture.kind != "PlainConvUNet"
        if residual:
            stem = architecture.stem or architecture.features[0]
            one = (1,) * architecture.axes
            self.stem = _stack(ConvolutionBlock, architecture, 1, in_channels, stem, architecture.kernels[0], one)
            in_channels = stem
        stages: list[nn.Module] = []
        channels = pairwise((in_channels, *architecture.features))
        for depth, (before, after), kernel, stride in zip(
            architecture.depths, channels, architecture.kernels, architecture.strides, strict=True
        ):
            block = NnunetResidualBlock if residual else ConvolutionBlock
            stack = _stack(block, architecture, depth, before, after, kernel, stride)
            stages.append(stack if residual else nn.Sequential(stack))
        self.stages = nn.ModuleList(stages)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Compute one feature map per stage, fine to coarse, from (B, in_channels, …)."""
        x = image if self.stem is None else self.stem(image)
        features = []
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        return features


class NnunetDecoder(nn.Module):
    """Decoder with transposed convolutions; every stage has a head.

    Args:
        architecture: architecture of the network.
        outputs: outputs of each head.
    """

    def __init__(self, architecture: UNetArchitecture, outputs: int) -> None:
        super().__init__()
        flat = architecture.axes == 2
        transposed: Any = nn.ConvTranspose2d if flat else nn.ConvTranspose3d
        convolution: Any = nn.Conv2d if flat else nn.Conv3d
        block = NnunetResidualBlock if architecture.kind == "ResidualUNet" else ConvolutionBlock
        one = (1,) * architecture.axes
        upsamplings, stages, heads = [], [], []
        for step, depth in enumerate(architecture.decoder_depths, start=1):
            below, skip = architecture.features[-step], architecture.features[-step - 1]
            stride = architecture.strides[-step]
            upsamplings.append(transposed(below, skip, stride, stride, bias=architecture.bias))
            stages.append(_stack(block, architecture, depth, 2 * skip, skip, architecture.kernels[-step - 1], one))
            heads.append(convolution(skip, outputs, 1))
        self.transpconvs = nn.ModuleList(upsamplings)
        self.stages = nn.ModuleList(stages)
        self.seg_layers = nn.ModuleList(heads)

    @property
    def heads(self) -> nn.ModuleList:
        """Heads, coarse to fine."""
        return self.seg_layers

    def forward(self, features: Sequence[Tensor], deep_supervision: bool) -> list[Tensor]:
        """Compute logits, finest stage first; without deep supervision only those of the finest."""
        x, logits = features[-1], []
        last = len(self.stages) - 1
        for step, (upsampling, stage, head) in enumerate(
            zip(self.transpconvs, self.stages, self.seg_layers, strict=True)
        ):
            x = stage(torch.cat((upsampling(x), features[-step - 2]), 1))
            if deep_supervision or step == last:
                logits.append(head(x))
        return logits[::-1]


class NnunetUNet(nn.Module):
    """One of nnU-Net's U-Nets: ``PlainConvUNet``, ``ResidualEncoderUNet`` or ``ResidualUNet``.

    Parameters have the names of nnU-Net's checkpoints, each once. A network of two axes reads one slice: its input and
    output have a first axis of size 1.

    Args:
        architecture: architecture of the network.
        in_channels: channels of the image.
        outputs: outputs of the network.
        deep_supervision: if true, ``forward`` returns the logits of every stage of the decoder.
    """

    def __init__(
        self, architecture: UNetArchitecture, in_channels: int = 1, *, outputs: int, deep_supervision: bool = False
    ) -> None:
        super().__init__()
        self.architecture = architecture
        self.deep_supervision = deep_supervision
        self.encoder = NnunetEncoder(architecture, in_channels)
        self.decoder = NnunetDecoder(architecture, outputs)

    @property
    def part_names(self) -> PartNames:
        """Prefixes of the parameters, for the transfer of weights."""
        plain, residual = ("encoder.stages.0.0.convs.0.conv.",), ("encoder.stem.convs.0.conv.",)
        inputs = plain if self.architecture.kind == "PlainConvUNet" else residual
        return PartNames(encoder="encoder.", heads="decoder.seg_layers.", input_convolutions=inputs)

    def forward(self, image: Tensor) -> Tensor | list[Tensor]:
        """Compute the logits of an image (B, in_channels, D, H, W); D is 1 for a network of two axes."""
        flat = self.architecture.axes == 2
        x = image[:, :, 0] if flat else image
        logits: list[Tensor] = self.decoder(self.encoder(x), self.deep_supervision)
        if flat:
            logits = [level[:, :, None] for level in logits]
        return logits if self.deep_supervision else logits[0]


def _norm(architecture: UNetArchitecture, channels: int) -> nn.Module:
    if architecture.norm is None:
        return nn.Identity()
    classes: dict[tuple[str, int], type[nn.Module]] = {
        ("instance", 2): nn.InstanceNorm2d,
        ("instance", 3): nn.InstanceNorm3d,
        ("batch", 2): nn.BatchNorm2d,
        ("batch", 3): nn.BatchNorm3d,
    }
    kind = classes[architecture.norm, architecture.axes]
    return kind(channels, eps=architecture.norm_eps, affine=architecture.norm_affine)


def _activation(architecture: UNetArchitecture) -> nn.Module:
    if architecture.activation == "LeakyReLU":
        return nn.LeakyReLU(architecture.slope, inplace=True)
    activation: nn.Module = getattr(nn, architecture.activation)()
    return activation
