"""Selection of cases and slices by their scores, so that nothing is picked by hand."""

import shutil
from dataclasses import replace
from math import nan

import numpy as np
import pytest

from gynbtnet.evaluation.metrics.evaluation import evaluate
from gynbtnet.evaluation.metrics.metrics import Score
from gynbtnet.evaluation.reports import case_viewers
from gynbtnet.evaluation.reports.case_selection import best_median_worst, mean_dsc
from gynbtnet.evaluation.reports.compared_case import _square, read_compared_case
from gynbtnet.evaluation.reports.example_cases import example_cases, other_viewers
from gynbtnet.imaging import StructureNames, Volume, read_volume, write_volume

NAMES = StructureNames.load()


def scored(*dsc: float) -> list[Score]:
    metrics = (1.0, 1.0, 1.0, 1.0, 0.0, 1.0)
    return [Score(f"c{i}", "p", "bladder", value, 1.0, 1.0, "none", *metrics) for i, value in enumerate(dsc)]


def test_cases_are_chosen_by_mean_dsc():
    assert best_median_worst(scored(0.5, 0.9, 0.1, 0.7, 0.6)) == (("best", "c1"), ("median", "c4"), ("worst", "c2"))
    assert best_median_worst(scored(0.5, 0.9)) == (("best", "c1"), ("worst", "c0"))
    assert best_median_worst(scored(0.5)) == (("best", "c0"),)


def test_a_missed_structure_pulls_its_case_down():
    missed = Score("c1", "p", "rectum", 0.0, 99.0, 99.0, "prediction", 1.0, 0.0, 0.0, 99.0, -1.0, 99.0)
    absent = Score("c0", "p", "rectum", nan, nan, nan, "both", 0.0, 0.0, nan, nan, nan, nan)
    assert best_median_worst([*scored(0.5, 0.9), missed, absent]) == (("best", "c0"), ("worst", "c1"))


def test_a_missed_structure_counts_as_0_even_if_it_is_not_scored():
    dropped = Score("c1", "p", "rectum", nan, nan, nan, "prediction", 1.0, 0.0, nan, nan, nan, nan)
    assert mean_dsc([[*scored(0.5, 0.9), dropped]]) == {"c0": 0.5, "c1": 0.45}


def test_the_mean_is_over_models_and_may_be_of_one_structure():
    worse = [replace(score, dsc=score.dsc / 2) for score in scored(0.4, 0.8)]
    rectum = replace(scored(0.1)[0], structure="rectum")
    assert mean_dsc([scored(0.4, 0.8), worse]) == pytest.approx({"c0": 0.3, "c1": 0.6})
    assert mean_dsc([[*scored(0.4), rectum], worse], "rectum") == {"c0": 0.1}


@pytest.fixture(scope="module")
def with_missed(predicted, tmp_path_factory):
    """The same predictions, but the last case has no rectum."""
    folder = shutil.copytree(predicted, tmp_path_factory.mktemp("missed") / "predictions")
    path = folder / "p3_f1" / "labels.nii.gz"
    labels = read_volume(path)
    write_volume(Volume(np.where(labels.array == 2, 0, labels.array), labels.geometry), path)
    return folder


def test_titles_captions_and_notes(scanned, predicted, with_missed, tmp_path):
    predictions = {"good": predicted, "worse": with_missed}
    evaluations = {name: evaluate(scanned, folder, tmp_path / name) for name, folder in predictions.items()}
    examples = example_cases(scanned, evaluations, predictions, NAMES)
    assert [case.title.split(",")[0] for case in examples.viewed] == ["Best case", "Median case", "Worst case"]
    assert examples.viewed[2].title.endswith("p3_f1")
    assert [stack.plane for stack in examples.viewed[0].stacks] == ["axial", "coronal", "sagittal"]
    assert "worse: Bladder 0.62, Rectum missed" in examples.viewed[2].caption
    assert [panel.title for panel in examples.cases[2].panels] == ["CT", "reference", "good", "worse"]
    assert [panel.note for panel in examples.cases[2].panels] == ["", "", "", "Rectum missed"]
    bladder, rectum = examples.structures
    assert (bladder.title, rectum.title) == ("Bladder", "Rectum")
    assert "Rectum, reference and worse" in rectum.panels[-1].description
    assert [panel.title for panel in bladder.panels][:2] == [
        "median case, typical slice, good, DSC 0.75: p2_f1",
        "median case, typical slice, worse, DSC 0.75: p2_f1",
    ]
    last = "worst case, worst slice, worse, DSC 0.00: p3_f1"
    assert (rectum.panels[-1].note, rectum.panels[-1].title) == ("missed", last)
    assert len(rectum.panels) == 2 * 2  # models; a typical slice of the median case, the worst slice of the last
    assert [row.title.split(", ")[2] for row in examples.cases] == ["typical slice"] * 3 + ["worst slice"]
    assert rectum.panels[-1].stack.outlines["worse"]["rectum"] == ("",)
    assert rectum.panels[-1].stack.outlines["reference"]["rectum"] != ("",)


def test_the_slice_with_the_most_wrong_voxels(scanned, with_missed):
    case = read_compared_case(scanned, "p3_f1", {"model": with_missed})
    # Bladder, slices 4 to 7: shifted by 3 of 8 columns, 5 rows: 2 × 15 wrong. Rectum, slices 2 to 9: 12 missed voxels.
    wrong = (case.segmentations["reference"].labels.array != case.segmentations["model"].labels.array).sum(axis=(1, 2))
    assert wrong.tolist() == [0, 0, 12, 12, 42, 42, 42, 42, 12, 12, 0, 0]
    assert case.worst_slice().positions_mm == (10 + 4 * 4,)
    assert case.worst_slice("rectum").positions_mm == (10 + 4 * 2,)


def test_a_typical_slice_is_as_good_as_its_case(scanned, with_missed):
    """The rectum is in slices 2 to 9 and the bladder in 4 to 7: a slice with both is taken, not an end."""
    case = read_compared_case(scanned, "p3_f1", {"model": with_missed})
    both = case.typical_slice()
    assert 10 + 4 * 4 <= both.positions_mm[0] <= 10 + 4 * 7
    assert all(both.outlines["reference"][name] != ("",) for name in ("bladder", "rectum"))
    assert case.typical_slice("rectum").positions_mm == (10 + 4 * 2,)  # missed, so that all slices are as bad


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ((slice(20, 24), slice(30, 32)), (slice(15, 29), slice(24, 38))),  # 8 and 4 mm: 28 mm, in the middle
        ((slice(0, 4), slice(48, 50)), (slice(0, 14), slice(36, 50))),  # moved into the picture
        ((slice(0, 40), slice(0, 50)), (slice(0, 40), slice(0, 50))),  # no larger than it
    ],
)
def test_a_slice_shows_its_contours_in_the_middle(box, expected):
    assert _square(box, (40, 50), (2.0, 2.0), 10) == expected


def test_all_other_cases_can_be_opened(scanned, predicted, tmp_path, monkeypatch):
    evaluation = evaluate(scanned, predicted, tmp_path / "evaluation")
    shown = {"prediction": evaluation}, {"prediction": predicted}, NAMES
    inside = other_viewers(scanned, *shown, tmp_path, ["p1_f1"])
    assert [case.title for case in inside.inside] == [
        f"{name}, mean DSC {dsc:.2f}" for name, dsc in (("p1_f2", 0.81), ("p2_f1", 0.62), ("p3_f1", 0.44))
    ]
    assert not (tmp_path / "viewer").exists()
    monkeypatch.setattr(case_viewers, "MOST_BYTES_INSIDE", 0)
    beside = other_viewers(scanned, *shown, tmp_path, ["p1_f1"])
    assert [address for _, address in beside.links] == [f"viewer/{name}.html" for name in ("p1_f2", "p2_f1", "p3_f1")]
    page = (tmp_path / "viewer" / "p3_f1.html").read_text(encoding="utf-8")
    assert "Synthetic data." in page
    assert 'id="case"' in page
    monkeypatch.undo()
    other_viewers(scanned, *shown, tmp_path, ["p1_f1"])
    assert not (tmp_path / "viewer").exists()  # pages of an earlier report are removed


def test_labels_of_a_model_that_knows_more_are_put_into_the_cohorts_order(scanned, predicted, tmp_path):
    folder = shutil.copytree(predicted, tmp_path / "other")
    path = folder / "p1_f1" / "labels.nii.gz"
    labels = read_volume(path)
    renumbered = np.array([0, 3, 1], np.uint8)[labels.array]
    renumbered[0, 0, 0] = 2
    write_volume(Volume(renumbered, labels.geometry), path)
    (path.parent / "prediction.json").write_text('{"structures": ["rectum", "colon", "bladder"]}')
    segmentation = read_compared_case(scanned, "p1_f1", {"model": folder}).segmentations["model"]
    assert segmentation.structures == ("bladder", "rectum")
    assert np.array_equal(segmentation.labels.array, labels.array)
