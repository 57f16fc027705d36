"""Triage: which cases to review first, by the predicted DSC, and how many of the failures that finds.

A case is ranked by the lowest predicted DSC of its structures; a structure that was not found counts as 0. A case
failed if one of its contours did, see :mod:`gynbtnet.evaluation.calibration.flag_accuracy`. If the first cases are
reviewed, precision is the share of them that failed. Recall is the share of all failures among them. A random order has
the share of failures as precision and the share of reviewed cases as recall.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from gynbtnet.datasets.cohort import Cohort
from gynbtnet.evaluation.calibration.flag_accuracy import FAILED_BELOW
from gynbtnet.evaluation.metrics.evaluation import Evaluation, prediction_folder
from gynbtnet.evaluation.metrics.metrics import NOT_SCORED, Score
from gynbtnet.inference.quality.predicted_dsc import PredictedDSC
from gynbtnet.runtime.json_files import read_json

REVIEW_SHARES = (0.1, 0.2, 0.3, 0.5)
"""Shares of cases that tables show, in addition to the one that the user chose."""


@dataclass(frozen=True)
class Triage:
    """Cases in the order in which they would be reviewed.

    Attributes:
        limit: DSC below which a contour failed.
        share: share of cases to review that the user chose.
        cases: one row per case, the first to review first: ``rank`` from 1, ``case``, ``patient``, ``structure`` with
            the lowest predicted DSC, ``predicted_dsc``, ``lowest_dsc`` of all its contours, ``failed``, ``reviewed``.
        shares: one row per share of cases: ``share``, ``reviewed`` cases, ``failed`` cases among them, ``precision``,
            ``recall``; ``random_precision`` and ``random_recall`` of a random order. NaN if undefined.
        n_uncalibrated: number of cases without a predicted DSC, which are left out.
    """

    limit: float
    share: float
    cases: pd.DataFrame
    shares: pd.DataFrame
    n_uncalibrated: int = 0


def triage(
    cohort: Cohort, evaluation: Evaluation, predictions: Path, share: float = 0.2, limit: float = FAILED_BELOW
) -> Triage | None:
    """Rank cases by their predicted DSC, and compare the ranks with their scores.

    Args:
        cohort: cases that were predicted.
        evaluation: scores of the predictions.
        predictions: folder of the predictions, with ``<case id>/prediction.json``.
        share: share of the cases to review, above 0 and at most 1.
        limit: DSC below which a contour failed.

    Returns:
        The ranks; None if no case has a predicted DSC, because the model isn't calibrated.

    Raises:
        BadInput: If a ``prediction.json`` is damaged.
    """
    by_case: dict[str, list[Score]] = {}
    for score in evaluation.scores:
        if score.missing_in not in NOT_SCORED:
            by_case.setdefault(score.case, []).append(score)
    rows = []
    for case in cohort.cases:
        lowest = _lowest(prediction_folder(case, predictions) / "prediction.json", cohort.structures)
        if lowest is None or case.id not in by_case:
            continue
        scores = by_case[case.id]
        rows.append(
            {
                "case": case.id,
                "patient": case.patient,
                "structure": lowest[1],
                "predicted_dsc": lowest[0],
                "lowest_dsc": min(0.0 if score.missing_in != "none" else score.dsc for score in scores),
                "failed": any(score.missing_in != "none" or score.dsc < limit for score in scores),
            }
        )
    if not rows:
        return None
    ranked = pd.DataFrame(rows).sort_values("predicted_dsc", kind="stable", ignore_index=True)
    ranked.insert(0, "rank", range(1, len(ranked) + 1))
    ranked["reviewed"] = ranked["rank"] <= n_reviewed(share, len(ranked))
    shares = pd.DataFrame([_at_share(ranked["failed"], each) for each in sorted({*REVIEW_SHARES, share})])
    return Triage(limit, share, ranked, shares, len(by_case) - len(ranked))


def n_reviewed(share: float, n_cases: int) -> int:
    """Return the number of cases that a share is, rounded up.

    Example:
        >>> n_reviewed(0.2, 10), n_reviewed(0.2, 11)
        (2, 3)
    """
    return math.ceil(round(share * n_cases, 9))


def triage_cells(result: Triage) -> tuple[list[str], list[list[str]]]:
    """Return heads and rows of the shares for people."""
    heads = ["cases reviewed", "failed among them", "precision", "recall", "at random: precision", "recall"]
    rows = [
        [
            f"{row['reviewed']} ({100 * row['share']:.0f} %)",
            str(row["failed"]),
            *(_percent(row[name]) for name in ("precision", "recall", "random_precision", "random_recall")),
        ]
        for row in result.shares.to_dict("records")
    ]
    return heads, rows


def triage_sentence(result: Triage) -> str:
    """Return the result at the chosen share in a sentence."""
    row = next(row for row in result.shares.to_dict("records") if row["share"] == result.share)
    failures = int(result.cases["failed"].sum())
    left_out = f" Cases without a predicted DSC are left out: {result.n_uncalibrated}." if result.n_uncalibrated else ""
    return (
        f"{failures} of {len(result.cases)} cases failed: a contour is missed, false, or has a DSC below "
        f"{result.limit:g}. If the {row['reviewed']} with the lowest predicted DSC were reviewed, {row['failed']} of "
        f"the failures would be found.{left_out}"
    )


@dataclass(frozen=True)
class _Manifest:
    """The part of a ``prediction.json`` that this module needs."""

    predicted_dsc: Mapping[str, PredictedDSC | None] | None = None
    missing: tuple[str, ...] = ()


def _lowest(manifest: Path, structures: Sequence[str]) -> tuple[float, str] | None:
    """Return the lowest predicted DSC of a case and its structure; None if no structure is calibrated."""
    if not manifest.is_file():
        return None
    record = read_json(_Manifest, manifest, "predict this scan again with `gynbtnet predict`")
    known = {name: quality.dsc for name, quality in (record.predicted_dsc or {}).items() if quality is not None}
    if not known:
        return None
    known |= dict.fromkeys(record.missing, 0.0)
    return min(((dsc, name) for name, dsc in known.items() if name in structures), default=None)


def _at_share(failed: "pd.Series[bool]", share: float) -> dict[str, float | int]:
    reviewed = n_reviewed(share, len(failed))
    hits, failures = int(failed[:reviewed].sum()), int(failed.sum())
    return {
        "share": share,
        "reviewed": reviewed,
        "failed": hits,
        "precision": hits / reviewed if reviewed else math.nan,
        "recall": hits / failures if failures else math.nan,
        "random_precision": failures / len(failed),
        "random_recall": reviewed / len(failed) if failures else math.nan,
    }


def _percent(value: float) -> str:
    return "–" if math.isnan(value) else f"{100 * value:.0f} %"
