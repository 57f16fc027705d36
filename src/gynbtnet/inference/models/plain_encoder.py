"""An encoder of GynBTNet in plain PyTorch; needs torch and safetensors, and not GynBTNet.

``gynbtnet export RUN OUT --to encoder`` writes this file next to ``encoder.safetensors`` and ``encoder.json``::

    from load_encoder import load_encoder, normalise

    encoder, description = load_encoder("OUT")
    features = encoder(normalise(image, description))  # one map per level, fine to coarse
"""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn


class ResidualBlock(nn.Module):
    """Two convolutions and a shortcut, each convolution followed by a norm."""

    def __init__(self, inputs: int, channels: int, stride: list[int], norm: str, project: bool) -> None:
        super().__init__()
        norms = nn.BatchNorm3d if norm == "batch" else nn.InstanceNorm3d
        self.conv1 = nn.Conv3d(inputs, channels, 3, tuple(stride), padding=1)  # type: ignore[arg-type]
        self.norm1 = norms(channels, affine=True)
        self.conv2 = nn.Conv3d(channels, channels, 3, padding=1)
        self.norm2 = norms(channels, affine=True)
        self.shortcut = (
            nn.Conv3d(inputs, channels, 1, tuple(stride)) if project else nn.Identity()  # type: ignore[arg-type]
        )
        self.activation = nn.LeakyReLU(0.01)

    def forward(self, x: Tensor) -> Tensor:
        """Compute (B, channels, …) from (B, inputs, …)."""
        y = self.norm2(self.conv2(self.activation(self.norm1(self.conv1(x)))))
        result: Tensor = self.activation(y + self.shortcut(x))
        return result


class Encoder(nn.Module):
    """Encoder of ``description``, the content of ``encoder.json``; it returns one feature map per level."""

    def __init__(self, description: dict[str, Any]) -> None:
        super().__init__()
        inputs, levels = len(description["input_channels"]), []
        for channels, stride in zip(description["channels"], description["strides"], strict=True):
            blocks = [ResidualBlock(inputs, channels, stride, description["norm"], project=True)]
            for _ in range(description["depth"] - 1):
                blocks.append(ResidualBlock(channels, channels, [1, 1, 1], description["norm"], project=False))
            levels.append(nn.Sequential(*blocks))
            inputs = channels
        self.levels = nn.ModuleList(levels)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Compute the features of (B, channels, z, y, x), fine to coarse.

        Every size must be a multiple of the product of the strides.
        """
        features = []
        for level in self.levels:
            image = level(image)
            features.append(image)
        return features


def load_encoder(folder: str | Path) -> tuple[Encoder, dict[str, Any]]:
    """Return the encoder in an exported folder, in evaluation mode, and the content of ``encoder.json``."""
    description: dict[str, Any] = json.loads((Path(folder) / "encoder.json").read_text(encoding="utf-8"))
    encoder = Encoder(description)
    encoder.load_state_dict(load_file(Path(folder) / "encoder.safetensors"))
    return encoder.eval(), description


def normalise(image: Tensor, description: dict[str, Any]) -> Tensor:
    """Return an image as the encoder expects it.

    Args:
        image: (channels, z, y, x), CT in HU, resampled to ``description["spacing_mm"]``. The axes z, y and x run to the
            patient's head, back and left.
        description: content of ``encoder.json``.

    Returns:
        The normalised image (1, channels, z, y, x), float32.
    """
    normalised = []
    for channel, rule in zip(image.float(), description["normalisation"], strict=True):
        clipped = channel.clamp(rule["lowest"], rule["highest"])
        mean = clipped.mean() if rule["mean"] is None else rule["mean"]
        deviation = clipped.std(correction=0) if rule["sd"] is None else rule["sd"]
        normalised.append((clipped - mean) / max(float(deviation), 1e-8))
    return torch.stack(normalised)[None]
