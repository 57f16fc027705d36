"""Pairs of doses, automatic and manual, for a Bland–Altman analysis."""

import math
from collections.abc import Sequence

import pandas as pd

from gynbtnet.evaluation.dose.score import DoseScore
from gynbtnet.evaluation.reports.bland_altman import COLUMNS


def dose_pairs(scores: Sequence[DoseScore], figure: str = "D2cc") -> pd.DataFrame:
    """A dose in Gy in automatic and manual contours, a row a case and structure, where both are known.

    The column ``model`` holds the figure's name.
    """
    rows = [
        (one.structure, figure, one.patient, one.case, one.automatic_gy, one.manual_gy)
        for one in scores
        if one.figure == figure and not math.isnan(one.difference_gy)
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype({"automatic": float, "manual": float})
