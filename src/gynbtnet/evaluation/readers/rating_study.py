"""Ratings joined with scores: distribution, agreement of raters, and correlation with the DSC."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from gynbtnet.evaluation.metrics.metrics import Score
from gynbtnet.evaluation.readers.rating_sheet import HIGHEST, Rating
from gynbtnet.evaluation.statistics.patient_bootstrap import patient_bootstrap
from gynbtnet.evaluation.statistics.patient_jackknife import patient_mean
from gynbtnet.evaluation.statistics.weighted_kappa import mean_weighted_kappa
from gynbtnet.runtime.atomic_files import atomic_write

RATINGS_FILE = "ratings.csv"
SUMMARY_FILE = "rating_summary.csv"
JOINED = ("missing_in", "dsc", "surface_dsc", "added_path_length_mm", "added_path_length_share")
"""Columns of the scores that each rating is joined with."""
Statistic = Callable[[npt.NDArray[np.intp]], float]
_RESAMPLES = 1000
_SEED = 0


@dataclass(frozen=True)
class RatingStudy:
    """Ratings of predicted contours.

    Attributes:
        ratings: one row per rating: ``case``, ``patient``, ``structure``, ``rater``, ``score``, and the columns
            ``JOINED`` of the contour's scores.
        summary: one row per structure, see :func:`study_ratings`.
    """

    ratings: pd.DataFrame
    summary: pd.DataFrame

    def save(self, folder: Path) -> None:
        """Write ``ratings.csv`` and ``rating_summary.csv`` to a folder."""
        for name, table in ((RATINGS_FILE, self.ratings), (SUMMARY_FILE, self.summary)):
            with atomic_write(folder / name) as partial:
                table.to_csv(partial, index=False)


def study_ratings(ratings: Sequence[Rating], scores: Sequence[Score]) -> RatingStudy:
    """Join ratings with the scores of the same contours, and summarise them.

    Args:
        ratings: ratings of contours that have scores.
        scores: scores of all cases.

    Returns:
        The ratings and a summary with one row per structure that was rated and these columns:

        - ``contours``, ``patients``, ``raters`` and ``ratings``: their numbers; ``unrated``: contours without a rating.
        - ``mean`` over contours, of the mean over raters, with its 95 % interval over patients, ``low`` and ``high``,
          clipped to the scale.
        - ``median`` of all ratings, and ``score_1`` to ``score_5``: number of ratings with this score.
        - ``shared``: contours with at least two ratings. ``same``: share of equal pairs among all pairs of ratings of
          one contour. ``kappa``: mean quadratic-weighted kappa of the pairs of raters, with ``kappa_low`` and
          ``kappa_high``.
        - ``scored``: rated contours that have a DSC. ``spearman``: rank correlation of their mean rating with the DSC,
          with ``spearman_low`` and ``spearman_high``.

        Intervals of kappa and correlation resample patients; they and all other values are NaN if undefined.
    """
    by_contour = {(score.case, score.structure): score for score in scores}
    rows = []
    for rating in ratings:
        score = by_contour[rating.case, rating.structure]
        rows.append(
            {
                "case": rating.case,
                "patient": score.patient,
                "structure": rating.structure,
                "rater": rating.rater,
                "score": rating.score,
                **{column: getattr(score, column) for column in JOINED},
            }
        )
    table = pd.DataFrame(rows)
    order = list(dict.fromkeys(score.structure for score in scores))
    contours = {name: sum(score.structure == name for score in scores) for name in order}
    summary = [
        {"structure": structure, **_summary(table[table["structure"] == structure], contours[structure])}
        for structure in order
        if (table["structure"] == structure).any()
    ]
    return RatingStudy(table, pd.DataFrame(summary))


def _summary(ratings: pd.DataFrame, contours: int) -> dict[str, object]:
    by_rater = ratings.pivot(index="case", columns="rater", values="score")
    cases = ratings.drop_duplicates("case").set_index("case").loc[by_rater.index]
    patients = cases["patient"].to_numpy(str)
    values, dsc = by_rater.to_numpy(float), cases["dsc"].to_numpy(float)
    means = np.nanmean(values, axis=1)
    estimate = patient_mean(means[:, None], patients.tolist())
    low, high = estimate.interval()
    shared = (~np.isnan(values)).sum(axis=1) > 1
    scored = ~np.isnan(dsc)
    kappa_low, kappa_high = _interval(patients, lambda index: mean_weighted_kappa(values[index], HIGHEST))
    rank_low, rank_high = _interval(patients[scored], lambda index: _spearman(means[scored][index], dsc[scored][index]))
    return {
        "contours": len(cases),
        "unrated": contours - len(cases),
        "patients": len(set(patients)),
        "raters": by_rater.shape[1],
        "ratings": len(ratings),
        "mean": float(estimate.value[0]),
        "low": float(low.clip(1, HIGHEST)[0]),
        "high": float(high.clip(1, HIGHEST)[0]),
        "median": float(ratings["score"].median()),
        **{f"score_{value}": int((ratings["score"] == value).sum()) for value in range(1, HIGHEST + 1)},
        "shared": int(shared.sum()),
        "same": _share_of_equal_pairs(values),
        "kappa": mean_weighted_kappa(values, HIGHEST),
        "kappa_low": kappa_low,
        "kappa_high": kappa_high,
        "scored": int(scored.sum()),
        "spearman": _spearman(means[scored], dsc[scored]),
        "spearman_low": rank_low,
        "spearman_high": rank_high,
    }


def _share_of_equal_pairs(values: npt.NDArray[np.float64]) -> float:
    """Return the share of equal pairs among all pairs of ratings of one contour, (n contours, k raters)."""
    equal = total = 0
    for one in range(values.shape[1]):
        for other in range(one):
            both = ~np.isnan(values[:, [one, other]]).any(axis=1)
            equal += int((values[both, one] == values[both, other]).sum())
            total += int(both.sum())
    return equal / total if total else float("nan")


def _spearman(first: npt.NDArray[np.float64], second: npt.NDArray[np.float64]) -> float:
    """Return Spearman's rank correlation; NaN for fewer than three values, or if one side is constant."""
    if len(first) < 3 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return float("nan")
    return float(np.corrcoef(stats.rankdata(first), stats.rankdata(second))[0, 1])


def _interval(patients: npt.NDArray[np.str_], statistic: Statistic) -> tuple[float, float]:
    """Return the interval over patients; undefined if fewer than nine tenths of the resamples define the statistic."""
    if not len(patients):
        return float("nan"), float("nan")
    return patient_bootstrap(patients, statistic, n_resamples=_RESAMPLES, min_defined=9 * _RESAMPLES // 10, seed=_SEED)
