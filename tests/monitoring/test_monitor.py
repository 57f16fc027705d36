"""Reviews become charts, alarms and a page; a changed model begins again; nothing names a patient."""

import datetime
import json
import re
import shutil

import numpy as np
import pandas as pd
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, RTStructureSetStorage
from typer.testing import CliRunner

from gynbtnet.cli import app
from gynbtnet.monitoring import monitoring_page
from gynbtnet.monitoring.charts import chart_models, period_of
from gynbtnet.monitoring.reviewed_predictions import find_reviews
from gynbtnet.monitoring.scores import normal_scores
from gynbtnet.monitoring.settings import MonitorSettings
from gynbtnet.pictures import Picture
from gynbtnet.runtime import BadInput

from .conftest import lengths


def charts_of(folder, **settings):
    models = chart_models(find_reviews(folder).reviews, MonitorSettings(**settings))
    return [{(chart.structure, chart.quantity.name): chart for chart in model.charts} for model in models]


@pytest.fixture
def without_charts(monkeypatch):
    """Let pages have an empty picture for each chart, since drawing takes most of the time."""
    monkeypatch.setattr(monitoring_page, "chart_picture", lambda _, title, **__: Picture(b"", title))


def run(*arguments):
    return CliRunner().invoke(app, ["monitor", *map(str, arguments)])


def test_points_by_hand(write_reviews):
    """The baseline are the first 30 patients with one review each; the others are averaged by week."""
    values = lengths(45)
    (charts,) = charts_of(write_reviews(values))
    chart = charts["bladder", "added_path_length_mm"]
    assert chart.baseline.tolist() == values[:30]
    later = pd.DataFrame({"value": values[30:], "number": range(30, 45)})
    later["week"] = [int(7 / 3 * number // 7) for number in later["number"]]  # the first review was on a Monday
    assert chart.points["mean"].tolist() == pytest.approx(later.groupby("week")["value"].mean().tolist())
    scores = normal_scores(np.array(values[:30]), np.array(values[30:]))
    assert chart.points["score"].tolist() == pytest.approx(later.assign(s=scores).groupby("week")["s"].mean().tolist())
    assert not chart.points["alarm"].any()
    assert charts["bladder", "flags"].problem == "always 0"
    assert charts["", "body_hu_mean"].points["reviews"].sum() == 15


def test_fractions_of_a_patient_count_once(write_reviews, tmp_path):
    """20 patients of four fractions are the baseline, the others are in the week of their first."""
    values = np.array(lengths(90))
    (charts,) = charts_of(write_reviews(values.tolist(), fractions=4), baseline_patients=20)
    chart = charts["bladder", "added_path_length_mm"]
    means = values[:80].reshape(20, 4).mean(axis=1)
    assert chart.baseline.tolist() == pytest.approx(means.tolist())
    points = chart.points
    assert (points["patients"].tolist(), points["reviews"].tolist()) == ([1, 1, 1], [4, 4, 2])
    assert points["mean"].tolist() == pytest.approx([values[80:84].mean(), values[84:88].mean(), values[88:].mean()])
    scores = normal_scores(means, points["mean"].to_numpy()[:2])
    assert points["score"].tolist()[:2] == pytest.approx(scores.tolist())
    last, first = values[88:].mean(keepdims=True), values[:80].reshape(20, 4)[:, :2].mean(axis=1)
    assert points["score"][2] == pytest.approx(normal_scores(first, last)[0] / 2), "her course isn't over"
    write_reviews([50.0], first=103, fractions=4)
    (charts,) = charts_of(tmp_path / "results", baseline_patients=20)
    score = charts["bladder", "added_path_length_mm"].points["score"][2]
    assert score == pytest.approx(normal_scores(means, last)[0]), "no review in 28 days"


def test_reviews_of_few_patients_are_no_baseline(write_reviews):
    (charts,) = charts_of(write_reviews(lengths(120), fractions=5))
    assert charts["bladder", "volume_cm3"].problem == "too few patients for a baseline: 24 of 30"


def test_a_baseline_that_was_reviewed_in_a_day_has_the_same_limits(write_reviews):
    """Its pace doesn't predict that of the later reviews."""
    values = lengths(45)
    write_reviews(values[:30], folder="batch", days=0.01)
    (batch,) = charts_of(write_reviews(values[30:], first=30, folder="batch"))
    (spread,) = charts_of(write_reviews(values))
    limits = [charts["bladder", "volume_cm3"].points["limit"].tolist() for charts in (batch, spread)]
    assert limits[0] == limits[1]


@pytest.mark.parametrize("by", ["PatientID", "name", "neither"])
def test_the_patient_of_a_review(write_reviews, tmp_path, without_charts, by):
    """A node's results don't name the patient; the RTSTRUCT does, also that of the review, even if one is damaged."""
    folder = write_reviews(lengths(4), fractions=2)
    for number, result in enumerate(sorted(folder.iterdir())):
        if by != "name":
            result = result.rename(folder / f"abcd{number}-task")
        if by == "PatientID":
            contours = Dataset()
            contours.PatientID = f"HIDDEN {number // 2}"
            contours.SOPClassUID, contours.SOPInstanceUID = RTStructureSetStorage, "1.2"
            contours.file_meta = FileMetaDataset()
            contours.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
            contours.save_as(result / ("review/001/RS.dcm" if number == 1 else "RS.dcm"), enforce_file_format=True)
            (result / "SEG.dcm").write_bytes(b"damaged")
    result = run(folder, "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    unknown = by == "neither"
    page = (tmp_path / "out" / "monitoring.html").read_text()
    for text in (page, " ".join(result.output.split())):
        assert ("4 reviews of 4 patients" if unknown else "4 reviews of 2 patients") in text
        assert ("The patient of 4 reviews is unknown. Each" in text) == unknown
        assert "HIDDEN" not in text
    assert "HIDDEN" not in repr(find_reviews(folder))


def test_the_patient_of_an_image_file_is_in_its_name(write_reviews):
    folder = write_reviews(lengths(3), fractions=2)
    (folder / "patient-001_f1").rename(folder / "other")
    for path in folder.rglob("review.json"):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"series_uid": None}))
    assert [one.patient for one in find_reviews(folder).reviews] == ["patient-000", "patient-000", "other"]


def test_a_review_that_is_being_written_is_not_read(write_reviews):
    folder = write_reviews(lengths(3))
    review = folder / "patient-002_f1" / "review" / "001"
    review.rename(review.with_name(".partial-001"))
    shutil.copytree(folder / "patient-000_f1", folder / ".partial-patient-009_f1")
    (folder / ".partial-patient-009_f1" / "review" / "001" / "review.json").write_text("{")
    found = find_reviews(folder)
    assert (len(found.reviews), found.problems) == (2, ())


def test_a_baseline_has_the_first_patients_in_whom_the_quantity_is_known(write_reviews):
    write_reviews(lengths(10), hu=None)
    (charts,) = charts_of(write_reviews(lengths(35, seed=1), first=10))
    length, hu = charts["bladder", "added_path_length_mm"], charts["", "body_hu_mean"]
    assert (len(length.baseline), length.points["reviews"].sum(), length.unknown) == (30, 15, 0)
    assert (len(hu.baseline), hu.points["reviews"].sum(), hu.unknown) == (30, 5, 10)


def test_more_edits_are_an_alarm_with_exit_code_3(write_reviews, tmp_path, monkeypatch):
    folder = write_reviews(lengths(40) + lengths(30, 250, seed=1))
    result = run(folder, "--out", tmp_path / "out")
    assert result.exit_code == 3, result.output
    assert "Bladder: added path length (mm) is above the baseline (" in result.output
    assert "HU" not in result.output
    page = (tmp_path / "out" / "monitoring.html").read_text()
    assert "Synthetic data" in page and "beyond the limits" in page
    assert page.count("<img ") == 5, "a picture of each chart with points"
    table = pd.read_csv(tmp_path / "out" / "monitoring.csv")
    assert table[table["quantity"] == "added_path_length_mm"]["alarm"].astype(bool).any()
    for secret in ("SECRET", "patient-0", '1.2"'):
        assert secret not in page + result.output + (tmp_path / "out" / "monitoring.csv").read_text()
    monkeypatch.setattr(monitoring_page, "chart_picture", lambda _, title, **__: Picture(b"", title))
    later = run(folder, "--out", tmp_path / "out", "--since", "2030-01-01")
    assert later.exit_code == 0 and "Earlier alarms" in later.output


def test_another_scanner_is_found_by_its_hu(write_reviews, tmp_path, without_charts):
    write_reviews(lengths(40))
    folder = write_reviews(lengths(20, seed=2), first=40, hu=-8.0)
    result = run(folder, "--out", tmp_path / "out", "--by", "month")
    assert result.exit_code == 3
    assert "HU of the body, mean is above the baseline (" in result.output and "added path" not in result.output


def test_a_changed_model_has_its_own_baseline(write_reviews):
    write_reviews(lengths(40))
    old, new = charts_of(write_reviews(lengths(35, 300, seed=1), first=40, model="cd"))
    assert not old["bladder", "added_path_length_mm"].points["alarm"].any()
    chart = new["bladder", "added_path_length_mm"]
    assert len(chart.baseline) == 30 and chart.baseline.mean() > 200 and not chart.points["alarm"].any()


def test_too_few_patients_are_no_chart(write_reviews, tmp_path):
    folder = write_reviews(lengths(12))
    (charts,) = charts_of(folder)
    assert {chart.problem for chart in charts.values()} == {"too few patients for a baseline: 12 of 30"}
    result = run(folder, "--out", tmp_path / "out")
    assert result.exit_code == 0 and "12 reviews of 12 patients, 0 of 7 charts" in result.output
    assert "No chart yet, so no alarm is possible" in result.output
    assert "No chart yet: too few patients" in (tmp_path / "out" / "monitoring.html").read_text()


def test_what_old_predictions_lack_is_unknown(write_reviews):
    (charts,) = charts_of(write_reviews(lengths(40), hu=None))
    assert charts["", "body_hu_sd"].problem == "too few patients for a baseline: 0 of 30; unknown in 40 reviews"
    assert len(charts["bladder", "added_path_length_mm"].points)


def test_a_structure_that_was_adapted_to_its_patient_is_unknown(write_reviews):
    folder = write_reviews(lengths(40))
    path = folder / "patient-039_f1" / "prediction.json"
    adaptation = {"fractions": ["a", "b"], "steps": 3, "seconds": 9, "seed": 0, "structures": ["bladder"], "check": {}}
    path.write_text(json.dumps(json.loads(path.read_text()) | {"adaptation": adaptation}))
    (charts,) = charts_of(folder)
    for name in ("edited_share", "added_path_length_mm", "untouched", "flags", "volume_cm3"):
        assert charts["bladder", name].unknown == 1, "its contour isn't the model's"
    assert charts["", "body_hu_mean"].unknown == 0


def test_structures_that_nobody_has_finished_with_have_no_corrections(write_reviews):
    (charts,) = charts_of(write_reviews(lengths(40), status="edited"))
    assert charts["bladder", "edited_share"].unknown == 40
    assert charts["bladder", "volume_cm3"].unknown == 0


def test_the_last_review_of_a_prediction_counts(write_reviews):
    folder = write_reviews(lengths(3))
    first = folder / "patient-000_f1" / "review"
    shutil.copytree(first / "001", first / "002")
    record = json.loads((first / "002" / "review.json").read_text())
    record["time"] = "2026-06-01T09:00:00+00:00"
    record["structures"]["bladder"]["correction"]["added_path_length_mm"] = 7
    (first / "002" / "review.json").write_text(json.dumps(record))
    found = find_reviews(folder)
    assert (len(found.reviews), found.replaced) == (3, 1)
    assert found.reviews[-1].review.structures["bladder"].correction.added_path_length_mm == 7
    assert all(one.prediction for one in found.reviews)


def test_a_review_next_to_its_prediction_and_one_of_a_replaced_prediction(write_reviews):
    folder = write_reviews(lengths(2))
    one, other = sorted(folder.iterdir())
    (one / "review" / "001" / "review.json").rename(one / "review.json")
    manifest = json.loads((other / "prediction.json").read_text())
    manifest["model"]["sha256"] = "ef" * 32
    (other / "prediction.json").write_text(json.dumps(manifest))
    first, second = find_reviews(folder).reviews
    assert first.prediction is not None and second.prediction is None


def test_a_damaged_file_does_not_stop_the_others(write_reviews, tmp_path):
    folder = write_reviews(lengths(3))
    (folder / "patient-001_f1" / "review" / "001" / "review.json").write_text("{")
    found = find_reviews(folder)
    assert len(found.reviews) == 2 and len(found.problems) == 1
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadInput, match=r"contains no review\.json"):
        find_reviews(tmp_path / "empty")
    with pytest.raises(BadInput, match="There is no folder"):
        find_reviews(tmp_path / "absent")


def test_a_folder_in_which_every_review_is_damaged_is_refused(write_reviews, tmp_path):
    folder = write_reviews(lengths(2))
    for path in folder.rglob("review.json"):
        path.write_text("{")
    result = run(folder, "--out", tmp_path / "out")
    assert isinstance(result.exception, BadInput) and not (tmp_path / "out").exists()
    assert re.search(r"No review\.json of 2 in .* can be used, the first because: .* is damaged", str(result.exception))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"schema": 99}, "has schema 99, expected 1"),
        ({"time": "yesterday"}, "has the time yesterday, expected one such as"),
        ({"time": "0001-01-01T00:00:00"}, "has the time 0001-01-01T00:00:00, expected"),
        ({"time": "9999-12-31T23:59:59+00:00"}, "has the time 9999-12-31"),
    ],
)
def test_a_review_of_another_version_or_an_impossible_time_is_left_out(write_reviews, change, words):
    folder = write_reviews(lengths(3))
    path = folder / "patient-001_f1" / "review" / "001" / "review.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    found = find_reviews(folder)
    assert len(found.reviews) == 2 and len(found.problems) == 1 and words in found.problems[0]


def test_times_with_and_without_zone_are_sorted_and_the_future_is_reported(write_reviews, tmp_path):
    folder = write_reviews(lengths(3))
    for number, time in enumerate(("2026-03-02T08:00:00", "2026-03-01T23:00:00-11:00", "2199-01-01T00:00:00+13:00")):
        path = folder / f"patient-00{number}_f1" / "review" / "001" / "review.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"time": time}))
    found = find_reviews(folder)
    assert [one.review.time[:4] for one in found.reviews] == ["2026", "2026", "2199"] and found.in_future == 1
    result = run(folder, "--out", tmp_path / "out")
    assert result.exit_code == 0 and "1 review has a time in the future: check the clock" in result.output
    assert "1 review has a time in the future" in (tmp_path / "out" / "monitoring.html").read_text()


def test_a_baseline_of_dates(write_reviews, tmp_path, without_charts):
    folder = write_reviews(lengths(60))
    result = run(folder, "--out", tmp_path / "out", "--baseline", "2026-02-01..2026-03-31")
    assert result.exit_code in (0, 3), result.output  # any of the charts may raise a false alarm
    table = pd.read_csv(tmp_path / "out" / "monitoring.csv")
    times = [one.time.date() for one in find_reviews(folder).reviews]
    inside = [datetime.date(2026, 2, 1) <= time <= datetime.date(2026, 3, 31) for time in times]
    assert set(table["baseline_patients"]) == {sum(inside)} and sum(inside) > 20
    assert table["start"].dropna().min() >= "2026-03-30"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--baseline", "5"], "neither a number of patients from 20"),
        (["--baseline", "2026-01-01..x"], "is not DATE..DATE"),
        (["--baseline", "2026-02-01..2026-01-01"], "ends before it begins"),
        (["--self-test", "model"], "Give either REVIEWS"),
        (["--record"], "--record is for --self-test"),
    ],
)
def test_arguments_that_are_refused(write_reviews, tmp_path, arguments, words):
    result = run(write_reviews(lengths(2)), "--out", tmp_path / "out", *arguments)
    assert isinstance(result.exception, BadInput) and words in str(result.exception)
    assert not (tmp_path / "out").exists()


def test_periods():
    assert period_of(datetime.date(2027, 1, 3), "week") == ("2026-W53", datetime.date(2026, 12, 28))
    assert period_of(datetime.date(2027, 1, 3), "month") == ("2027-01", datetime.date(2027, 1, 1))
