"""Verdict on a limit by the interval over patients, and the number of patients that would decide.

The mean is over cases, and its t interval is over patients (:mod:`gynbtnet.evaluation.statistics.patient_jackknife`). A
limit is met, or failed, if the whole interval is on one side. Below five patients there is no interval, so that nothing
is decided: it would rest on a few patients and on their being normally distributed. Tables that only describe, such as
those of comparisons and of agreement, have intervals of fewer patients.

With the number of patients that would decide, the t interval excludes the limit with a probability of 80 %. Mean and
standard deviation s between patients are assumed to be those measured, and δ is the distance between mean and limit. It
is the smallest n with P(T(n−1, δ√n/s) > t(n−1, 1−α/2)) ≥ 0.8 (Julious 2004, doi 10.1002/sim.1783). T has the noncentral
t distribution.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from gynbtnet.commissioning.limits import Side
from gynbtnet.evaluation.statistics.non_inferiority import required_patients
from gynbtnet.evaluation.statistics.patient_bootstrap import FEWEST_PATIENTS
from gynbtnet.evaluation.statistics.patient_jackknife import patient_mean
from gynbtnet.runtime.phrases import counted

Verdict = Literal["meets", "fails", "can't decide", "no data"]

_MOST_PATIENTS = 1000
"""Largest number of patients that is stated; no clinic collects more, and the estimate isn't that exact."""


@dataclass(frozen=True)
class Judgement:
    """Result for one limit.

    Attributes:
        verdict: the verdict.
        cases: number of values.
        patients: number of patients.
        mean: mean over cases; None without values.
        low: lower end of the interval; None if there is none.
        high: upper end of the interval.
        patients_needed: number of patients that would decide; None if it is decided or can't be estimated.
        note: reason if there is no interval, or no number of patients; otherwise empty.
    """

    verdict: Verdict
    cases: int
    patients: int
    mean: float | None = None
    low: float | None = None
    high: float | None = None
    patients_needed: int | None = None
    note: str = ""


def judge(
    values: Sequence[float],
    patients: Sequence[str],
    *,
    limit: float,
    side: Side,
    confidence: float = 0.95,
    lowest: float | None = None,
    highest: float | None = None,
) -> Judgement:
    """Judge the mean of values against a limit.

    Args:
        values: one value per case or patient.
        patients: patient of each value.
        limit: the limit.
        side: acceptable side; "within" is from −limit to +limit.
        confidence: confidence of the interval.
        lowest: value that no mean is below, at which the interval is cut; None if there is no such value.
        highest: value that no mean is above.

    Returns:
        The verdict with its interval.

    Example:
        >>> judge([0.9, 0.92, 0.88, 0.91, 0.9], list("abcde"), limit=0.8, side="at least").verdict
        'meets'
    """
    cases, people = len(values), len(set(patients))
    if not cases:
        return Judgement("no data", 0, 0, note="nothing was measured")
    estimate = patient_mean(np.asarray(values, float)[:, None], patients)
    mean, error = float(estimate.value[0]), float(estimate.standard_error[0])
    sizes = (cases, people, mean)
    if people < FEWEST_PATIENTS:
        note = f"no interval below {FEWEST_PATIENTS} patients"
        return Judgement("can't decide", *sizes, patients_needed=FEWEST_PATIENTS, note=f"{note}; at least this number")
    if math.isnan(error):
        return Judgement("can't decide", *sizes, note="no interval, since all patients are equal")
    low, high = (float(end[0]) for end in estimate.interval(confidence))
    low, high = low if lowest is None else max(low, lowest), high if highest is None else min(high, highest)
    verdict = _verdict(low, high, limit, side)
    if verdict != "can't decide":
        return Judgement(verdict, *sizes, low, high)
    distance = limit - abs(mean) if side == "within" else mean - limit
    needed = required_patients(error * math.sqrt(people), abs(distance) or math.nan, alpha=(1 - confidence) / 2)
    if math.isnan(needed):
        return Judgement("can't decide", *sizes, low, high, note="the mean is too close to the limit for any number")
    more = max(int(needed), people + 1)
    if more > _MOST_PATIENTS:
        return Judgement(
            "can't decide", *sizes, low, high, note=f"the mean is so close that over {_MOST_PATIENTS} decide"
        )
    return Judgement("can't decide", *sizes, low, high, more, f"{counted(more - people, 'more patient')} would decide")


def _verdict(low: float, high: float, limit: float, side: Side) -> Verdict:
    if side == "at least":
        return "meets" if low >= limit else "fails" if high < limit else "can't decide"
    if side == "at most":
        return "meets" if high <= limit else "fails" if low > limit else "can't decide"
    if -limit <= low and high <= limit:
        return "meets"
    return "fails" if low > limit or high < -limit else "can't decide"
