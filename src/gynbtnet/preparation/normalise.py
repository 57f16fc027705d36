"""Clipping and normalisation of one channel, before and after it is resampled."""

import numpy as np
import numpy.typing as npt

from gynbtnet.imaging.volume import AIR
from gynbtnet.preparation.planning.plan import CT, Plan
from gynbtnet.runtime.array_types import Float32Array

_LEAST_DEVIATION = 1e-8  # HU; a constant scan becomes zero, not NaN


def clip_to_plan(values: npt.NDArray[np.generic], plan: Plan, channel: int = 0) -> Float32Array:
    """Clip values that no tissue has, before spline interpolation: metal would cause ringing far around it.

    "ct" clips to the percentiles of the cohort's foreground (nnU-Net's CTNormalization). Any other CT is clipped at
    air: values outside a scanner's field of view can be far lower and would shift mean and standard deviation.

    Args:
        values: one channel (z, y, x), HU for CT.
        plan: plan with the normalisation of each channel.
        channel: index of the channel in the plan.

    Returns:
        The clipped channel (z, y, x) as float32, a new array.
    """
    floats = values.astype(np.float32)
    if plan.normalisations[channel] == "ct" and plan.intensities is not None:
        intensity = plan.intensities[channel]
        np.clip(floats, intensity.percentile_00_5, intensity.percentile_99_5, out=floats)
    elif plan.channels[channel].casefold() == CT:
        np.maximum(floats, AIR, out=floats)
    return floats


def normalise_channel(values: Float32Array, plan: Plan, channel: int = 0) -> Float32Array:
    """Subtract the mean from a clipped channel and divide it by the standard deviation.

    "zscore" uses mean and standard deviation of all its voxels (the paper, stages 1 and 2). "ct" uses those of the
    cohort's foreground (nnU-Net's CTNormalization).

    Args:
        values: clipped channel (z, y, x), HU for CT.
        plan: plan with the normalisation of each channel.
        channel: index of the channel in the plan.

    Returns:
        The normalised channel (z, y, x).
    """
    return standardise(values, *zero_and_unit(values, plan, channel))


def zero_and_unit(values: Float32Array, plan: Plan, channel: int = 0) -> tuple[float, float]:
    """Return the value of a clipped channel that becomes 0 and the difference that becomes 1, in HU for CT."""
    if plan.normalisations[channel] == "ct" and plan.intensities is not None:
        mean, deviation = plan.intensities[channel].mean, plan.intensities[channel].std
    else:
        mean, deviation = float(values.mean(dtype=np.float64)), float(values.std(dtype=np.float64))
    return mean, max(deviation, _LEAST_DEVIATION)


def standardise(values: Float32Array, zero: float, unit: float) -> Float32Array:
    """Return ``values`` scaled so that ``zero`` becomes 0 and ``zero + unit`` becomes 1."""
    return (values - np.float32(zero)) / np.float32(unit)
