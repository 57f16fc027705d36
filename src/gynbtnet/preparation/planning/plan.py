"""The plan: all settings of training that prediction must repeat."""

from collections.abc import Sequence
from dataclasses import dataclass

from gynbtnet.imaging.nesting import NO_NESTING, Nesting
from gynbtnet.imaging.regions import Regions
from gynbtnet.imaging.sides import mirrored_labels
from gynbtnet.networks.nnunet_architecture import UNetArchitecture
from gynbtnet.preparation.planning.anisotropy import separate_axis
from gynbtnet.preparation.planning.intensity import Intensity
from gynbtnet.preparation.planning.postprocessing_rules import PostprocessingRule
from gynbtnet.preparation.planning.settings import (
    ALL_AXES,
    MAX_CHANNELS,
    MAX_STRUCTURES,
    Axis,
    Normalisation,
    PlannedNetwork,
    SeparateZ,
    check_batch,
    check_names,
    check_nesting,
    check_network,
    check_patch,
    check_spacing,
)
from gynbtnet.preparation.planning.structure_volumes import StructureVolume
from gynbtnet.runtime.array_types import Triple

CT = "ct"
"""Name of a channel with values in HU, in upper or lower case; nnU-Net uses the same name."""
SYNTHETIC_NOTE = "The training data are synthetic: no patient was scanned."
"""Note of a plan that was made from synthetic scans; a model carries it."""


@dataclass(frozen=True)
class Plan:
    """Preparation of scans and the network that reads them.

    Attributes:
        structures: structures that the network segments; empty before contours are learned. If they exclude each
            other, output i + 1 of the network is structures[i]; if they overlap, output i is.
        spacing: voxel spacing (z, y, x) in mm.
        normalisation: for CT channels, "zscore" (each scan by its own mean and deviation) or "ct" (by
            ``intensities``); all other channels are z-scored.
        intensities: statistics of each channel inside the structures; needed for "ct", otherwise None.
        patch_size: voxels (z, y, x); on every axis a multiple of the product of the strides.
        batch_size: patches in a batch.
        preset: name of the network's size.
        strides: stride of each level of the preset, fine to coarse, (z, y, x); empty for "swin_unetr".
        network: "gynbtnet", the baseline "swin_unetr", or "nnunet": a network of nnU-Net with this ``architecture``.
        channels: name of each channel, in order.
        separate_z: whether thick slices are resampled separately, see :mod:`gynbtnet.preparation.planning.anisotropy`.
        notes: choices and changes during planning, one sentence each.
        volumes: volumes of the structures in the training patients; only of structures that enough patients have.
        postprocessing: post-processing, at most one rule per structure; a cross-validation selects it.
        mirror_axes: patient axes that were mirrored in training, and that prediction may mirror; all three if a plan
            doesn't specify them or hasn't been trained yet.
        sides_swapped: whether left and right structures swapped their labels when x was mirrored.
        regions: labels of each structure in the prepared scans if structures overlap; None if they exclude each other.
        nesting: inner and outer structures, which prediction keeps; only if structures overlap.
        architecture: layers of a network of nnU-Net, with axes (z, y, x); None for all others.

    Raises:
        ValueError: If the values are inconsistent.
    """

    structures: tuple[str, ...]
    spacing: tuple[float, float, float]
    normalisation: Normalisation
    intensities: tuple[Intensity, ...] | None
    patch_size: Triple
    batch_size: int
    preset: str
    strides: tuple[Triple, ...]
    network: PlannedNetwork = "gynbtnet"
    channels: tuple[str, ...] = ("CT",)
    separate_z: SeparateZ = "auto"
    notes: tuple[str, ...] = ()
    volumes: tuple[StructureVolume, ...] = ()
    postprocessing: tuple[PostprocessingRule, ...] = ()
    mirror_axes: tuple[Axis, ...] = ALL_AXES
    sides_swapped: bool = False
    regions: Regions | None = None
    nesting: Nesting = NO_NESTING
    architecture: UNetArchitecture | None = None

    def __post_init__(self) -> None:
        if self.normalisation not in ("zscore", "ct"):
            raise ValueError(f"normalisation is zscore or ct, not {self.normalisation}")
        if self.separate_z not in ("auto", "never"):
            raise ValueError(f"separate_z is auto or never, not {self.separate_z}")
        if not self.channels:
            raise ValueError("channels is empty; expected at least one")
        if "ct" in self.normalisations and self.intensities is None:
            raise ValueError("normalisation ct needs the cohort's intensities")
        if self.intensities is not None and len(self.intensities) != len(self.channels):
            raise ValueError(
                f"expected one entry of intensities per channel, not {len(self.intensities)} for {self.channels}"
            )
        if self.mirror_axes != tuple(axis for axis in ALL_AXES if axis in self.mirror_axes):
            raise ValueError(f"mirror_axes are some of z, y, x, each once and in this order, not {self.mirror_axes}")
        check_spacing(self.spacing)
        check_network(self.network, self.preset, self.strides)
        check_patch(self.network, self.patch_size, self.strides)
        check_batch(self.batch_size, self.patch_size)
        check_names("structures", self.structures, MAX_STRUCTURES)
        check_names("channels", self.channels, MAX_CHANNELS)
        structures = [rule.structure for rule in self.postprocessing]
        if len(set(structures)) < len(structures) or not set(structures) <= set(self.structures):
            raise ValueError(f"expected at most one postprocessing rule per structure, and only for {self.structures}")
        if self.regions is not None and self.regions.structures != self.structures:
            raise ValueError(f"regions are those of {self.regions.structures}, not of {self.structures}")
        check_nesting(self.nesting, self.structures, overlapping=self.overlapping)
        if (self.network == "nnunet") != (self.architecture is not None):
            raise ValueError(f"network {self.network} has {'no' if self.architecture is None else 'an'} architecture")
        if self.architecture is not None and self.architecture.strides != self.strides:
            raise ValueError(f"strides are {self.strides}, but the architecture has {self.architecture.strides}")

    @property
    def overlapping(self) -> bool:
        """True if structures may overlap: each has an output with a sigmoid, instead of a softmax over all."""
        return self.regions is not None

    @property
    def outputs(self) -> int:
        """Number of outputs of the network: one per structure, and one for the background if structures exclude it."""
        return len(self.structures) + (not self.overlapping)

    @property
    def mirrored_labels(self) -> tuple[int, ...]:
        """Label that replaces each label of a prepared scan that is mirrored left to right."""
        return self.regions.mirrored_labels if self.regions else mirrored_labels(self.structures)

    @property
    def normalisations(self) -> tuple[Normalisation, ...]:
        """Normalisation of each channel."""
        return tuple(self.normalisation if name.casefold() == CT else "zscore" for name in self.channels)

    def separate_axis(self, spacing: Sequence[float]) -> int | None:
        """Return the axis along which a scan of ``spacing`` (z, y, x; mm) is resampled separately, or None."""
        return separate_axis(spacing, self.spacing) if self.separate_z == "auto" else None
