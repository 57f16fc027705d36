"""Patches of earlier fractions, prepared as in training."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from gynbtnet.imaging.volume import Segmentation, Volume
from gynbtnet.preparation.foreground import foreground_voxels
from gynbtnet.preparation.planning.plan import Plan
from gynbtnet.preparation.preprocess import preprocess_volume, separate_resampling_axis
from gynbtnet.preparation.spline_resampling import resample_labels
from gynbtnet.runtime.array_types import Triple
from gynbtnet.training.data.batches import Batch


@dataclass(frozen=True)
class EarlierFraction:
    """A scan of the patient with contours that a person reviewed.

    Attributes:
        volumes: one volume per channel of the model; CT in HU.
        contours: contours on the same grid.
        missing: structures of the model that nobody reviewed.
        sha256: SHA-256 of the scan.
    """

    volumes: tuple[Volume, ...]
    contours: Segmentation
    missing: tuple[str, ...]
    sha256: str


@dataclass(frozen=True)
class PatchSource:
    """A prepared fraction.

    Attributes:
        image: normalised scan (channels, z, y, x), at least as large as a patch.
        labels: labels (z, y, x); of overlapping structures those of their combinations.
        foreground: sample of voxels (n, 3) by structure.
        missing: for each structure, whether its voxels are unknown.
    """

    image: npt.NDArray[np.float32]
    labels: npt.NDArray[np.uint8]
    foreground: tuple[npt.NDArray[np.int32], ...]
    missing: tuple[bool, ...]


def prepare_fraction(fraction: EarlierFraction, plan: Plan) -> PatchSource:
    """Resample and normalise a fraction by the plan; a scan smaller than a patch is padded with its lowest values."""
    source = fraction.volumes[0].geometry
    image, geometry = preprocess_volume(fraction.volumes, plan)
    drawn = plan.regions.label_map(fraction.contours) if plan.regions else fraction.contours.labels
    labels = resample_labels(
        drawn.array.astype(np.uint8, copy=False), source, geometry, separate=separate_resampling_axis(source, plan)
    )
    more = [(0, max(0, size - n)) for size, n in zip(plan.patch_size, labels.shape, strict=True)]
    padded = np.stack([np.pad(channel, more, constant_values=float(channel.min())) for channel in image])
    voxels = foreground_voxels(labels, plan.regions)
    return PatchSource(
        padded,
        np.pad(labels, more),
        tuple(voxels[label] for label in sorted(voxels)),
        tuple(name in fraction.missing for name in plan.structures),
    )


def draw_batch(sources: Sequence[PatchSource], size: Triple, patches: int, random: np.random.Generator) -> Batch:
    """Return random patches, each around a voxel of a random structure.

    Args:
        sources: prepared fractions.
        size: voxels (z, y, x) of a patch.
        patches: number of patches.
        random: generator of all choices.
    """
    images, labels, missing = [], [], []
    for _ in range(patches):
        source = sources[int(random.integers(len(sources)))]
        voxels = source.foreground[int(random.integers(len(source.foreground)))]
        free = np.asarray(source.labels.shape) - size
        low = np.clip(voxels[int(random.integers(len(voxels)))] - np.asarray(size) // 2, 0, free)
        box = tuple(slice(int(first), int(first) + n) for first, n in zip(low, size, strict=True))
        images.append(torch.from_numpy(source.image[(slice(None), *box)].copy()))
        labels.append(torch.from_numpy(source.labels[box].copy()))
        missing.append(source.missing)
    batch = Batch(image=torch.stack(images), labels=torch.stack(labels))
    if any(map(any, missing)):
        batch["missing"] = torch.tensor(missing)
    return batch
