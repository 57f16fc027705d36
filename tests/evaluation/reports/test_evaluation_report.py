"""Report pages of evaluations and comparisons, with their tables."""

import json
import shutil
from dataclasses import replace

import pandas as pd
import pytest

from gynbtnet.evaluation.cohorts.fraction_consistency import COLUMN_TITLES
from gynbtnet.evaluation.comparison.compare import compare
from gynbtnet.evaluation.comparison.report import report_comparison
from gynbtnet.evaluation.comparison.settings import ComparisonSettings
from gynbtnet.evaluation.metrics.evaluation import evaluate
from gynbtnet.evaluation.reports.evaluation_report import report_evaluation

FEW = ComparisonSettings(n_resamples=1000, metrics=("dsc",))


def test_files_of_an_evaluation(scanned, predicted, tmp_path):
    predictions, out = shutil.copytree(predicted, tmp_path / "predictions"), tmp_path / "out"
    evaluation = evaluate(scanned, predictions, out)
    page = report_evaluation(scanned, predictions, evaluation, out)
    text = page.read_text(encoding="utf-8")
    assert page == out / "report.html"
    assert text.count("Synthetic data. No patient was scanned") == 1
    assert "Flags and failures" not in text
    assert not (out / "flags.csv").exists()
    subgroups = pd.read_csv(out / "subgroups.csv")
    assert list(subgroups["by"].unique()) == ["applicator", "fraction", "bladder volume (cm³)", "artefacts"]
    assert list(pd.read_csv(out / "consistency.csv").columns) == list(COLUMN_TITLES)

    manifest = {
        "structures": ["bladder", "rectum"],
        "flags": [{"structure": "rectum", "kind": "x", "sentence": "Odd."}],
    }
    (predictions / "p3_f1" / "prediction.json").write_text(json.dumps(manifest))
    evaluation = evaluate(scanned, predictions, out)  # an earlier page and its tables may be replaced
    assert sorted(path.name for path in out.iterdir()) == ["scores.csv", "summary.csv", "summary.json", "summary.md"]
    report_evaluation(scanned, predictions, evaluation, out)
    flags = pd.read_csv(out / "flags.csv")
    assert list(flags["flagged"]) == [False, True]
    page = (out / "report.html").read_text("utf-8")
    assert "100 % of the flagged contours failed. Cases without a record of flags are left out: 3." in page


def test_real_scans_are_not_called_synthetic(scanned, predicted, tmp_path):
    cases = tuple(replace(case, source=replace(case.source, synthetic=False)) for case in scanned.cases)
    cohort = replace(scanned, cases=cases)
    page = report_evaluation(cohort, predicted, evaluate(cohort, predicted, tmp_path / "out"), tmp_path / "out")
    assert "ynthetic data" not in page.read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.parametrize("known", [("good",), ()])
def test_the_page_of_a_comparison(scanned, predicted, known, tmp_path):
    models = {}
    for name in ("good", "other"):
        folder = tmp_path / name / "evaluation"
        evaluate(scanned, predicted, folder)
        models[name] = folder
    out = tmp_path / "comparison"
    comparison = compare(scanned, models, out, predictions=dict.fromkeys(known, predicted), settings=FEW)
    page = report_comparison(comparison, out).read_text(encoding="utf-8")
    for words in ("Comparison: mini", "Models", "Effect sizes", "DSC of each model, by structure"):
        assert words in page, words
    assert ("Reference and prediction" in page) == bool(known)
    assert page.count('type="checkbox" data-line="') == 4 * (1 + len(known)) * bool(known)
    compare(scanned, models, out, settings=FEW)  # an earlier page is replaced
    assert not (out / "report.html").exists()
