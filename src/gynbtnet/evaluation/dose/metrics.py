"""Dose-volume metrics: D90, D98 and D50 of targets; D2cc, D1cc and D0.1cc of organs."""

import math
import re
from dataclasses import dataclass
from functools import partial
from typing import Literal

from gynbtnet.evaluation.dose.dvh import DoseVolumeHistogram
from gynbtnet.imaging.structure_names import StructureNames
from gynbtnet.imaging.targets import TARGET_TYPES

TARGET_METRICS = ("D90", "D98", "D50")
"""Minimum dose to the hottest 90, 98 and 50 % of the volume."""
ORGAN_METRICS = ("D2cc", "D1cc", "D0.1cc")
"""Minimum dose to the hottest 2, 1 and 0.1 cm³."""
STRUCTURES_WITH_SOURCE = ("uterus",)
"""Structures that contain the source. The dose to their hottest part has no meaning: they have a DVH and no metrics."""

_NAME = re.compile(r"D(\d+(?:\.\d+)?)(cc)?")


@dataclass(frozen=True)
class DoseMetric:
    """Value of a dose-volume metric.

    Attributes:
        dose_gy: dose in Gy; NaN if undefined.
        note: restriction of the value or reason why it is undefined; otherwise empty.
    """

    dose_gy: float
    note: str = ""


LOWER_BOUND = "lower bound"
"""Beginning of the note of a value that may be higher."""


def is_bound(note: str) -> bool:
    """Return whether a value with this note is a lower bound."""
    return note.startswith(LOWER_BOUND)


NO_CONTOUR = DoseMetric(math.nan, "no contour")
NO_DOSE = DoseMetric(math.nan, "no dose")
NOT_EVALUATED = DoseMetric(math.nan, "not evaluated, see dose.json")
"""A case whose contours, dose or plan can't be used."""


def is_target(structure: str, names: StructureNames) -> bool:
    """Return whether a structure is a GTV, CTV or PTV."""
    return names.interpreted_type(structure) in TARGET_TYPES


def dose_metric_names(structure: str, names: StructureNames) -> tuple[str, ...]:
    """Return the metrics reported for a structure; none if it contains the source."""
    if structure in STRUCTURES_WITH_SOURCE:
        return ()
    return TARGET_METRICS if is_target(structure, names) else ORGAN_METRICS


def parse_metric_name(name: str) -> tuple[float, Literal["%", "cm³"]]:
    """Return the volume that a metric's name gives, and its unit: ``D90`` 90 %, ``D2cc`` 2 cm³.

    Raises:
        ValueError: If the name is not that of a dose-volume metric.
    """
    match = _NAME.fullmatch(name)
    if match is None or float(match[1]) <= 0 or (not match[2] and float(match[1]) > 100):
        raise ValueError(f"“{name}” is not a dose-volume metric; expected a name such as D90 or D2cc")
    return float(match[1]), "cm³" if match[2] else "%"


def outside_note(dose: DoseVolumeHistogram) -> str:
    """Return the share of a structure of which the dose is not known, as a note."""
    percent = 100 * dose.outside_cm3 / dose.volume_cm3
    return f"{percent:{'.0f' if percent >= 10 else '.2g'}} % outside the dose grid"


def dose_metric(name: str, dose: DoseVolumeHistogram) -> DoseMetric:
    """Compute a dose-volume metric.

    Args:
        name: name of the metric, such as "D90" or "D2cc".
        dose: dose in the structure.

    Returns:
        The dose. It is NaN, with a note, if the structure or the dose grid is too small.

    Raises:
        ValueError: If the name is not that of a dose-volume metric.
    """
    if not dose.volume_cm3:
        return NO_CONTOUR
    amount, unit = parse_metric_name(name)
    volume_cm3 = amount if unit == "cm³" else dose.volume_cm3 * amount / 100
    undefined = partial(DoseMetric, math.nan)
    if volume_cm3 > dose.volume_cm3 * (1 + 1e-6):
        return undefined(f"volume only {dose.volume_cm3:.2g} cm³")
    dose_gy = float(dose.dose_at(volume_cm3))
    if not dose.outside_cm3:
        return DoseMetric(dose_gy)
    outside = outside_note(dose)
    if math.isnan(dose_gy):
        return undefined(outside)
    is_exact = dose_gy >= dose.face_gy  # the dose falls outwards, so that nothing outside the grid is hotter
    return DoseMetric(dose_gy) if is_exact else DoseMetric(dose_gy, f"{LOWER_BOUND}, {outside}")
