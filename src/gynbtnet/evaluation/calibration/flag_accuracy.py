"""Whether a model's own flags tell which of its contours failed.

A contour failed where its DSC is below a limit, or where it is missed or false, whatever the policy scores that with. A
contour is flagged where its ``prediction.json`` holds a flag for its structure, or one for the whole scan.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from gynbtnet.datasets.cohort import Cohort
from gynbtnet.evaluation.metrics.evaluate import Evaluation, find_prediction
from gynbtnet.runtime.json_files import read_json

FAILED_BELOW = 0.7
"""DSC. Four oncologists agreed on HR-CTV on CT to about 0.73 (doi 10.5114/jcb.2023.131242)."""


@dataclass(frozen=True)
class RecordedFlag:
    """A flag as ``prediction.json`` has it; one without a structure is of the whole scan."""

    kind: str
    sentence: str
    structure: str | None = None


@dataclass(frozen=True)
class FlagAccuracy:
    """Flags beside DSC.

    Attributes:
        limit: DSC below which a contour failed.
        contours: a row a contour, in the order of the scores: ``case``, ``structure``, ``dsc``, ``missed``,
            ``failed``, ``flagged``, and ``flags``, their sentences.
        without: cases whose prediction says nothing of flags; they have no rows.
    """

    limit: float
    contours: pd.DataFrame
    without: int = 0

    def count(self, *, flagged: bool, failed: bool) -> int:
        """Contours in one of the four cells."""
        table = self.contours
        return int(((table["flagged"] == flagged) & (table["failed"] == failed)).sum())

    @property
    def sensitivity(self) -> float:
        """The share of failures that were flagged; NaN where nothing failed."""
        return _share(self.count(flagged=True, failed=True), self.count(flagged=False, failed=True))

    @property
    def specificity(self) -> float:
        """The share of good contours that were not flagged; NaN where all failed."""
        return _share(self.count(flagged=False, failed=False), self.count(flagged=True, failed=False))

    @property
    def precision(self) -> float:
        """The share of flagged contours that failed; NaN where nothing was flagged."""
        return _share(self.count(flagged=True, failed=True), self.count(flagged=True, failed=False))


def flag_accuracy(
    cohort: Cohort, evaluation: Evaluation, predictions: Path, limit: float = FAILED_BELOW
) -> FlagAccuracy | None:
    """Read the flags of every prediction beside its scores; None where no prediction says anything of flags.

    Contours that nobody can judge (absent in both, or unknown) are left out.

    Raises:
        BadInput: where a ``prediction.json`` is damaged.
    """
    said = {case.id: _flags(find_prediction(case, predictions).parent / "prediction.json") for case in cohort.cases}
    told = {case_id: flags for case_id, flags in said.items() if flags is not None}
    if not told:
        return None
    rows = []
    for score in evaluation.scores:
        if score.missed in ("both", "unknown") or score.case not in told:
            continue
        flags = [flag for flag in told[score.case] if flag.structure in (score.structure, None, "")]
        rows.append(
            {
                "case": score.case,
                "structure": score.structure,
                "dsc": score.dsc,
                "missed": score.missed,
                "failed": score.missed != "none" or score.dsc < limit,
                "flagged": bool(flags),
                "flags": " ".join(flag.sentence for flag in flags),
            }
        )
    columns = ["case", "structure", "dsc", "missed", "failed", "flagged", "flags"]
    return FlagAccuracy(limit, pd.DataFrame(rows, columns=columns), without=len(said) - len(told))


@dataclass(frozen=True)
class _Prediction:
    """What is read of a ``prediction.json``."""

    flags: tuple[RecordedFlag, ...] | None = None


def _flags(manifest: Path) -> tuple[RecordedFlag, ...] | None:
    if not manifest.is_file():
        return None
    return read_json(_Prediction, manifest, "predict this scan again with `gynbtnet predict`").flags


def _share(some: int, others: int) -> float:
    return some / (some + others) if some + others else float("nan")


def printed_cells(table: FlagAccuracy) -> tuple[list[str], list[list[str]]]:
    """The 2×2 table as people read it: heads and rows."""
    heads = ["contours", f"failed (DSC < {table.limit:g}, missed or false)", f"DSC ≥ {table.limit:g}"]
    sides: Mapping[str, bool] = {"flagged": True, "not flagged": False}
    rows = [
        [side, *(str(table.count(flagged=flagged, failed=failed)) for failed in (True, False))]
        for side, flagged in sides.items()
    ]
    return heads, rows
