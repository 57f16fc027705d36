"""Ranks by predicted DSC, precision and recall against counts by hand."""

import json
import math
import shutil
from pathlib import Path

import pandas as pd
import pytest

from gynbtnet.datasets import Cohort
from gynbtnet.evaluation.calibration.triage import n_reviewed, triage, triage_cells, triage_sentence
from gynbtnet.evaluation.metrics.evaluation import evaluate
from gynbtnet.evaluation.reports.evaluation_report import report_evaluation

# The lowest DSC of the four cases is 1, 0.75, 0.5 and 0.25 (the rectum, four voxels wide).
PREDICTED = {"p1_f1": (0.9, 0.8), "p1_f2": (0.9, 0.5), "p2_f1": (0.9, 0.7), "p3_f1": (0.6, None)}


def write_manifests(folder: Path, predicted: dict[str, tuple[float | None, float | None]]) -> None:
    for case, values in predicted.items():
        qualities = {
            name: None if dsc is None else {"structure": name, "dsc": dsc, "low": dsc - 0.1, "high": dsc + 0.1}
            for name, dsc in zip(("bladder", "rectum"), values, strict=True)
        }
        record = {
            "structures": ["bladder", "rectum"],
            "predicted_dsc": qualities,
            "missing": [name for name, quality in qualities.items() if quality is None and case == "p3_f1"],
            "flags": [],
        }
        (folder / case / "prediction.json").write_text(json.dumps(record))


@pytest.fixture
def predictions(predicted: Path, tmp_path: Path) -> Path:
    folder = shutil.copytree(predicted, tmp_path / "predictions")
    write_manifests(folder, PREDICTED)
    return folder


def test_ranks_precision_and_recall(scanned: Cohort, predictions: Path, tmp_path: Path) -> None:
    evaluation = evaluate(scanned, predictions, tmp_path / "out")
    result = triage(scanned, evaluation, predictions, share=0.5)
    assert result is not None
    # Failed (below 0.7): p2_f1 and p3_f1. Order: p3_f1 (rectum not found), p1_f2, p2_f1, p1_f1.
    assert list(result.cases["case"]) == ["p3_f1", "p1_f2", "p2_f1", "p1_f1"]
    assert list(result.cases["predicted_dsc"]) == [0.0, 0.5, 0.7, 0.8]
    assert list(result.cases["lowest_dsc"]) == pytest.approx([0.25, 0.75, 0.5, 1.0])
    assert list(result.cases["failed"]) == [True, False, True, False]
    assert list(result.cases["reviewed"]) == [True, True, False, False]
    by_share = result.shares.set_index("share")
    assert dict(by_share["reviewed"]) == {0.1: 1, 0.2: 1, 0.3: 2, 0.5: 2}
    assert list(by_share.loc[0.1, ["precision", "recall", "random_precision", "random_recall"]]) == [1, 0.5, 0.5, 0.25]
    assert list(by_share.loc[0.5, ["precision", "recall", "random_precision", "random_recall"]]) == [0.5] * 4
    assert triage_cells(result)[1][0] == ["1 (10 %)", "1", "100 %", "50 %", "50 %", "25 %"]
    assert "2 of 4 cases failed" in triage_sentence(result)
    assert "If the 2 with the lowest predicted DSC were reviewed, 1 of" in triage_sentence(result)


def test_the_report_of_a_calibrated_model_has_the_ranks(scanned: Cohort, predictions: Path, tmp_path: Path) -> None:
    evaluation = evaluate(scanned, predictions, tmp_path / "out")
    page = report_evaluation(scanned, predictions, evaluation, tmp_path / "out", review_share=0.25)
    assert "Cases to review first" in page.read_text()
    assert "1 (25 %)" in page.read_text()
    assert list(pd.read_csv(tmp_path / "out" / "triage.csv")["case"]) == ["p3_f1", "p1_f2", "p2_f1", "p1_f1"]


def test_a_model_without_calibration_has_none(scanned: Cohort, predictions: Path, tmp_path: Path) -> None:
    evaluation = evaluate(scanned, predictions, tmp_path / "out")
    write_manifests(predictions, dict.fromkeys(PREDICTED, (None, None)))
    assert triage(scanned, evaluation, predictions) is None
    write_manifests(predictions, dict.fromkeys(PREDICTED, (None, None)) | {"p1_f1": (0.9, 0.9)})
    result = triage(scanned, evaluation, predictions)
    assert result is not None and result.n_uncalibrated == 3
    assert "left out: 3" in triage_sentence(result)
    assert math.isnan(result.shares["recall"].iloc[0])  # nothing failed
    assert triage_cells(result)[1][0][3] == "–"


@pytest.mark.parametrize(("share", "cases", "expected"), [(0.1, 30, 3), (0.3, 10, 3), (0.2, 7, 2), (1.0, 9, 9)])
def test_a_share_is_rounded_up(share: float, cases: int, expected: int) -> None:
    assert n_reviewed(share, cases) == expected
