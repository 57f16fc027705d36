"""The dose of one case's structures: by the manual contours, by the automatic ones, and the difference."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from gynbtnet.datasets.case import Case
from gynbtnet.evaluation.dose.dvh import DoseVolumeHistogram, dose_volume_histogram
from gynbtnet.evaluation.dose.metrics import NO_CONTOUR, NO_DOSE, dose_metric, dose_metric_names
from gynbtnet.imaging.structure_names import StructureNames
from gynbtnet.imaging.volume import Segmentation, Volume

MANUAL, AUTOMATIC = "manual", "automatic"
PERCENT = np.concatenate([np.arange(0, 5, 0.25), np.arange(5, 101)])
"""Of the volume: where a histogram is written."""
CURVE_COLUMNS = ("case", "structure", "contours", "volume_percent", "volume_cm3", "dose_gy")


@dataclass(frozen=True)
class DoseScore:
    """One figure of one structure in the dose of one case.

    Attributes:
        case: id of the case.
        patient: whose case it is.
        fraction: of the patient, 1 for the first.
        structure: its id.
        figure: ``D90``, ``D98`` and ``D50`` of targets, ``D2cc``, ``D1cc`` and ``D0.1cc`` of organs.
        manual_gy: by the cohort's contours, Gy; NaN with a note.
        automatic_gy: by the predicted contours, Gy; NaN with a note, or where nothing was predicted.
        difference_gy: automatic minus manual, Gy; NaN where one of them is.
        manual_note: what has to be known of it, such as "of only 1.2 cm³"; empty where nothing.
        automatic_note: the same of the automatic one.
    """

    case: str
    patient: str
    fraction: int
    structure: str
    figure: str
    manual_gy: float
    automatic_gy: float
    difference_gy: float
    manual_note: str = ""
    automatic_note: str = ""


def score_dose(
    case: Case,
    doses: Sequence[Volume],
    manual: Segmentation,
    automatic: Segmentation | None,
    names: StructureNames,
) -> tuple[list[DoseScore], pd.DataFrame]:
    """Every figure of every structure of ``manual``, and the histograms as a table with ``CURVE_COLUMNS``.

    Args:
        case: whose dose it is.
        doses: grids in Gy that add up to it; none where the case has no dose.
        manual: the cohort's contours.
        automatic: predicted contours on the same grid; None where there are none.
        names: which structures are targets.
    """
    scores, curves = [], []
    for structure in manual.structures:
        contours = {MANUAL: manual, AUTOMATIC: automatic}
        undrawn = structure in case.missing
        found = {
            who: dose_volume_histogram(segmentation.mask(structure), segmentation.labels.geometry, doses)
            for who, segmentation in contours.items()
            if segmentation is not None and doses and not (who == MANUAL and undrawn)
        }
        scores += [
            _score(case, structure, name, found, automatic is not None, bool(doses))
            for name in dose_metric_names(structure, names)
        ]
        curves += [_curve(case.id, structure, who, dose) for who, dose in found.items() if dose.inside_cm3]
    return scores, pd.concat(curves) if curves else pd.DataFrame(columns=CURVE_COLUMNS)


def _score(
    case: Case, structure: str, name: str, found: Mapping[str, DoseVolumeHistogram], predicted: bool, has_dose: bool
) -> DoseScore:
    if not has_dose:
        manual = automatic = NO_DOSE
    else:
        manual, automatic = (
            dose_metric(name, found[who]) if who in found else NO_CONTOUR for who in (MANUAL, AUTOMATIC)
        )
    return DoseScore(
        case=case.id,
        patient=case.patient,
        fraction=case.fraction,
        structure=structure,
        figure=name,
        manual_gy=manual.dose_gy,
        automatic_gy=automatic.dose_gy,
        difference_gy=automatic.dose_gy - manual.dose_gy,
        manual_note=manual.note,
        automatic_note=automatic.note if predicted else "",
    )


def _curve(case: str, structure: str, who: str, dose: DoseVolumeHistogram) -> pd.DataFrame:
    volumes = dose.volume_cm3 * PERCENT / 100
    columns = (case, structure, who, PERCENT, volumes, dose.dose_at(volumes))
    return pd.DataFrame(dict(zip(CURVE_COLUMNS, columns, strict=True)))
