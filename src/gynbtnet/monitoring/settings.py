"""Settings of control charts."""

from typing import Literal

from pydantic import Field

from gynbtnet.runtime.settings import Settings

Period = Literal["week", "month"]
PERIODS_PER_YEAR: dict[Period, int] = {"week": 52, "month": 12}
"""Periods in which the false-alarm rate is meant."""
FEWEST_PATIENTS = 20
"""Smallest number of patients of a baseline."""
COURSE_GAP_DAYS = 28
"""Days without a review after which the course of a patient is over."""


class MonitorSettings(Settings):
    """Settings of control charts."""

    by: Period = Field(
        "week", description="Patients who form one point of a chart: those first reviewed in a week or in a month."
    )
    smoothing: float = Field(
        0.2, gt=0, le=1, description="λ: weight of the newest point; smaller values detect smaller changes later."
    )
    false_alarms: float = Field(
        0.05,
        gt=0,
        le=0.5,
        description="Probability that any chart of a model raises a false alarm in the first year after its baseline.",
    )
    baseline_patients: int = Field(
        30,
        ge=FEWEST_PATIENTS,
        le=1000,
        description="Patients of a chart's baseline: the first of its model in whom its quantity is known.",
    )
