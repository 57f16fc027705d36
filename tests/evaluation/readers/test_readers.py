"""Readers and model on masks whose overlap is worked out by hand, and through evaluation to tables and page."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from gynbtnet.evaluation.contours.evaluate_contours import evaluate_contours
from gynbtnet.evaluation.contours.reader_contours import parse_readers
from gynbtnet.evaluation.metrics.settings import ScoringSettings
from gynbtnet.evaluation.readers.pair_scores import Observation, observer_pairs, score_pairs
from gynbtnet.evaluation.readers.reader_summary import summarise_pairs
from gynbtnet.imaging import Geometry, Segmentation, Volume, read_volume, write_volume
from gynbtnet.runtime import BadInput

GRID = Geometry((1, 8, 20), (3.0, 1.0, 1.0))


def bar(start: int, stop: int, **unknown: str) -> Observation:
    """Return a bladder of 4 × (stop − start) voxels."""
    labels = np.zeros(GRID.shape, np.uint8)
    labels[0, 2:6, start:stop] = 1
    return Observation(Segmentation(Volume(labels, GRID), ("bladder",)), unknown, {})


def scores_of(model, **readers):
    scores = score_pairs(
        model, readers, ("bladder",), case="1", patient="p", settings=ScoringSettings(tolerance_mm=0.5)
    )
    return {(score.observer, score.reference): score for score in scores}


def test_every_pair_by_hand():
    """Bars of 10, 10 and 8 columns that are shifted along x: overlap and contour voxels can be counted."""
    scores = scores_of(bar(2, 12), A=bar(4, 14), B=bar(2, 10))
    assert tuple(scores) == observer_pairs(["A", "B"])
    assert scores["model", "A"].dsc == pytest.approx(2 * 32 / 80)
    assert scores["model", "B"].dsc == pytest.approx(2 * 32 / 72)
    assert scores["A", "B"].dsc == scores["B", "A"].dsc == pytest.approx(2 * 24 / 72)
    # the contour of 4 × 10 voxels has 24 voxels: two rows of 10 and two columns of 2 inner ones
    assert scores["A", "B"].added_path_length_mm == 2 + 2 + 2 + 2  # B's columns 2, 3 in two rows, and inner of 2 and 9
    assert scores["B", "A"].added_path_length_mm == 2 * 4 + 2 + 2  # A's columns 10 to 13, inner of 4 and of 13
    assert scores["B", "A"].added_path_length_share == pytest.approx(12 / 24)
    assert {score.status for score in scores.values()} == {"scored"}


def test_no_reader_is_compared_with_a_consensus_that_contains_her():
    """With C far from A and B, the consensus without C is that of A and B alone, and C has the lowest value."""
    scores = scores_of(bar(2, 10), A=bar(2, 10), B=bar(2, 10), C=bar(6, 14))
    references = {reference for observer, reference in scores if observer in "ABC" and "STAPLE" in reference}
    assert references == {f"STAPLE without {name}" for name in "ABC"}
    assert all(f"without {observer}" in ref for observer, ref in scores if observer in "ABC" and "STAPLE" in ref)
    assert scores["C", "STAPLE without C"].dsc == scores["C", "A"].dsc == 0.5
    assert scores["model", "STAPLE without C"].dsc == 1


def test_what_a_reader_lacks_is_said_in_rows():
    scores = scores_of(bar(2, 10), A=bar(2, 10), B=bar(2, 2), C=bar(2, 2, bladder="not contoured by C"))
    assert scores["model", "B"].status == "missing in B" and scores["model", "B"].dsc == 0
    assert scores["B", "A"].status == "missing in B" and scores["B", "A"].added_path_length_share == 1
    assert scores["model", "C"].status == scores["C", "A"].status == "not contoured by C"
    assert np.isnan(scores["model", "C"].dsc)
    assert scores["B", "STAPLE without B"].status == "no consensus: contoured by 1 of 2 readers"
    assert scores["model", "STAPLE without C"].status == "missing in STAPLE without C"  # A and B contradict each other


def test_observers_who_rightly_drew_nothing_agree():
    scores = scores_of(bar(2, 2), A=bar(2, 2), B=bar(2, 10))
    assert (scores["model", "A"].status, scores["model", "A"].dsc) == ("neither has it", 1)
    assert scores["model", "A"].added_path_length_mm == 0
    none = scores_of(bar(2, 2), A=bar(2, 2), B=bar(2, 2))
    assert all(np.isnan(score.dsc) and score.status == "neither has it" for score in none.values())


def test_differences_are_paired_by_reference_and_case():
    """Two patients. The reader A lacks one case, so that only B and C of it count on both sides."""
    both = []
    for patient, model, readers in (
        ("p", bar(2, 10), {"A": bar(3, 11), "B": bar(2, 10), "C": bar(4, 12)}),
        ("q", bar(2, 10), {"A": bar(2, 2, bladder="case not contoured by A"), "B": bar(3, 11), "C": bar(2, 9)}),
    ):
        both += score_pairs(model, readers, ("bladder",), case=patient, patient=patient, settings=ScoringSettings())
    summary = summarise_pairs(both, ("A", "B", "C")).set_index(["part", "observer", "reference"])
    dsc = {(score.case, score.observer, score.reference): score.dsc for score in both}
    means = [
        np.mean([dsc["p", "model", r] - np.mean([dsc["p", o, r] for o in "ABC" if o != r]) for r in "ABC"]),
        np.mean([dsc["q", "model", "B"] - dsc["q", "C", "B"], dsc["q", "model", "C"] - dsc["q", "B", "C"]]),
    ]
    row = summary.loc[("standing", "model − readers", "each reader")]
    assert row["dsc_mean"] == pytest.approx(np.mean(means))
    half = 12.7062047 * np.std(means, ddof=1) / np.sqrt(2)  # Student's t with one degree of freedom
    assert (row["dsc_low"], row["dsc_high"]) == pytest.approx((np.mean(means) - half, np.mean(means) + half), rel=1e-6)
    assert (row["cases"], row["patients"], row["not_scored"]) == (2, 2, 0)
    means_only = summary.drop(index=row.name)
    assert (means_only["dsc_low"].min(), means_only["dsc_high"].max()) == (0, 1)
    ours = summary.loc[("standing", "model", "each reader")]
    assert ours["dsc_mean"] == pytest.approx(
        np.mean([np.mean([dsc["p", "model", r] for r in "ABC"]), np.mean([dsc["q", "model", r] for r in "BC"])])
    )
    assert ours["not_scored"] == 1
    assert summary.loc[("pairs", "A", "B")]["cases"] == 1


@pytest.fixture(scope="module")
def evaluated(scanned, predicted, tmp_path_factory) -> Path:
    """Evaluate with three readers: the cohort's own, one who moved everything, and one with gaps."""
    folder = tmp_path_factory.mktemp("readers")
    for number, case in enumerate(scanned.cases):
        labels = np.roll(read_labels(case), 1, axis=2)
        write_volume(Volume(labels, case.geometry), folder / "moved" / case.id / "labels.nii.gz")
        if number:  # the first case is missing, and in the others the rectum
            mask = (np.roll(labels, -2, axis=1) == 1).astype(np.uint8)
            write_volume(Volume(mask, case.geometry), folder / "gaps" / case.id / "bladder.nii.gz")
    rows = [f"{case.id},{name},{rater},{4 - (rater == 'x')}" for case in scanned.cases for name in ("bladder", "Rectum")
            for rater in "xy"]  # fmt: skip
    (folder / "ratings.csv").write_text("\n".join(["case,structure,rater,score", *rows]))
    evaluate_contours(
        scanned, predicted, folder / "out",
        readers={"own": scanned.folder, "moved": folder / "moved", "gaps": folder / "gaps"},
        ratings=folder / "ratings.csv",
    )  # fmt: skip
    return folder


def read_labels(case) -> np.ndarray:
    return read_volume(case.labels).array


def test_tables_have_a_row_for_every_case_structure_and_pair(scanned, evaluated):
    scores = pd.read_csv(evaluated / "out" / "reader_scores.csv")
    pairs = observer_pairs(("own", "moved", "gaps"))
    assert len(scores) == len(pairs) * len(scanned.cases) * 2 and len(pairs) == 3 + 6 + 1 + 6
    first = scores[(scores["case"] == scanned.cases[0].id) & (scores["observer"] == "gaps")]
    assert set(first["status"]) == {"case not contoured by gaps"}
    rectum = scores[(scores["structure"] == "rectum") & (scores["reference"] == "gaps")]
    assert set(rectum["status"]) == {"case not contoured by gaps", "not contoured by gaps"}
    truth = pd.read_csv(evaluated / "out" / "scores.csv")
    own = scores[(scores["observer"] == "model") & (scores["reference"] == "own")]
    for metric in ("dsc", "surface_dsc", "added_path_length_mm"):
        assert own[metric].to_numpy() == pytest.approx(truth[metric].to_numpy())


def test_the_page_says_where_the_model_is_among_the_readers(evaluated):
    page = (evaluated / "out" / "report.html").read_text()
    for words in ("3 readers: own, moved and gaps.", "model − readers", "STAPLE of the other readers",
                  "case not contoured by gaps", "16 ratings from 1 (worst) to 5 (best) by 2 raters"):  # fmt: skip
        assert words in page
    summary = pd.read_csv(evaluated / "out" / "rating_summary.csv").set_index("structure")
    assert summary.loc["bladder", "median"] == 3.5 and summary.loc["bladder", "score_3"] == 4
    joined = pd.read_csv(evaluated / "out" / "ratings.csv")
    assert joined["dsc"].notna().all() and set(joined["rater"]) == {"x", "y"}


def test_an_evaluation_with_readers_is_replaced_by_one_without(scanned, predicted, evaluated, tmp_path):
    shutil.copytree(evaluated / "out", tmp_path / "out")
    evaluate_contours(scanned, predicted, tmp_path / "out")
    assert not (tmp_path / "out" / "reader_scores.csv").exists()


@pytest.mark.parametrize(
    ("readers", "words"),
    [
        ({"own": "cohort"}, "given once; expected at least two"),
        ({"own": "cohort", "model": "cohort"}, "can't be called model"),
        ({"own": "cohort", "STAPLE 2": "cohort"}, "can't be called STAPLE 2"),
        ({"own": "cohort", "other": "nowhere"}, "There is no folder nowhere"),
        ({"own": "cohort", "other": "cohort"}, "own and other have the same folder"),
        ({"own": "cohort", "other": "predicted"}, "--reader other has the folder of the predictions"),
    ],
)
def test_readers_that_are_refused(scanned, predicted, tmp_path, readers, words):
    known = {"cohort": scanned.folder, "predicted": predicted}
    folders = {name: known.get(folder, Path(folder)) for name, folder in readers.items()}
    with pytest.raises(BadInput, match=words):
        evaluate_contours(scanned, predicted, tmp_path / "out", readers=folders)
    assert not (tmp_path / "out").exists()


def test_a_prediction_is_not_compared_with_itself(scanned, predicted, tmp_path):
    with pytest.raises(BadInput, match="--truth has the folder of the predictions"):
        evaluate_contours(scanned, predicted, tmp_path / "out", truth=predicted)


def test_equal_readers_are_noted(scanned, predicted, tmp_path):
    shutil.copytree(predicted, tmp_path / "copy")
    readers = {"own": scanned.folder, "copy": tmp_path / "copy"}
    _, scored = evaluate_contours(scanned, predicted, tmp_path / "out", readers=readers)
    note = "The contours of copy and model are equal in every case that both have; check that none is a copy."
    assert scored.notes == (note,) and note in (tmp_path / "out" / "report.html").read_text()


def test_a_readers_folder_without_a_match_is_not_advised_to_predict(scanned, predicted, tmp_path):
    shutil.copytree(predicted / "p1_f1", tmp_path / "reader" / "other")
    with pytest.raises(BadInput, match=r"has no prediction of p1_f1.*For contours of a person, call each by the id"):
        evaluate_contours(scanned, tmp_path / "reader", tmp_path / "out")
    with pytest.raises(BadInput, match="has no contours of the cases, such as p1_f1") as caught:
        evaluate_contours(scanned, predicted, tmp_path / "out", truth=tmp_path / "reader")
    assert "gynbtnet predict" not in str(caught.value) and "It has other. Call each" in str(caught.value)


def test_predictions_are_no_reader(scanned, predicted, tmp_path):
    automatic = replace(scanned, cases=tuple(
        replace(case, source=replace(case.source, automatic=True)) for case in scanned.cases))  # fmt: skip
    shutil.copytree(predicted, tmp_path / "truth")
    with pytest.raises(BadInput, match="as a reader's"):
        evaluate_contours(
            automatic, predicted, tmp_path / "out", truth=tmp_path / "truth",
            readers={"own": automatic.folder, "other": tmp_path / "truth"},
        )  # fmt: skip


@pytest.mark.parametrize("arguments", [["anna"], ["=folder"], ["anna="], ["a=1", "a=2"]])
def test_arguments_that_are_no_reader(arguments):
    with pytest.raises(BadInput, match="NAME=FOLDER"):
        parse_readers(arguments)
    assert parse_readers(["a=x=y"]) == {"a": Path("x=y")}
