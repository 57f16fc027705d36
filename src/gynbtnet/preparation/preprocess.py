"""Preprocessing of a scan for the network, the same code for training and prediction."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gynbtnet.imaging.geometry import Geometry
from gynbtnet.imaging.orientation import reorientation_to_lps
from gynbtnet.imaging.volume import Volume
from gynbtnet.preparation.normalise import clip_to_plan, standardise, zero_and_unit
from gynbtnet.preparation.planning.plan import Plan
from gynbtnet.preparation.planning.target_spacing import shape_at
from gynbtnet.preparation.spline_resampling import resample
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.phrases import counted


@dataclass(frozen=True)
class Preprocessed:
    """A preprocessed scan, the input of the network.

    Attributes:
        image: normalised scan (channels, z, y, x).
        geometry: grid of ``image``.
        units: size of one unit of ``image`` per channel, in the channel's own values (HU for CT).
    """

    image: npt.NDArray[np.float32]
    geometry: Geometry
    units: tuple[float, ...]


def preprocess_volume(volumes: Sequence[Volume], plan: Plan) -> tuple[npt.NDArray[np.float32], Geometry]:
    """Resample a scan to the plan's spacing with cubic splines, and normalise it channel by channel.

    Args:
        volumes: one volume (z, y, x) per channel of the plan, all on one grid; CT in HU.
        plan: channels, spacing and normalisation.

    Returns:
        The preprocessed scan (channels, z, y, x) and its grid. The grid may be reoriented relative to the scan's own
        grid; :func:`~gynbtnet.preparation.spline_resampling.resample` reorients results back.

    Raises:
        BadInput: If the number of volumes differs from the plan's channels, or the volumes are on different grids.
    """
    preprocessed = preprocess_with_units(volumes, plan)
    return preprocessed.image, preprocessed.geometry


def preprocess_with_units(volumes: Sequence[Volume], plan: Plan) -> Preprocessed:
    """Preprocess a scan as :func:`preprocess_volume` does, and also return the size of one unit of each channel."""
    check_channels(volumes, plan)
    source = volumes[0].geometry
    geometry, separate = target_geometry(source, plan), separate_resampling_axis(source, plan)
    image = np.empty((len(volumes), *geometry.shape), np.float32)
    units = []
    for channel, volume in enumerate(volumes):
        values = resample(clip_to_plan(volume.array, plan, channel), source, geometry, order=3, separate=separate)
        zero, unit = zero_and_unit(values, plan, channel)
        image[channel] = standardise(values, zero, unit)
        units.append(unit)
    return Preprocessed(image, geometry, tuple(units))


def check_channels(volumes: Sequence[Volume], plan: Plan) -> None:
    """Check that there is one volume per channel of the plan, all on one grid.

    Raises:
        BadInput: If the number of volumes differs from the plan's channels, or the volumes are on different grids.
    """
    if len(volumes) != len(plan.channels):
        raise BadInput(
            f"The plan has {counted(len(plan.channels), 'channel')} ({', '.join(plan.channels)}), but the number of "
            f"volumes is {len(volumes)}; give one scan per channel, in this order."
        )
    for name, volume in zip(plan.channels[1:], volumes[1:], strict=True):
        if not volumes[0].geometry.is_same(volume.geometry):
            raise BadInput(
                f"Channel {name} is on another grid than {plan.channels[0]}, "
                f"{volumes[0].geometry.difference(volume.geometry)}; register it and resample it to that grid first."
            )


def target_geometry(geometry: Geometry, plan: Plan) -> Geometry:
    """Return the grid with the plan's spacing that covers the same box.

    Its axes run to the patient's left, posterior and superior, so that all scans have the same orientation. Its shape
    is rounded as in nnU-Net. Its spacing may differ slightly from the plan's, so that the voxels fill the box.

    Args:
        geometry: grid of a scan, in any orientation.
        plan: plan with the spacing in mm.

    Returns:
        The grid of the prepared scan.
    """
    reoriented = reorientation_to_lps(geometry).geometry(geometry)
    shape = shape_at(plan.spacing, reoriented.shape, reoriented.spacing)
    return reoriented if shape == reoriented.shape else reoriented.with_shape(shape)


def separate_resampling_axis(geometry: Geometry, plan: Plan) -> int | None:
    """Return the axis of :func:`target_geometry` that is resampled separately (nearest slice), or None."""
    return plan.separate_axis(reorientation_to_lps(geometry).geometry(geometry).spacing)
