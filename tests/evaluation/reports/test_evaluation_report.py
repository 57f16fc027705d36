"""Report pages of evaluations and comparisons, with their tables."""

import json
import shutil
from dataclasses import replace

import pandas as pd
import pytest
from typer.testing import CliRunner

from gynbtnet.cli import app
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
    assert sorted(path.name for path in out.iterdir()) == [
        *("evaluation.json", "scores.csv", "summary.csv", "summary.json", "summary.md")
    ]
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


@pytest.fixture
def unscored(scanned, tmp_path):
    """The cohort with contours of unknown structures alone: nothing can be scored."""
    folder = shutil.copytree(scanned.folder, tmp_path / "unscored")
    cases = (
        replace(
            case,
            images=tuple(folder / image.relative_to(scanned.folder) for image in case.images),
            labels=folder / case.labels.relative_to(scanned.folder),
            missing=scanned.structures,
        )
        for case in scanned.cases
    )
    unknown = replace(scanned, cases=tuple(cases), folder=folder)
    unknown.save()
    return unknown


@pytest.mark.parametrize("pages", [False, True], ids=["viewers in the page", "viewers as pages"])
def test_an_evaluation_in_which_nothing_can_be_scored(unscored, predicted, tmp_path, monkeypatch, pages):
    if pages:
        monkeypatch.setattr("gynbtnet.evaluation.reports.case_viewers.MOST_BYTES_INSIDE", 0)
    words = ["evaluate", str(predicted), str(unscored.folder), "--out", str(tmp_path / "out")]
    ended = CliRunner().invoke(app, words)
    assert ended.exit_code == 0, ended.exception
    text = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert f"Nothing could be scored in {len(unscored.cases)} cases of" in text
    assert "No case could be scored" in text and "Typical and worst slices" not in text
    assert f"All cases ({len(unscored.cases)})" in text
    assert all(case.id in text for case in unscored.cases)


def test_a_comparison_in_which_nothing_can_be_scored(unscored, predicted, tmp_path):
    models = {name: tmp_path / name / "evaluation" for name in ("good", "other")}
    for folder in models.values():
        evaluate(unscored, predicted, folder)
    out = tmp_path / "comparison"
    comparison = compare(unscored, models, out, predictions=dict.fromkeys(models, predicted), settings=FEW)
    assert "good –, other –" in report_comparison(comparison, out).read_text(encoding="utf-8")


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
