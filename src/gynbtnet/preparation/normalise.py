"""HU to what a network reads."""

import numpy as np
import numpy.typing as npt

from gynbtnet.preparation.plan import Plan

_LEAST_DEVIATION = 1e-8  # HU; a scan that is constant becomes zero, not NaN


def normalise(hu: npt.NDArray[np.float32], plan: Plan) -> npt.NDArray[np.float32]:
    """Scale a scan as the plan says.

    "zscore" gives each scan mean 0 and variance 1 over all its voxels (the paper, stages 1 and 2). "ct" clips to the
    percentiles of the cohort's foreground and scales by its mean and deviation (nnU-Net's CTNormalization).
    """
    if plan.normalisation == "ct" and plan.intensity is not None:
        mean, deviation = plan.intensity.mean, plan.intensity.std
        hu = np.clip(hu, plan.intensity.percentile_00_5, plan.intensity.percentile_99_5)
    else:
        mean, deviation = float(hu.mean(dtype=np.float64)), float(hu.std(dtype=np.float64))
    return ((hu - np.float32(mean)) / np.float32(max(deviation, _LEAST_DEVIATION))).astype(np.float32, copy=False)
