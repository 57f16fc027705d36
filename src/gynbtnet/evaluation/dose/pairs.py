"""Pairs of automatic and manual doses for a Bland–Altman analysis."""

import math
from collections.abc import Sequence

import pandas as pd

from gynbtnet.evaluation.dose.score import DoseScore
from gynbtnet.evaluation.reports.bland_altman import COLUMNS


def dose_pairs(scores: Sequence[DoseScore], metric: str = "D2cc") -> pd.DataFrame:
    """Return the doses in Gy by automatic and manual contours, one row per case and structure with both.

    Args:
        scores: scores of all cases.
        metric: name of the dose-volume metric, such as "D2cc".

    Returns:
        A table with the columns of :mod:`gynbtnet.evaluation.reports.bland_altman`; ``model`` contains the metric's
        name.
    """
    rows = [
        (score.structure, metric, score.patient, score.case, score.automatic_gy, score.manual_gy)
        for score in scores
        if score.metric == metric and not math.isnan(score.difference_gy)
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype({"automatic": float, "manual": float})
