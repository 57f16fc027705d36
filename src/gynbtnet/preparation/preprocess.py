"""One scan as the network reads it: the same code before training and before prediction."""

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
from gynbtnet.preparation.resample import resample
from gynbtnet.runtime.errors import BadInput


@dataclass(frozen=True)
class Preprocessed:
    """A scan as the network reads it.

    Attributes:
        image: (channels, z, y, x).
        geometry: the grid of ``image``.
        units: for each channel, how much one unit of ``image`` is in the channel's own values: HU for CT.
    """

    image: npt.NDArray[np.float32]
    geometry: Geometry
    units: tuple[float, ...]


def preprocess_volume(volumes: Sequence[Volume], plan: Plan) -> tuple[npt.NDArray[np.float32], Geometry]:
    """Resample a scan to the plan's spacing with cubic splines, and normalise it channel by channel.

    Args:
        volumes: one a channel of the plan, on one grid; CT in HU.
        plan: channels, spacing and normalisation.

    Returns:
        The scan (channels, z, y, x), and the grid that it now lies on, which may be turned against the scan's own:
        bring results back with :func:`~gynbtnet.preparation.resample.resample`, which turns them too.

    Raises:
        BadInput: where there isn't one volume a channel, or they lie on different grids.
    """
    done = preprocess_with_units(volumes, plan)
    return done.image, done.geometry


def preprocess_with_units(volumes: Sequence[Volume], plan: Plan) -> Preprocessed:
    """Do what :func:`preprocess_volume` does, and say what a unit of each channel is."""
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
    """BadInput where volumes aren't what the plan's channels ask for."""
    if len(volumes) != len(plan.channels):
        raise BadInput(
            f"The plan reads {len(plan.channels)} channels, {', '.join(plan.channels)}, and {len(volumes)} were given; "
            "give one scan for each of them, in this order."
        )
    for name, volume in zip(plan.channels[1:], volumes[1:], strict=True):
        if not volumes[0].geometry.is_same(volume.geometry):
            raise BadInput(
                f"Channel {name} lies on another grid than {plan.channels[0]}, "
                f"{volumes[0].geometry.difference(volume.geometry)}; register and resample it onto that first."
            )


def target_geometry(geometry: Geometry, plan: Plan) -> Geometry:
    """The grid at the plan's spacing that covers the same box.

    Its axes run to the patient's left, posterior and superior, so that scans of any origin are seen one way round. Its
    shape is rounded as nnU-Net rounds it; spacing may differ a little from the plan's so that it fills the box.
    """
    turned = reorientation_to_lps(geometry).geometry(geometry)
    shape = shape_at(plan.spacing, turned.shape, turned.spacing)
    return turned if shape == turned.shape else turned.with_shape(shape)


def separate_resampling_axis(geometry: Geometry, plan: Plan) -> int | None:
    """The axis of :func:`target_geometry` along which a scan is resampled apart, None where there is none."""
    return plan.separate_axis(reorientation_to_lps(geometry).geometry(geometry).spacing)
