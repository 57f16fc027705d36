"""Intensity statistics of voxels inside the structures, per channel."""

from collections.abc import Sequence
from dataclasses import astuple, dataclass

import numpy as np
import numpy.typing as npt

_HIGHEST = 1e9
"""Largest plausible magnitude: far above any CT or MR, and far below the range of 32-bit floats."""


@dataclass(frozen=True)
class Intensity:
    """Intensities inside the structures of a cohort, in HU for CT, with the 0.5th and the 99.5th percentile.

    The fields have nnU-Net's names.

    Attributes:
        mean: mean of the voxels.
        std: standard deviation of the voxels.
        percentile_00_5: 0.5th percentile; lower values are clipped to it.
        percentile_99_5: 99.5th percentile; higher values are clipped to it.
        median: median of the voxels.
        min: smallest value.
        max: largest value.

    Raises:
        ValueError: If a value is not finite or plausible, or the percentiles are in the wrong order.
    """

    mean: float
    std: float
    percentile_00_5: float
    percentile_99_5: float
    median: float
    min: float
    max: float

    def __post_init__(self) -> None:
        values = astuple(self)
        if not all(abs(value) <= _HIGHEST for value in values) or self.std < 0:
            raise ValueError(
                f"intensities are numbers up to {_HIGHEST:.0e} with a deviation of at least 0, not {values}"
            )
        if self.percentile_00_5 > self.percentile_99_5:
            raise ValueError(f"the percentile {self.percentile_00_5} is above the higher one, {self.percentile_99_5}")

    @classmethod
    def of(cls, samples: Sequence[npt.NDArray[np.float32]]) -> "Intensity":
        """Compute the statistics of the sampled voxels (n,) of all cases."""
        values = np.concatenate(samples)
        low, median, high = np.percentile(values, (0.5, 50, 99.5))
        return cls(
            mean=float(values.mean(dtype=np.float64)),
            std=float(values.std(dtype=np.float64)),
            percentile_00_5=float(low),
            percentile_99_5=float(high),
            median=float(median),
            min=float(values.min()),
            max=float(values.max()),
        )
