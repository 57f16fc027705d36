"""Dose-volume metrics of one case by the reference contours, by the predicted contours, and their difference."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from gynbtnet.datasets.case import Case
from gynbtnet.evaluation.dose.deliveries import ONCE, Delivery
from gynbtnet.evaluation.dose.dvh import DoseVolumeHistogram, dose_volume_histogram
from gynbtnet.evaluation.dose.metrics import (
    NO_CONTOUR,
    NO_DOSE,
    NOT_EVALUATED,
    dose_metric,
    dose_metric_names,
    is_bound,
)
from gynbtnet.evaluation.dose.plan_metrics import PlanMetric, plan_metrics
from gynbtnet.imaging.contours.subslices import Ends
from gynbtnet.imaging.structure_names import StructureNames
from gynbtnet.imaging.volume import Segmentation, Volume

MANUAL, AUTOMATIC = "manual", "automatic"
"""Reference and predicted contours in data files."""
CONTOUR_NAMES = {MANUAL: "reference", AUTOMATIC: "prediction", "": ""}
"""Words that people read for them."""
VOLUME_PERCENT = np.concatenate([np.arange(0, 5, 0.25), np.arange(5, 101)])
"""Volumes at which a histogram is written, in % of the structure."""
CURVE_COLUMNS = ("case", "structure", "contours", "volume_percent", "volume_cm3", "dose_gy")


@dataclass(frozen=True)
class DoseScore:
    """One metric of one structure in the dose of one case.

    Attributes:
        case: id of the case.
        patient: study ID of the patient.
        fraction: number of the fraction, 1 for the patient's first.
        structure: identifier of the structure.
        metric: ``D90``, ``D98`` or ``D50`` of a target; ``D2cc``, ``D1cc`` or ``D0.1cc`` of an organ.
        manual_gy: value by the cohort's contours, Gy; NaN with a note.
        automatic_gy: value by the predicted contours, Gy; NaN with a note, or if nothing was predicted.
        difference_gy: automatic minus manual, Gy; NaN if one of them is NaN or a lower bound.
        manual_note: restriction of the manual value, such as "volume only 1.2 cm³"; otherwise empty.
        automatic_note: restriction of the automatic value; otherwise empty.
        fractions: number of times that this dose was delivered.
        planned_fractions: number of fractions that the RTPLAN prescribes; 0 if it is unknown.
        interpolated_slices: number of slices of the cohort's contours that were interpolated, since the structure is
            drawn on every second to fourth slice.
    """

    case: str
    patient: str
    fraction: int
    structure: str
    metric: str
    manual_gy: float
    automatic_gy: float
    difference_gy: float
    manual_note: str = ""
    automatic_note: str = ""
    fractions: int = 1
    planned_fractions: int = 0
    interpolated_slices: int = 0

    @property
    def manual_is_bound(self) -> bool:
        """True if the manual value is a lower bound."""
        return is_bound(self.manual_note)

    @property
    def automatic_is_bound(self) -> bool:
        """True if the automatic value is a lower bound."""
        return is_bound(self.automatic_note)


@dataclass(frozen=True, eq=False)
class CaseDose:
    """Doses of one case.

    Attributes:
        scores: metrics with a total over a course.
        further: the other metrics.
        curves: histograms as a table with ``CURVE_COLUMNS``.
        problem: reason why the case could not be evaluated, a sentence; otherwise empty.
    """

    scores: Sequence[DoseScore]
    further: Sequence[PlanMetric]
    curves: pd.DataFrame
    problem: str = ""


def score_dose(
    case: Case,
    doses: Sequence[Volume],
    manual: Segmentation,
    automatic: Segmentation | None,
    names: StructureNames,
    delivery: Delivery = ONCE,
    ends: Ends = "none",
    prescription_gy: float | None = None,
) -> CaseDose:
    """Compute every dose-volume metric of every structure of ``manual``.

    Args:
        case: the case that the dose belongs to.
        doses: dose grids in Gy, which are summed; empty if the case has no dose.
        manual: the cohort's contours.
        automatic: predicted contours on the same grid; None if there are none.
        names: table that identifies targets.
        delivery: number of fractions, and the number by which the doses are divided.
        ends: convention for the end slices, see :mod:`gynbtnet.imaging.contours.subslices`.
        prescription_gy: prescribed dose of a fraction in Gy; None: it is unknown.

    Returns:
        The metrics and the histograms.
    """
    doses = [replace(dose, array=dose.array / np.float32(delivery.divisor)) for dose in doses]
    scores: list[DoseScore] = []
    further: list[PlanMetric] = []
    curves = []
    for structure in manual.structures:
        contours = {MANUAL: manual, AUTOMATIC: automatic}
        is_unknown = structure in case.missing
        histograms = {
            source: dose_volume_histogram(segmentation.mask(structure), segmentation.labels.geometry, doses, ends=ends)
            for source, segmentation in contours.items()
            if segmentation is not None and doses and not (source == MANUAL and is_unknown)
        }
        scores += [
            _with_delivery(
                _score(case, structure, metric, histograms, automatic is not None, bool(doses)),
                delivery,
                is_predicted=automatic is not None,
            )
            for metric in dose_metric_names(structure, names)
        ]
        if doses:
            further += plan_metrics(
                case,
                structure,
                histograms.get(MANUAL),
                histograms.get(AUTOMATIC),
                names,
                prescription_gy,
                predicted=automatic is not None,
            )
        curves += [_curve(case.id, structure, source, dose) for source, dose in histograms.items() if dose.inside_cm3]
    return CaseDose(scores, further, pd.concat(curves) if curves else pd.DataFrame(columns=CURVE_COLUMNS))


def case_without_scores(
    case: Case, structures: Sequence[str], names: StructureNames, problem: str, *, predicted: bool
) -> CaseDose:
    """Return a case that could not be evaluated, with a row without value per structure and metric.

    Args:
        case: the case.
        structures: structures of the cohort.
        names: table that identifies targets.
        problem: the reason, a sentence.
        predicted: whether there are predicted contours.
    """
    note = NOT_EVALUATED.note
    scores = [
        DoseScore(
            case=case.id,
            patient=case.patient,
            fraction=case.fraction,
            structure=structure,
            metric=metric,
            manual_gy=math.nan,
            automatic_gy=math.nan,
            difference_gy=math.nan,
            manual_note=note,
            automatic_note=note if predicted else "",
        )
        for structure in structures
        for metric in dose_metric_names(structure, names)
    ]
    return CaseDose(scores, (), pd.DataFrame(columns=CURVE_COLUMNS), problem)


def _score(
    case: Case,
    structure: str,
    metric: str,
    histograms: Mapping[str, DoseVolumeHistogram],
    is_predicted: bool,
    has_dose: bool,
) -> DoseScore:
    if not has_dose:
        manual = automatic = NO_DOSE
    else:
        manual, automatic = (
            dose_metric(metric, histograms[source]) if source in histograms else NO_CONTOUR
            for source in (MANUAL, AUTOMATIC)
        )
    bounded = is_bound(manual.note) or is_bound(automatic.note)
    return DoseScore(
        case=case.id,
        patient=case.patient,
        fraction=case.fraction,
        structure=structure,
        metric=metric,
        manual_gy=manual.dose_gy,
        automatic_gy=automatic.dose_gy,
        difference_gy=math.nan if bounded else automatic.dose_gy - manual.dose_gy,
        manual_note=manual.note,
        automatic_note=automatic.note if is_predicted else "",
        interpolated_slices=case.interpolated.get(structure, 0),
    )


def _with_delivery(score: DoseScore, delivery: Delivery, *, is_predicted: bool) -> DoseScore:
    """Return the score with its fractions, and with the doubt about them behind its own notes."""
    notes = ("; ".join(filter(None, (note, delivery.note))) for note in (score.manual_note, score.automatic_note))
    manual_note, automatic_note = notes
    return replace(
        score,
        fractions=delivery.fractions,
        planned_fractions=delivery.planned,
        manual_note=manual_note,
        automatic_note=automatic_note if is_predicted else "",
    )


def _curve(case: str, structure: str, source: str, dose: DoseVolumeHistogram) -> pd.DataFrame:
    volumes = dose.volume_cm3 * VOLUME_PERCENT / 100
    columns = (case, structure, source, VOLUME_PERCENT, volumes, dose.dose_at(volumes))
    return pd.DataFrame(dict(zip(CURVE_COLUMNS, columns, strict=True)))
