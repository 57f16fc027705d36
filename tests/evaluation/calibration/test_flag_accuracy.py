"""Flags beside failures, counted by hand."""

import json
import shutil
from dataclasses import replace

import pytest

from gynbtnet.evaluation.calibration.flag_accuracy import flag_accuracy, flag_table_cells
from gynbtnet.evaluation.metrics.evaluate import Evaluation, evaluate
from gynbtnet.runtime.errors import BadInput


@pytest.fixture
def predictions(predicted, tmp_path):
    return shutil.copytree(predicted, tmp_path / "predictions")


def say(folder, case, *flags):
    manifest = {"structures": ["bladder", "rectum"], "flags": list(flags), "model": "something else"}
    (folder / case / "prediction.json").write_text(json.dumps(manifest))


def flag(structure, sentence="Look."):
    return {"structure": structure, "kind": "volume", "sentence": sentence}


def test_the_four_cells(scanned, predictions, tmp_path):
    evaluation = evaluate(scanned, predictions, tmp_path / "out")
    # DSC of bladder: 1, 0.88, 0.75, 0.62; of rectum: 1, 0.75, 0.5, 0.25.
    say(predictions, "p1_f1", flag("rectum"))
    say(predictions, "p1_f2")
    say(predictions, "p2_f1", flag("rectum"))
    say(predictions, "p3_f1", flag("bladder", "It is small."), flag("bladder", "It is in pieces."))
    found = flag_accuracy(scanned, evaluation, predictions)
    assert flag_table_cells(found)[1] == [["flagged", "2", "1"], ["not flagged", "1", "4"]]
    assert (found.sensitivity, found.specificity, found.precision) == pytest.approx((2 / 3, 4 / 5, 2 / 3))
    row = found.contours[(found.contours["case"] == "p3_f1") & (found.contours["structure"] == "bladder")].iloc[0]
    assert row["flags"] == "It is small. It is in pieces."


def test_missed_is_failed_whatever_the_policy_and_unknown_is_neither(scanned, predictions, tmp_path):
    say(predictions, "p1_f1")
    say(predictions, "p1_f2")
    scores = list(evaluate(scanned, predictions, tmp_path / "out").scores)
    scores[0] = replace(scores[0], dsc=float("nan"), missing_in="prediction")
    scores[1] = replace(scores[1], dsc=float("nan"), missing_in="unknown")
    found = flag_accuracy(scanned, Evaluation(tuple(scores)), predictions)
    assert list(found.contours["failed"]) == [True, False, False]
    assert found.n_cases_without_flags == 2
    assert found.sensitivity == 0


def test_a_flag_of_the_whole_scan_is_one_of_each_structure(scanned, predictions, tmp_path):
    evaluation = evaluate(scanned, predictions, tmp_path / "out")
    say(predictions, "p1_f1", {"kind": "scan", "sentence": "The scan is cut."})
    assert list(flag_accuracy(scanned, evaluation, predictions).contours["flagged"]) == [True, True]


def test_predictions_without_flags(scanned, predictions, tmp_path):
    evaluation = evaluate(scanned, predictions, tmp_path / "out")
    assert flag_accuracy(scanned, evaluation, predictions) is None
    (predictions / "p1_f1" / "prediction.json").write_text('{"structures": ["bladder", "rectum"]}')
    assert flag_accuracy(scanned, evaluation, predictions) is None
    (predictions / "p1_f1" / "prediction.json").write_text('{"flags": "many"}')
    with pytest.raises(BadInput, match="flags"):
        flag_accuracy(scanned, evaluation, predictions)
