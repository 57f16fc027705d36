"""The figures that a dose is judged by: D90, D98 and D50 of targets, D2cc, D1cc and D0.1cc of organs."""

import math
import re
from dataclasses import dataclass
from functools import partial
from typing import Literal

from gynbtnet.evaluation.dose.dvh import DoseVolumeHistogram
from gynbtnet.imaging.structure_names import StructureNames
from gynbtnet.imaging.targets import TARGET_TYPES

TARGET_METRICS = ("D90", "D98", "D50")
"""Least dose in the hottest 90, 98 and 50 % of the volume."""
ORGAN_METRICS = ("D2cc", "D1cc", "D0.1cc")
"""Least dose in the hottest 2, 1 and 0.1 cm³."""
HOLDS_THE_SOURCE = ("uterus",)
"""Of what the source stands in, the hottest part says nothing: there is a histogram and no figure."""

_NAME = re.compile(r"D(\d+(?:\.\d+)?)(cc)?")


@dataclass(frozen=True)
class DoseMetric:
    """A dose in Gy, NaN where there is none; and what has to be known of it, empty where nothing."""

    dose_gy: float
    note: str = ""


NO_CONTOUR = DoseMetric(math.nan, "no contour")
NO_DOSE = DoseMetric(math.nan, "no dose")


def is_target(structure: str, names: StructureNames) -> bool:
    """Whether a structure is a GTV, CTV or PTV."""
    return names.interpreted_type(structure) in TARGET_TYPES


def dose_metric_names(structure: str, names: StructureNames) -> tuple[str, ...]:
    """Which figures a structure is judged by; none where it holds the source."""
    if structure in HOLDS_THE_SOURCE:
        return ()
    return TARGET_METRICS if is_target(structure, names) else ORGAN_METRICS


def parse_metric_name(name: str) -> tuple[float, Literal["%", "cm³"]]:
    """The volume that a figure's name says: ``D90`` 90 %, ``D2cc`` 2 cm³.

    Raises:
        ValueError: where it says none.
    """
    found = _NAME.fullmatch(name)
    if found is None or float(found[1]) <= 0 or (not found[2] and float(found[1]) > 100):
        raise ValueError(f"“{name}” is no figure of a dose, such as D90 or D2cc")
    return float(found[1]), "cm³" if found[2] else "%"


def dose_metric(name: str, dose: DoseVolumeHistogram) -> DoseMetric:
    """One figure of a dose in a structure; none, with a note, where the structure or the dose grid is too small."""
    if not dose.volume_cm3:
        return NO_CONTOUR
    amount, unit = parse_metric_name(name)
    volume = amount if unit == "cm³" else dose.volume_cm3 * amount / 100
    none = partial(DoseMetric, math.nan)
    if volume > dose.volume_cm3 * (1 + 1e-6):
        return none(f"of only {dose.volume_cm3:.2g} cm³")
    found = float(dose.dose_at(volume))
    if not dose.outside_cm3:
        return DoseMetric(found)
    share = f"{100 * dose.outside_cm3 / dose.volume_cm3:.2g} % outside the dose grid"
    return none(share) if math.isnan(found) else DoseMetric(found, f"at least, {share}")
