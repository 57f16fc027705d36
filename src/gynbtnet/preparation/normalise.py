"""What a scan's channel goes through before and after it is resampled, so that a network can read it."""

import numpy as np
import numpy.typing as npt

from gynbtnet.imaging.volume import AIR
from gynbtnet.preparation.planning.plan import CT, Plan
from gynbtnet.runtime.array_types import Float32Array

_LEAST_DEVIATION = 1e-8  # HU; a scan that is constant becomes zero, not NaN


def clip_to_plan(values: npt.NDArray[np.generic], plan: Plan, channel: int = 0) -> Float32Array:
    """Cut off what no tissue has, before splines spread it: metal would ring far into its surroundings.

    "ct" clips to the percentiles of the cohort's foreground (nnU-Net's CTNormalization). Any CT is cut off at air,
    since what scanners write outside their field of view can be far below and would shift mean and deviation.

    Args:
        values: (z, y, x) of one channel, HU for CT.
        plan: how its channels are normalised.
        channel: which of them.
    """
    floats = values.astype(np.float32)
    if plan.normalisations[channel] == "ct" and plan.intensities is not None:
        intensity = plan.intensities[channel]
        np.clip(floats, intensity.percentile_00_5, intensity.percentile_99_5, out=floats)
    elif plan.channels[channel].casefold() == CT:
        np.maximum(floats, AIR, out=floats)
    return floats


def normalise_channel(values: Float32Array, plan: Plan, channel: int = 0) -> Float32Array:
    """Centre and scale a channel that was clipped.

    "zscore" gives it mean 0 and variance 1 over all its voxels (the paper, stages 1 and 2); "ct" takes mean and
    deviation of the cohort's foreground (nnU-Net's CTNormalization).
    """
    return standardise(values, *zero_and_unit(values, plan, channel))


def zero_and_unit(values: Float32Array, plan: Plan, channel: int = 0) -> tuple[float, float]:
    """Return the value of a clipped channel (HU for CT) that becomes 0, and the width that becomes 1."""
    if plan.normalisations[channel] == "ct" and plan.intensities is not None:
        mean, deviation = plan.intensities[channel].mean, plan.intensities[channel].std
    else:
        mean, deviation = float(values.mean(dtype=np.float64)), float(values.std(dtype=np.float64))
    return mean, max(deviation, _LEAST_DEVIATION)


def standardise(values: Float32Array, zero: float, unit: float) -> Float32Array:
    """Let ``zero`` become 0 and ``zero + unit`` become 1."""
    return (values - np.float32(zero)) / np.float32(unit)
