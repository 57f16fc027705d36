"""The baseline Swin-UNETR: MONAI's network, for patches of any size.

Importing this module imports MONAI, which takes seconds; import it only to make the network.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from monai.networks.nets.swin_unetr import SwinUNETR as MonaiSwinUNETR
from torch import Tensor, nn
from torch.nn.functional import pad

from gynbtnet.networks.transfer import PartNames
from gynbtnet.runtime.errors import BadInput

FEATURE_SIZES: Mapping[str, int] = MappingProxyType({"F12": 12, "F24": 24, "F48": 48})
"""Channels at full resolution of each preset; F48 is the published network (Tang et al. 2022)."""

STRIDE = 32
"""Input voxels along each axis per voxel of the deepest level."""

PART_NAMES = PartNames(
    encoder="swinViT.",
    heads="out.",
    input_convolutions=("swinViT.patch_embed.proj.", "encoder1.layer.conv1.", "encoder1.layer.conv3."),
)


class SwinUNETR(MonaiSwinUNETR):  # type: ignore[misc]
    """MONAI's Swin-UNETR (Hatamizadeh et al. 2022, arXiv 2201.01266); its ``state_dict`` is MONAI's.

    A patch is padded with its border to multiples of 32, and the output is cropped back: 80×160×160 is computed as
    96×160×160. There is no deep supervision.

    Args:
        preset: A name in ``FEATURE_SIZES``.
        in_channels: Channels of the image, 1 for CT.
        outputs: Classes, background included.

    Raises:
        BadInput: If no preset has the name.
    """

    part_names = PART_NAMES

    def __init__(self, preset: str = "F48", in_channels: int = 1, *, outputs: int) -> None:
        super().__init__(in_channels, outputs, feature_size=find_feature_size(preset))

    def forward(self, image: Tensor) -> Tensor:
        """Compute the logits (B, outputs, D, H, W) of an image (B, in_channels, D, H, W)."""
        return crop_like(super().forward(pad_to_multiple(image)), image)


def make_swin_encoder(preset: str, in_channels: int) -> nn.Module:
    """Return the encoder alone, ``swinViT`` of :class:`SwinUNETR`, which computes the features of five levels."""
    encoder: nn.Module = MonaiSwinUNETR(in_channels, 1, feature_size=find_feature_size(preset)).swinViT
    return encoder


def find_feature_size(preset: str) -> int:
    """Return the number of channels at full resolution.

    Raises:
        BadInput: If no preset has the name.
    """
    if preset not in FEATURE_SIZES:
        raise BadInput(f"There is no preset {preset!r} of Swin-UNETR; expected one of {', '.join(FEATURE_SIZES)}.")
    return FEATURE_SIZES[preset]


def pad_to_multiple(image: Tensor) -> Tensor:
    """Return (B, C, D, H, W) padded to multiples of 32 by repeating its border on both sides of each axis."""
    return pad(image, [n for sides in reversed(_padding(image.shape[2:])) for n in sides], mode="replicate")


def crop_like(values: Tensor, image: Tensor) -> Tensor:
    """Return the part of ``values`` (B, C, …), computed from ``pad_to_multiple(image)``, that covers ``image``."""
    z, y, x = (
        slice(before, before + n) for n, (before, _) in zip(image.shape[2:], _padding(image.shape[2:]), strict=True)
    )
    return values[:, :, z, y, x]


def _padding(shape: Sequence[int]) -> list[tuple[int, int]]:
    """Return the voxels to add before and after, along (z, y, x)."""
    missing = [-n % STRIDE for n in shape]
    return [(n // 2, n - n // 2) for n in missing]
