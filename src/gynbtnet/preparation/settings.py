"""What a recipe may say about the plan."""

from collections.abc import Mapping
from math import inf, prod
from typing import Literal

from pydantic import Field, model_validator

from gynbtnet.settings import Settings

Normalisation = Literal["zscore", "ct"]
NetworkName = Literal["gynbtnet", "swin_unetr"]
PresetName = Literal["XS", "S", "B", "L", "H", "F12", "F24", "F48"]
Triple = tuple[int, int, int]

_LEVELS: Mapping[str, int] = {"XS": 5, "S": 6, "B": 6, "L": 6, "H": 6}
"""Levels of each of GynBTNet's presets, see :mod:`gynbtnet.networks.presets`."""

_FEATURE_SIZES = ("F12", "F24", "F48")
"""Swin-UNETR's presets, see :mod:`gynbtnet.networks.swin_unetr`."""

_SWIN_UNETR_STRIDE = 32  # a patch that isn't a multiple of it is padded


class PlanSettings(Settings):
    """How scans are brought to one form and what network reads them."""

    spacing: tuple[float, float, float] | None = Field(
        None, description="Voxel spacing (z, y, x) in mm that scans are resampled to; left out, nnU-Net's rule decides."
    )
    normalisation: Normalisation = Field(
        "zscore",
        description="zscore: mean 0 and variance 1 over each scan; ct: by the cohort's intensities inside its "
        "structures, as nnU-Net does.",
    )
    patch_size: Triple = Field((80, 160, 160), description="Voxels (z, y, x) that the network sees at once.")
    batch_size: int = Field(2, ge=1, description="Patches in a batch.")
    network: NetworkName = Field("gynbtnet", description="gynbtnet, or the baseline swin_unetr.")
    preset: PresetName = Field(
        "L", description="Size of the network: XS, S, B, L (the paper's) or H; of swin_unetr F12, F24 or F48 (its own)."
    )
    strides: tuple[Triple, ...] | None = Field(
        None,
        description="What each level divides the grid by along (z, y, x); left out, 1, 2, 2, 2, 2 on all axes, and 1 "
        "more where the preset has six levels. Those of swin_unetr are its own.",
    )

    def resolved_strides(self) -> tuple[Triple, ...]:
        """The strides, those left out filled in."""
        if self.strides is not None:
            return self.strides
        if self.network == "swin_unetr":
            return ()
        return ((1, 1, 1), *((2, 2, 2),) * 4, *((1, 1, 1),) * (_LEVELS[self.preset] - 5))

    @model_validator(mode="after")
    def _fits(self) -> "PlanSettings":
        if self.spacing is not None:
            check_spacing(self.spacing)
        check_network(self.network, self.preset, self.resolved_strides(), self.patch_size)
        return self


def check_spacing(spacing: tuple[float, ...]) -> None:
    """ValueError where ``spacing`` isn't three positive lengths."""
    if len(spacing) != 3 or not all(0 < length < inf for length in spacing):
        raise ValueError(f"spacing is three positive lengths in mm, not {spacing}")


def check_network(network: str, preset: str, strides: tuple[Triple, ...], patch_size: Triple) -> None:
    """ValueError where network, preset, strides and patch don't fit each other."""
    if network == "gynbtnet":
        check_strides(preset, strides, patch_size)
    elif network != "swin_unetr":
        raise ValueError(f"network is gynbtnet or swin_unetr, not {network}")
    elif preset not in _FEATURE_SIZES:
        raise ValueError(f"preset of swin_unetr is one of {', '.join(_FEATURE_SIZES)}, not {preset}")
    elif strides:
        raise ValueError("strides of swin_unetr are its own: leave them out")
    elif min(patch_size) < 1 or max(patch_size) <= _SWIN_UNETR_STRIDE:
        raise ValueError(
            f"patch_size {patch_size} leaves swin_unetr a single voxel to normalise over; it needs more than "
            f"{_SWIN_UNETR_STRIDE} voxels along an axis"
        )


def check_strides(preset: str, strides: tuple[Triple, ...], patch_size: Triple) -> None:
    """ValueError where strides aren't 1 or 2, one for each level of the preset, or don't divide the patch."""
    if preset not in _LEVELS:
        raise ValueError(f"preset is one of {', '.join(_LEVELS)}, not {preset}")
    if len(strides) != _LEVELS[preset]:
        raise ValueError(f"strides are {_LEVELS[preset]} for the levels of preset {preset}, not {len(strides)}")
    if any(step not in (1, 2) for stride in strides for step in stride):
        raise ValueError(f"strides are 1 or 2, not {strides}")
    total = tuple(prod(steps) for steps in zip(*strides, strict=True))
    if any(voxels < 1 or voxels % factor for voxels, factor in zip(patch_size, total, strict=True)):
        raise ValueError(f"patch_size {patch_size} is no multiple of the product of the strides, {total}")
