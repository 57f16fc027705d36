"""Everything that prediction must repeat of training."""

from collections.abc import Sequence
from dataclasses import dataclass

from gynbtnet.preparation.planning.anisotropy import separate_axis
from gynbtnet.preparation.planning.intensity import Intensity
from gynbtnet.preparation.planning.postprocessing_rules import PostprocessingRule
from gynbtnet.preparation.planning.settings import (
    ALL_AXES,
    MAX_CHANNELS,
    MAX_STRUCTURES,
    Axis,
    NetworkName,
    Normalisation,
    SeparateZ,
    check_batch,
    check_names,
    check_network,
    check_patch,
    check_spacing,
)
from gynbtnet.preparation.planning.structure_volumes import StructureVolume
from gynbtnet.runtime.array_types import Triple

CT = "ct"
"""What a channel is called, in upper or lower case, whose values are HU; nnU-Net goes by the same name."""


@dataclass(frozen=True)
class Plan:
    """How scans are prepared and what network reads them.

    Attributes:
        structures: output i + 1 of the network is structures[i]; empty before contours are learned.
        spacing: voxel spacing (z, y, x) in mm.
        normalisation: of CT channels, "zscore" (each scan by its own mean and deviation) or "ct" (by ``intensities``);
            all other channels are z-scored.
        intensities: of each channel, inside the structures; needed for "ct", None else.
        patch_size: voxels (z, y, x); on every axis a multiple of the product of the strides.
        batch_size: patches in a batch.
        preset: the network's size by name.
        strides: what each of the preset's levels divides the grid by, fine to coarse, (z, y, x); none of "swin_unetr".
        network: "gynbtnet", or the baseline "swin_unetr".
        channels: what each image of a case is, in their order.
        separate_z: whether thick slices are resampled apart, see :mod:`gynbtnet.preparation.planning.anisotropy`.
        notes: what was chosen or changed on the way, a sentence each.
        volumes: how large the structures are in those who were planned for; of those that too few have, none.
        postprocessing: what is mended in contours, at most one rule a structure; a cross-validation chooses it.
        mirror_axes: the patient's axes that were mirrored in training, and that prediction may mirror. All three in
            plans that don't say so, and in those that nothing was trained by yet.
        sides_swapped: whether structures of the left and the right changed their labels when x was mirrored.

    Raises:
        ValueError: where values don't fit each other.
    """

    structures: tuple[str, ...]
    spacing: tuple[float, float, float]
    normalisation: Normalisation
    intensities: tuple[Intensity, ...] | None
    patch_size: Triple
    batch_size: int
    preset: str
    strides: tuple[Triple, ...]
    network: NetworkName = "gynbtnet"
    channels: tuple[str, ...] = ("CT",)
    separate_z: SeparateZ = "auto"
    notes: tuple[str, ...] = ()
    volumes: tuple[StructureVolume, ...] = ()
    postprocessing: tuple[PostprocessingRule, ...] = ()
    mirror_axes: tuple[Axis, ...] = ALL_AXES
    sides_swapped: bool = False

    def __post_init__(self) -> None:
        if self.normalisation not in ("zscore", "ct"):
            raise ValueError(f"normalisation is zscore or ct, not {self.normalisation}")
        if self.separate_z not in ("auto", "never"):
            raise ValueError(f"separate_z is auto or never, not {self.separate_z}")
        if not self.channels:
            raise ValueError("channels are one at least")
        if "ct" in self.normalisations and self.intensities is None:
            raise ValueError("normalisation ct needs the cohort's intensities")
        if self.intensities is not None and len(self.intensities) != len(self.channels):
            raise ValueError(f"intensities are one a channel, not {len(self.intensities)} for {self.channels}")
        if self.mirror_axes != tuple(axis for axis in ALL_AXES if axis in self.mirror_axes):
            raise ValueError(f"mirror_axes are some of z, y, x, each once and in this order, not {self.mirror_axes}")
        check_spacing(self.spacing)
        check_network(self.network, self.preset, self.strides)
        check_patch(self.network, self.patch_size, self.strides)
        check_batch(self.batch_size, self.patch_size)
        check_names("structures", self.structures, MAX_STRUCTURES)
        check_names("channels", self.channels, MAX_CHANNELS)
        named = [rule.structure for rule in self.postprocessing]
        if len(set(named)) < len(named) or not set(named) <= set(self.structures):
            raise ValueError(f"postprocessing has one rule a structure at most, and only of {self.structures}")

    @property
    def normalisations(self) -> tuple[Normalisation, ...]:
        """Of each channel."""
        return tuple(self.normalisation if name.casefold() == CT else "zscore" for name in self.channels)

    def separate_axis(self, spacing: Sequence[float]) -> int | None:
        """The axis along which a scan of ``spacing`` is resampled apart; (z, y, x) as they lie in the patient."""
        return separate_axis(spacing, self.spacing) if self.separate_z == "auto" else None
