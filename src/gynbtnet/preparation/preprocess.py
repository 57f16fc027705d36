"""One scan as the network reads it: the same code before training and before prediction."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from gynbtnet.imaging.geometry import Geometry
from gynbtnet.imaging.volume import AIR, Volume
from gynbtnet.preparation.anisotropy import separate_axis
from gynbtnet.preparation.normalise import normalise
from gynbtnet.preparation.plan import Plan
from gynbtnet.preparation.resample import resample
from gynbtnet.preparation.turn import turn_to_patient


def preprocess_volume(volumes: Sequence[Volume], plan: Plan) -> tuple[npt.NDArray[np.float32], Geometry]:
    """Resample a CT to the plan's spacing with cubic splines, and normalise it.

    Args:
        volumes: a CT in HU.
        plan: spacing and normalisation.

    Returns:
        The scan (1, z, y, x), and the grid that it now lies on, which may be turned against the scan's own: bring
        results back with :func:`~gynbtnet.preparation.resample.resample`, which turns them too.
    """
    (volume,) = volumes
    geometry = planned_geometry(volume.geometry, plan)
    # What scanners write outside their field of view can be far below, and would shift mean and deviation.
    hu = np.maximum(volume.array, AIR, dtype=np.float32)
    separate = planned_separate_axis(volume.geometry, plan)
    return normalise(resample(hu, volume.geometry, geometry, 3, separate=separate), plan)[np.newaxis], geometry


def planned_geometry(geometry: Geometry, plan: Plan) -> Geometry:
    """The grid at the plan's spacing that covers the same box.

    Its axes run to the patient's left, posterior and superior, so that scans of any origin are seen one way round.
    Spacing may differ a little from the plan's so that it fills the box, or so that the scan's own grid can be kept.
    """
    turned = turn_to_patient(geometry).geometry(geometry)
    planned = turned.with_spacing(plan.spacing)
    return turned if planned.is_same(turned) else planned


def planned_separate_axis(geometry: Geometry, plan: Plan) -> int | None:
    """The axis of :func:`planned_geometry` along which a scan is resampled apart, None where there is none."""
    return separate_axis(turn_to_patient(geometry).geometry(geometry).spacing, plan.spacing)
