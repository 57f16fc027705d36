"""Settings of control charts."""

from typing import Literal

from pydantic import Field

from gynbtnet.runtime.settings import Settings

Period = Literal["week", "month"]
PERIODS_PER_YEAR: dict[Period, int] = {"week": 52, "month": 12}
"""Periods in which the false-alarm rate is meant."""
FEWEST_REVIEWS = 20
"""Smallest number of reviews of a baseline."""


class MonitorSettings(Settings):
    """Settings of control charts."""

    by: Period = Field("week", description="Reviews that form one point of a chart: those of a week or of a month.")
    smoothing: float = Field(
        0.2, gt=0, le=1, description="λ: weight of the newest point; smaller values detect smaller changes later."
    )
    false_alarms: float = Field(
        0.05,
        gt=0,
        le=0.5,
        description="Probability that any chart of a model raises a false alarm in the first year after its baseline.",
    )
    baseline_reviews: int = Field(
        30,
        ge=FEWEST_REVIEWS,
        le=1000,
        description="Reviews of a chart's baseline: the first of its model in which its quantity is known.",
    )
