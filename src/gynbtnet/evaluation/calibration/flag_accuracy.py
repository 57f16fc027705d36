"""Accuracy of the failure flags: sensitivity and specificity for contours that failed.

A contour failed if its DSC is below a limit, or if it is missed or false, independent of the policy for missing
structures. A contour is flagged if its ``prediction.json`` has a flag for its structure or for the whole scan.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from gynbtnet.datasets.cohort import Cohort
from gynbtnet.evaluation.metrics.evaluation import Evaluation, prediction_folder
from gynbtnet.evaluation.metrics.metrics import NOT_SCORED
from gynbtnet.runtime.json_files import read_json

FAILED_BELOW = 0.7
"""DSC below which a contour failed. Four oncologists agreed on the HR-CTV on CT with a DSC of about 0.73
(doi 10.5114/jcb.2023.131242)."""


@dataclass(frozen=True)
class RecordedFlag:
    """Flag in a ``prediction.json``; a flag without a structure concerns the whole scan."""

    kind: str
    sentence: str
    structure: str | None = None


@dataclass(frozen=True)
class FlagAccuracy:
    """Flags and failures of contours.

    Attributes:
        limit: DSC below which a contour failed.
        contours: one row per contour, in the order of the scores: ``case``, ``structure``, ``dsc``, ``missing_in``,
            ``failed``, ``flagged``, and ``flags``, their sentences.
        n_cases_without_flags: number of cases whose prediction has no record of flags; they have no rows.
    """

    limit: float
    contours: pd.DataFrame
    n_cases_without_flags: int = 0

    def count(self, *, flagged: bool, failed: bool) -> int:
        """Return the number of contours in one of the four cells."""
        table = self.contours
        return int(((table["flagged"] == flagged) & (table["failed"] == failed)).sum())

    @property
    def sensitivity(self) -> float:
        """Share of failed contours that were flagged; NaN if none failed."""
        return _share(self.count(flagged=True, failed=True), self.count(flagged=False, failed=True))

    @property
    def specificity(self) -> float:
        """Share of good contours that were not flagged; NaN if all failed."""
        return _share(self.count(flagged=False, failed=False), self.count(flagged=True, failed=False))

    @property
    def precision(self) -> float:
        """Share of flagged contours that failed; NaN if none was flagged."""
        return _share(self.count(flagged=True, failed=True), self.count(flagged=True, failed=False))


def flag_accuracy(
    cohort: Cohort, evaluation: Evaluation, predictions: Path, limit: float = FAILED_BELOW
) -> FlagAccuracy | None:
    """Compare the flags of every prediction with its scores.

    Contours that cannot be judged (absent in both, or unknown) are excluded.

    Args:
        cohort: cases that were predicted.
        evaluation: scores of the predictions.
        predictions: folder of the predictions.
        limit: DSC below which a contour failed.

    Returns:
        Flags and failures; None if no prediction has a record of flags.

    Raises:
        BadInput: If a ``prediction.json`` is damaged.
    """
    records = {case.id: _read_flags(prediction_folder(case, predictions) / "prediction.json") for case in cohort.cases}
    flags_by_case = {case_id: flags for case_id, flags in records.items() if flags is not None}
    if not flags_by_case:
        return None
    rows = []
    for score in evaluation.scores:
        if score.missing_in in NOT_SCORED or score.case not in flags_by_case:
            continue
        flags = [flag for flag in flags_by_case[score.case] if flag.structure in (score.structure, None, "")]
        rows.append(
            {
                "case": score.case,
                "structure": score.structure,
                "dsc": score.dsc,
                "missing_in": score.missing_in,
                "failed": score.missing_in != "none" or score.dsc < limit,
                "flagged": bool(flags),
                "flags": " ".join(flag.sentence for flag in flags),
            }
        )
    columns = ["case", "structure", "dsc", "missing_in", "failed", "flagged", "flags"]
    return FlagAccuracy(
        limit, pd.DataFrame(rows, columns=columns), n_cases_without_flags=len(records) - len(flags_by_case)
    )


@dataclass(frozen=True)
class _Manifest:
    """The part of a ``prediction.json`` that this module needs."""

    flags: tuple[RecordedFlag, ...] | None = None


def _read_flags(manifest: Path) -> tuple[RecordedFlag, ...] | None:
    if not manifest.is_file():
        return None
    return read_json(_Manifest, manifest, "predict this scan again with `gynbtnet predict`").flags


def _share(n: int, n_others: int) -> float:
    return n / (n + n_others) if n + n_others else float("nan")


def flag_table_cells(table: FlagAccuracy) -> tuple[list[str], list[list[str]]]:
    """Return heads and rows of the 2×2 table for people."""
    heads = ["contours", f"failed (DSC < {table.limit:g}, missed or false)", f"DSC ≥ {table.limit:g}"]
    sides: Mapping[str, bool] = {"flagged": True, "not flagged": False}
    rows = [
        [side, *(str(table.count(flagged=flagged, failed=failed)) for failed in (True, False))]
        for side, flagged in sides.items()
    ]
    return heads, rows
