"""What voxels inside the structures are like, channel by channel."""

import math
from collections.abc import Sequence
from dataclasses import astuple, dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Intensity:
    """Intensities inside the structures of a cohort, HU for CT; the percentiles are the 0.5th and the 99.5th.

    The fields have nnU-Net's names.

    Raises:
        ValueError: If a value is not finite, or the deviation negative.
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
        if not all(map(math.isfinite, values)) or self.std < 0:
            raise ValueError(f"intensities are finite numbers with a deviation of at least 0, not {values}")

    @classmethod
    def of(cls, drawn: Sequence[npt.NDArray[np.float32]]) -> "Intensity":
        """Of voxels (n,) drawn from each case; a case counts by how many of its voxels there are."""
        values = np.concatenate(drawn)
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
