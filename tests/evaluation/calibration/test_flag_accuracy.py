"""Accuracy of failure flags, counted by hand."""

import json
import shutil
from dataclasses import replace

import pytest

from gynbtnet.evaluation.calibration.flag_accuracy import flag_accuracy, flag_table_cells
from gynbtnet.evaluation.metrics.evaluation import Evaluation, evaluate
from gynbtnet.runtime import BadInput


@pytest.fixture
def predictions(predicted, tmp_path):
    return shutil.copytree(predicted, tmp_path / "predictions")


def write_flags(folder, case, *flags):
    manifest = {"structures": ["bladder", "rectum"], "flags": list(flags), "model": "something else"}
    (folder / case / "prediction.json").write_text(json.dumps(manifest))


def flag(structure, sentence="Look."):
    return {"structure": structure, "kind": "volume", "sentence": sentence}


def test_the_four_cells(scanned, predictions, tmp_path):
    evaluation = evaluate(scanned, predictions, tmp_path / "out")
    # DSC of bladder: 1, 0.88, 0.75, 0.62; of rectum: 1, 0.75, 0.5, 0.25.
    write_flags(predictions, "p1_f1", flag("rectum"))
    write_flags(predictions, "p1_f2")
    write_flags(predictions, "p2_f1", flag("rectum"))
    write_flags(predictions, "p3_f1", flag("bladder", "It is small."), flag("bladder", "It has several components."))
    accuracy = flag_accuracy(scanned, evaluation, predictions)
    assert flag_table_cells(accuracy)[1] == [["flagged", "2", "1"], ["not flagged", "1", "4"]]
    assert (accuracy.sensitivity, accuracy.specificity, accuracy.precision) == pytest.approx((2 / 3, 4 / 5, 2 / 3))
    row = accuracy.contours[
        (accuracy.contours["case"] == "p3_f1") & (accuracy.contours["structure"] == "bladder")
    ].iloc[0]
    assert row["flags"] == "It is small. It has several components."


def test_missed_structures_failed_with_every_policy_and_unknown_ones_are_excluded(scanned, predictions, tmp_path):
    write_flags(predictions, "p1_f1")
    write_flags(predictions, "p1_f2")
    scores = list(evaluate(scanned, predictions, tmp_path / "out").scores)
    scores[0] = replace(scores[0], dsc=float("nan"), missing_in="prediction")
    scores[1] = replace(scores[1], dsc=float("nan"), missing_in="unknown")
    accuracy = flag_accuracy(scanned, Evaluation(tuple(scores)), predictions)
    assert list(accuracy.contours["failed"]) == [True, False, False]
    assert accuracy.n_cases_without_flags == 2
    assert accuracy.sensitivity == 0


def test_flag_of_the_scan_counts_for_each_structure(scanned, predictions, tmp_path):
    evaluation = evaluate(scanned, predictions, tmp_path / "out")
    write_flags(predictions, "p1_f1", {"kind": "scan", "sentence": "The scan is cut."})
    assert list(flag_accuracy(scanned, evaluation, predictions).contours["flagged"]) == [True, True]


def test_predictions_without_flags(scanned, predictions, tmp_path):
    evaluation = evaluate(scanned, predictions, tmp_path / "out")
    assert flag_accuracy(scanned, evaluation, predictions) is None
    (predictions / "p1_f1" / "prediction.json").write_text('{"structures": ["bladder", "rectum"]}')
    assert flag_accuracy(scanned, evaluation, predictions) is None
    (predictions / "p1_f1" / "prediction.json").write_text('{"flags": "many"}')
    with pytest.raises(BadInput, match="flags"):
        flag_accuracy(scanned, evaluation, predictions)
