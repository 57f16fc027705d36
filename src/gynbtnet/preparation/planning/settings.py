"""Settings of a plan in a recipe."""

from collections.abc import Sequence
from math import prod
from typing import Literal

from pydantic import Field, model_validator

from gynbtnet.imaging.nesting import Nesting
from gynbtnet.networks.presets import PRESETS
from gynbtnet.preparation.planning.intensity import Intensity
from gynbtnet.runtime.array_types import Triple
from gynbtnet.runtime.settings import Settings

Normalisation = Literal["zscore", "ct"]
NetworkName = Literal["gynbtnet", "swin_unetr"]
PlannedNetwork = Literal["gynbtnet", "swin_unetr", "nnunet"]
"""Networks of a plan; a recipe can't name nnU-Net's, because its layers come from a trained folder."""
PresetName = Literal["XXS", "XS", "S", "B", "L", "H", "F12", "F24", "F48"]
SeparateZ = Literal["auto", "never"]
Outputs = Literal["auto", "exclusive", "overlapping"]
Axis = Literal["z", "y", "x"]
"""An axis of the patient: z runs to the head, y to the back, x to the left."""
ALL_AXES: tuple[Axis, ...] = ("z", "y", "x")
"""Axes of an array of voxels, in their order; nnU-Net mirrors all of them."""

_FEATURE_SIZES = ("F12", "F24", "F48")
"""Swin-UNETR's presets, see :mod:`gynbtnet.networks.swin_unetr`."""

SPACINGS_MM = (0.05, 50.0)
"""Shortest and longest voxel edge of a plan; CTs have 0.2 to 10 mm."""
MAX_PATCH_VOXELS = 2**28
"""Voxels of a patch: 645 along each edge, the first feature map of preset XS alone takes 17 GB in 32-bit floats."""
MAX_BATCH_SIZE = 4096
MAX_STRUCTURES = 1024
MAX_CHANNELS = 32
_MAX_NAME = 200  # characters of a structure or a channel

_SWIN_UNETR_STRIDE = 32  # a patch that isn't a multiple of it is padded


class CTScaling(Settings):
    """Scaling of CT that replaces the cohort's intensities, in HU."""

    lower: float = Field(ge=-1e5, le=1e5, allow_inf_nan=False, description="Lower values are set to this one.")
    upper: float = Field(ge=-1e5, le=1e5, allow_inf_nan=False, description="Higher values are set to this one.")
    mean: float = Field(ge=-1e5, le=1e5, allow_inf_nan=False, description="Value that becomes 0.")
    sd: float = Field(gt=0, le=1e5, allow_inf_nan=False, description="Width that becomes 1.")

    @model_validator(mode="after")
    def _has_width(self) -> "CTScaling":
        if self.lower >= self.upper:
            raise ValueError(f"lower is {self.lower:g} HU, expected less than upper, {self.upper:g} HU")
        if not self.lower <= self.mean <= self.upper:
            raise ValueError(f"mean is {self.mean:g} HU, expected one between lower and upper")
        return self

    def as_intensity(self) -> Intensity:
        """Return these values as statistics for nnU-Net's CT normalisation, which clips to the two percentiles."""
        return Intensity(
            mean=self.mean,
            std=self.sd,
            percentile_00_5=self.lower,
            percentile_99_5=self.upper,
            median=self.mean,
            min=self.lower,
            max=self.upper,
        )

    @staticmethod
    def gave(intensity: Intensity) -> bool:
        """Return whether statistics are given values; measured extremes are beyond the percentiles.

        Args:
            intensity: statistics of a channel.
        """
        extremes = (intensity.min, intensity.max, intensity.median)
        return extremes == (intensity.percentile_00_5, intensity.percentile_99_5, intensity.mean)


class PlanSettings(Settings):
    """Settings for the preparation of scans and the network."""

    spacing: tuple[float, float, float] | None = Field(
        None, description="Voxel spacing (z, y, x) in mm to resample to; null: by nnU-Net's rule."
    )
    normalisation: Normalisation = Field(
        "zscore",
        description="For CT channels. zscore: mean 0 and variance 1 over each scan; ct: by the cohort's intensities "
        "inside its structures, as nnU-Net does. Channels with another name than CT are always z-scored.",
    )
    ct_scaling: CTScaling | None = Field(
        None,
        description="With normalisation ct: lower, upper, mean and sd in HU that replace the cohort's intensities. Use "
        "the same numbers in every stage, so that a voxel has the same value in all. null: the cohort's.",
    )
    separate_z: SeparateZ = Field(
        "auto",
        description="auto: as nnU-Net, treat z separately if slices are more than 3 times as thick as pixels. Then "
        "interpolate within planes and use the nearest slice between them. never: interpolate all three axes together.",
    )
    patch_size: Triple | None = Field(
        (80, 160, 160),
        description="Voxels (z, y, x) of the network's input; null: the largest that plan_memory_gb allows, in the "
        "proportions of the median scan.",
    )
    batch_size: int | None = Field(
        2, ge=1, description="Patches in a batch; null: as many as plan_memory_gb allows, at least 2."
    )
    plan_memory_gb: float = Field(
        24,
        gt=0,
        description="Memory of the device in GB (10⁹ bytes) for a training step in 32-bit floats; used if "
        "patch_size or batch_size is null.",
    )
    network: NetworkName = Field("gynbtnet", description="gynbtnet, or the baseline swin_unetr.")
    preset: PresetName = Field(
        "L",
        description="Size of the network: XXS, XS, S, B, L (the paper's) or H; of swin_unetr F12, F24 or F48.",
    )
    strides: tuple[Triple, ...] | None = Field(
        None,
        description="Stride of each level along (z, y, x); null: 1, 2, 2, 2, 2 on all axes. Presets "
        "with six levels have another 1. swin_unetr has its own.",
    )

    outputs: Outputs = Field(
        "auto",
        description="exclusive: at most one structure per voxel, by a softmax; overlapping: any number, by sigmoids; "
        "auto: overlapping if a structure shares more than overlap_share.",
    )
    overlap_share: float = Field(
        0.05,
        ge=0,
        le=1,
        description="With outputs auto: largest share of a structure's volume, over the cohort, that another one may "
        "have too.",
    )
    nesting: tuple[str, ...] = Field(
        (),
        description="Structures inside of others, from the innermost on, such as gtv_res < hr_ctv < ir_ctv. "
        "Overlapping predictions keep to them.",
    )

    def resolved_strides(self) -> tuple[Triple, ...]:
        """Return the strides, or the preset's if they are not set."""
        if self.strides is not None:
            return self.strides
        return preset_strides(self.preset) if self.preset in PRESETS else ()

    @property
    def expects_overlaps(self) -> bool:
        """True if the settings ask for overlapping outputs, by ``outputs`` or by nested structures."""
        return self.outputs == "overlapping" or bool(self.nesting)

    @model_validator(mode="after")
    def _fits(self) -> "PlanSettings":
        if self.ct_scaling is not None and self.normalisation != "ct":
            raise ValueError(
                f"ct_scaling is for normalisation ct, not {self.normalisation}; set normalisation to ct, or leave "
                "ct_scaling out"
            )
        if self.nesting and self.outputs == "exclusive":
            raise ValueError("structures that are nested overlap; set outputs to overlapping or auto, or omit nesting")
        Nesting.parse(self.nesting)
        if self.spacing is not None:
            check_spacing(self.spacing)
        check_network(self.network, self.preset, self.resolved_strides())
        if self.patch_size is not None:
            check_patch(self.network, self.patch_size, self.resolved_strides())
        check_batch(self.batch_size or 1, self.patch_size or (1, 1, 1))
        if self.network != "gynbtnet" and None in (self.patch_size, self.batch_size):
            raise ValueError(f"set patch_size and batch_size for {self.network}: memory is estimated only for gynbtnet")
        return self


def preset_strides(preset: str) -> tuple[Triple, ...]:
    """Return the default strides (z, y, x) of the levels of a preset.

    Args:
        preset: name of a preset.

    Returns:
        One stride per level, the finest first.
    """
    return tuple((stride, stride, stride) for stride in PRESETS[preset].strides)


def total_stride(strides: tuple[Triple, ...]) -> Triple:
    """Return the voxels (z, y, x) of the finest level per voxel of the deepest level."""
    z, y, x = (prod(steps) for steps in zip(*strides, strict=True))
    return z, y, x


def check_spacing(spacing: tuple[float, ...]) -> None:
    """Raise ValueError if ``spacing`` is not three lengths in mm that a scan may be resampled to."""
    shortest, longest = SPACINGS_MM
    if len(spacing) != 3 or not all(shortest <= length <= longest for length in spacing):
        raise ValueError(f"spacing is three lengths from {shortest} to {longest} mm, not {spacing}")


def check_batch(batch_size: int, patch_size: Triple) -> None:
    """Raise ValueError if a batch is empty, or too large for any device."""
    if not 1 <= batch_size <= MAX_BATCH_SIZE:
        raise ValueError(f"batch_size is a whole number from 1 to {MAX_BATCH_SIZE}, not {batch_size}")
    if prod(patch_size) > MAX_PATCH_VOXELS:
        raise ValueError(
            f"patch_size {patch_size} has {prod(patch_size):.3g} voxels, more than the {MAX_PATCH_VOXELS:.3g} allowed"
        )


def check_names(kind: str, names: Sequence[str], most: int) -> None:
    """Raise ValueError if ``names`` are more than ``most``, or one is empty, very long or not printable."""
    if len(names) > most:
        raise ValueError(f"expected at most {most} {kind}, not {len(names)}")
    invalid = next((name for name in names if not 0 < len(name) <= _MAX_NAME or not name.isprintable()), None)
    if invalid is not None:
        raise ValueError(f"{kind} have names of 1 to {_MAX_NAME} printable characters, not {invalid[:50]!r}")


def check_nesting(nesting: Nesting, structures: Sequence[str], *, overlapping: bool) -> None:
    """Raise ValueError if nested structures are unknown, or exclude each other."""
    unknown = sorted(nesting.structures.difference(structures))
    if unknown:
        raise ValueError(f"nesting names {unknown[0]}, which is not among the structures {', '.join(structures)}")
    if nesting.pairs and not overlapping:
        raise ValueError("structures that are nested overlap, but the plan's structures exclude each other")


def check_network(network: str, preset: str, strides: tuple[Triple, ...]) -> None:
    """Raise ValueError if network, preset and strides don't match."""
    if network == "gynbtnet":
        check_strides(preset, strides)
    elif network == "nnunet":
        if not strides:
            raise ValueError("a network of nnU-Net needs its strides")
    elif network != "swin_unetr":
        raise ValueError(f"network is gynbtnet or swin_unetr, not {network}")
    elif preset not in _FEATURE_SIZES:
        raise ValueError(f"preset of swin_unetr is one of {', '.join(_FEATURE_SIZES)}, not {preset}")
    elif strides:
        raise ValueError("swin_unetr has its own strides: leave them out")


def check_strides(preset: str, strides: tuple[Triple, ...]) -> None:
    """Raise ValueError if strides aren't 1 or 2, with one per level of the preset."""
    if preset not in PRESETS:
        raise ValueError(f"preset is one of {', '.join(PRESETS)}, not {preset}")
    levels = len(PRESETS[preset].channels)
    if len(strides) != levels:
        raise ValueError(f"expected {levels} strides for the levels of preset {preset}, not {len(strides)}")
    if any(step not in (1, 2) for stride in strides for step in stride):
        raise ValueError(f"strides are 1 or 2, not {strides}")


def check_patch(network: str, patch_size: Triple, strides: tuple[Triple, ...]) -> None:
    """Raise ValueError if a network can't read patches of that size; ours needs multiples of its total stride."""
    if network == "swin_unetr":
        if min(patch_size) < 1 or max(patch_size) <= _SWIN_UNETR_STRIDE:
            raise ValueError(
                f"patch_size {patch_size} leaves swin_unetr a single voxel to normalise over; it needs more than "
                f"{_SWIN_UNETR_STRIDE} voxels along an axis"
            )
        return
    total = total_stride(strides)
    if any(voxels < 1 or voxels % factor for voxels, factor in zip(patch_size, total, strict=True)):
        raise ValueError(f"patch_size {patch_size} is not a multiple of the product of the strides, {total}")
