"""Preparation of a scan as nnU-Net does it, and the way back to the scan's grid."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from gynbtnet.imaging.geometry import Geometry
from gynbtnet.imaging.mask_measures import bounding_box
from gynbtnet.imaging.orientation import Reorientation, reorientation_to_lps
from gynbtnet.imaging.volume import Volume
from gynbtnet.inference.models.nnunet.configuration import ChannelNormalisation, NnunetConfiguration
from gynbtnet.preparation.planning.anisotropy import separate_axis
from gynbtnet.preparation.planning.target_spacing import shape_at
from gynbtnet.preparation.spline_resampling import resample, resample_labels
from gynbtnet.runtime.array_types import Float32Array, Spacing
from gynbtnet.runtime.errors import BadInput

_LEAST_DEVIATION = 1e-8
_BRIGHTEST = 255  # of a colour image


@dataclass(frozen=True)
class NnunetScan:
    """A scan as the network reads it.

    Attributes:
        image: (channels, …), axes as in nnU-Net's arrays.
        geometry: grid of the image.
        nearest: axis along which logits take the nearest voxel on their way back; None: no axis.
    """

    image: Float32Array
    geometry: Geometry
    nearest: int | None


def prepare_scan(
    volumes: Sequence[Volume], configuration: NnunetConfiguration, previous: npt.NDArray[np.uint8] | None = None
) -> NnunetScan:
    """Crop, normalise and resample a scan as nnU-Net's ``DefaultPreprocessor``.

    Args:
        volumes: one volume per channel, all on one grid; CT in HU.
        configuration: configuration of the network.
        previous: labels on the scan's grid that the network refines, 1 to n; None if it refines none.

    Returns:
        The scan as the network reads it. Labels to refine are further channels, one for each.

    Raises:
        BadInput: If the scan contains only zeros, or a colour image has values outside of 0 to 255.
    """
    reorientation = nnunet_reorientation(volumes[0].geometry, configuration)
    grid = reorientation.geometry(volumes[0].geometry)
    arrays = [reorientation.array(volume.array) for volume in volumes]
    mask = _nonzero(arrays)
    box = bounding_box(mask)
    if box is None:
        raise BadInput("The scan contains only zeros, so there is nothing to segment; give another scan.")
    cropped, mask = grid.cropped(box), mask[box]
    target_spacing = _target_spacing(configuration, cropped)
    target = cropped.with_shape(shape_at(target_spacing, cropped.shape, cropped.spacing))
    separate = _separate(configuration.image_resampling.separate, cropped.spacing, target_spacing)
    labels = () if previous is None else configuration.outputs.labels
    image = np.empty((len(volumes) + len(labels), *target.shape), np.float32)
    for channel, (array, normalisation) in enumerate(zip(arrays, configuration.normalisations, strict=True)):
        values = _normalise(array[box].astype(np.float32), normalisation, mask)
        image[channel] = resample(values, cropped, target, configuration.image_resampling.order, separate=separate)
    if previous is not None:
        refined = resample_labels(reorientation.array(previous)[box], cropped, target, separate=separate)
        for channel, label in enumerate(labels, start=len(volumes)):
            image[channel] = refined == label
    nearest = _separate(configuration.logits_resampling.separate, target_spacing, cropped.spacing)
    return NnunetScan(image, target, nearest)


def nnunet_reorientation(geometry: Geometry, configuration: NnunetConfiguration) -> Reorientation:
    """Return the reorientation from a scan's array to nnU-Net's array.

    nnU-Net's readers keep the axes of the file, except one that turns x and y to the patient's right and front. Its
    plans may then permute the axes.
    """
    order, backward = (0, 1, 2), (False, False, False)
    if configuration.reorients:
        to_lps = reorientation_to_lps(geometry)
        order = to_lps.order  # type: ignore[assignment]
        backward = (to_lps.backward[0], not to_lps.backward[1], not to_lps.backward[2])
    first, second, third = configuration.transpose
    return Reorientation(
        (order[first], order[second], order[third]), (backward[first], backward[second], backward[third])
    )


def _nonzero(arrays: Sequence[npt.NDArray[np.generic]]) -> npt.NDArray[np.bool_]:
    """Return the voxels at which any channel isn't zero, with holes filled."""
    mask = arrays[0] != 0
    for array in arrays[1:]:
        mask = mask | (array != 0)
    if mask.all():
        return np.asarray(mask)
    filled: npt.NDArray[np.bool_] = ndimage.binary_fill_holes(mask)
    return filled


def _target_spacing(configuration: NnunetConfiguration, grid: Geometry) -> Spacing:
    """Return the spacing of the plan; a plan for slices keeps their distance."""
    first, second, third = (grid.spacing[0], *configuration.spacing)[-3:]
    return first, second, third


def _separate(forced: bool | None, source: Sequence[float], target: Sequence[float]) -> int | None:
    """Return the axis that is resampled separately, by nnU-Net's rule."""
    if forced is None:
        return separate_axis(source, target)
    return _coarsest(source) if forced else None


def _coarsest(spacing: Sequence[float]) -> int | None:
    """Return the axis of the largest spacing; None if several have it."""
    coarse = [axis for axis, length in enumerate(spacing) if length == max(spacing)]
    return coarse[0] if len(coarse) == 1 else None


def _normalise(values: Float32Array, normalisation: ChannelNormalisation, mask: npt.NDArray[np.bool_]) -> Float32Array:
    """Return the normalised channel (…)."""
    if normalisation.scheme == "CTNormalization" and normalisation.intensity is not None:
        intensity = normalisation.intensity
        clipped = np.clip(values, intensity.percentile_00_5, intensity.percentile_99_5)
        scaled: Float32Array = (clipped - np.float32(intensity.mean)) / np.float32(max(intensity.std, _LEAST_DEVIATION))
        return scaled
    if normalisation.scheme == "ZScoreNormalization":
        inside = values[mask] if normalisation.masked else values
        mean, deviation = inside.mean(dtype=np.float64), max(inside.std(dtype=np.float64), _LEAST_DEVIATION)
        normalised: Float32Array = ((values - np.float32(mean)) / np.float32(deviation)).astype(np.float32)
        if normalisation.masked:
            normalised[~mask] = values[~mask]
        return normalised
    if normalisation.scheme == "RescaleTo01Normalization":
        shifted: Float32Array = values - values.min()
        return shifted / np.float32(max(float(shifted.max()), _LEAST_DEVIATION))
    if normalisation.scheme == "RGBTo01Normalization":
        if values.min() < 0 or values.max() > _BRIGHTEST:
            raise BadInput(
                f"The model reads colour images with values from 0 to {_BRIGHTEST}, but this scan has values from "
                f"{values.min():g} to {values.max():g}; give another scan or model."
            )
        return values / np.float32(_BRIGHTEST)
    return values
