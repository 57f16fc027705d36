"""Tables of a folder of predictions, and errors for predictions that cannot be scored."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from gynbtnet.evaluation.metrics.evaluation import Evaluation, evaluate
from gynbtnet.evaluation.metrics.settings import ScoringSettings
from gynbtnet.evaluation.metrics.tolerances import Tolerances
from gynbtnet.imaging import Geometry, Volume, read_volume, write_volume
from gynbtnet.runtime import BadInput


@pytest.fixture
def predictions(predicted, tmp_path):
    return shutil.copytree(predicted, tmp_path / "predictions")


def rewrite(path, change):
    volume = read_volume(path)
    write_volume(Volume(change(volume.array), volume.geometry), path)


def test_scores_and_summary(scanned, predictions, tmp_path):
    evaluation = evaluate(scanned, predictions, tmp_path / "out")
    scores = pd.read_csv(tmp_path / "out" / "scores.csv")
    assert len(scores) == 8
    # The bladder is 8 voxels wide: a shift by n leaves 8 − n in common.
    assert list(scores[scores["structure"] == "bladder"]["dsc"]) == pytest.approx([1, 7 / 8, 6 / 8, 5 / 8])
    assert list(scores[scores["structure"] == "bladder"]["hd95_mm"]) == pytest.approx([0, 3, 6, 9])

    bladder, rectum, overall = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert bladder["dsc_mean"] == pytest.approx(np.mean([1, 7 / 8, 6 / 8, 5 / 8]))
    assert bladder["dsc_sd"] == pytest.approx(np.std([1, 7 / 8, 6 / 8, 5 / 8], ddof=1), abs=1e-6)
    assert (bladder["cases"], bladder["patients"], bladder["missed"]) == (4, 3, 0)
    assert overall["dsc_mean"] == pytest.approx((bladder["dsc_mean"] + rectum["dsc_mean"]) / 2, abs=1e-6)
    assert overall["dsc_sd"] is None
    assert (
        "| Bladder | 0 | 0 | 4 | 3 | 0 | 0 | 0.812 ± 0.161; 0.812 [0.719, 0.906] | 4.5 ± 3.9; "
        in (tmp_path / "out" / "summary.md").read_text()
    )
    assert Evaluation.load(tmp_path / "out") == evaluation


def test_a_missed_structure_makes_the_means_worse_and_is_counted(scanned, predictions, tmp_path):
    before = evaluate(scanned, predictions, tmp_path / "before").summary
    rewrite(predictions / "p3_f1" / "labels.nii.gz", lambda labels: np.where(labels == 2, 0, labels))
    after = evaluate(scanned, predictions, tmp_path / "after").summary
    assert list(after["missed"][1:3]) == [1, 1]
    assert after.loc[1, "cases"] == 4
    for row in (1, 2):
        assert after["dsc_mean"][row] < before["dsc_mean"][row]
        assert after["hd95_mm_mean"][row] > before["hd95_mm_mean"][row]
        assert after["asd_mm_mean"][row] > before["asd_mm_mean"][row]
    assert after[:1].equals(before[:1])


def test_every_table_states_the_policy(scanned, predictions, tmp_path):
    rewrite(predictions / "p3_f1" / "labels.nii.gz", lambda labels: np.where(labels == 2, 0, labels))
    worst = evaluate(scanned, predictions, tmp_path / "worst")
    dropped = evaluate(
        scanned, predictions, tmp_path / "drop", ScoringSettings(missing_structure_policy="drop", tolerance_mm=3)
    )
    rectum = dropped.summary.iloc[1]
    assert (rectum["cases"], rectum["missed"]) == (3, 1)
    assert rectum["dsc_mean"] > worst.summary.iloc[1]["dsc_mean"]
    for name in ("scores.csv", "summary.csv"):
        table = pd.read_csv(tmp_path / "drop" / name)
        assert (set(table["missing_structure_policy"]), set(table["tolerance_mm"])) == ({"drop"}, {3.0})
    page = (tmp_path / "drop" / "summary.md").read_text()
    assert "look better than the contours are" in page
    assert "surface DSC, 3 mm" in page
    assert "largest that the case allows" in (tmp_path / "worst" / "summary.md").read_text()
    assert Evaluation.load(tmp_path / "drop").settings == dropped.settings


def test_dropping_all_of_a_structure_leaves_no_mean_over_structures(scanned, predictions, tmp_path):
    for folder in predictions.iterdir():
        rewrite(folder / "labels.nii.gz", lambda labels: np.where(labels == 2, 0, labels))
    bladder, rectum, overall = evaluate(
        scanned, predictions, tmp_path / "out", ScoringSettings(missing_structure_policy="drop")
    ).summary.to_dict("records")
    assert (rectum["cases"], rectum["missed"], overall["missed"]) == (0, 4, 4)
    assert bladder["dsc_mean"] > 0
    assert np.isnan(overall["dsc_mean"])


def test_former_column_names_are_read(scanned, predictions, tmp_path):
    evaluation = evaluate(scanned, predictions, tmp_path / "out", ScoringSettings(missing_structure_policy="diagonal"))
    path = tmp_path / "out" / "scores.csv"
    header, rows = path.read_text().split("\n", 1)
    former = header.replace("missing_structure_policy", "policy").replace("missing_in", "missed")
    assert former != header
    path.write_text(f"{former}\n{rows}")
    assert Evaluation.load(tmp_path / "out") == evaluation


@pytest.mark.parametrize(
    ("changes", "recorded"),
    [
        ([{}] * 4, ["aa"]),
        ([{"model": {"files": {"f": "bb", "g": "cc"}}}, {}, {}, {}], ["aa", "bb", "cc"]),
        ([None, {}, {}, {}], None),
        ([{"model": None}, {}, {}, {}], None),
        ([{"model": {"files": {}}}, {}, {}, {}], None),
        ([{"adaptation": {"steps": 3}}, {}, {}, {}], None),
    ],
)
def test_the_weights_of_the_predictions_are_recorded(scanned, predictions, tmp_path, changes, recorded):
    """None: the prediction has no manifest, as one of another program."""
    manifest = {"structures": scanned.structures, "model": {"files": {"f": "aa"}, "name": "x"}, "adaptation": None}
    for case, change in zip(scanned.cases, changes, strict=True):
        path = predictions / case.id / "prediction.json"
        path.unlink(missing_ok=True)
        if change is not None:
            path.write_text(json.dumps(manifest | change))
    for _ in range(2):
        evaluate(scanned, predictions, tmp_path / "out")
    path = tmp_path / "out" / "weights.json"
    assert (json.loads(path.read_text())["sha256"] if path.exists() else None) == recorded


def test_parallel_jobs_give_the_same_scores(scanned, predictions, tmp_path):
    serial, parallel = (evaluate(scanned, predictions, tmp_path / str(jobs), jobs=jobs) for jobs in (1, 2))
    assert serial == parallel


def test_scores_of_two_policies_are_rejected(scanned, predictions, tmp_path):
    evaluate(scanned, predictions, tmp_path / "out")
    path = tmp_path / "out" / "scores.csv"
    path.write_text(path.read_text().replace(",worst,", ",drop,", 1))
    with pytest.raises(BadInput, match="several missing-structure policies"):
        Evaluation.load(tmp_path / "out")


def test_absent_in_both_is_counted_and_not_scored(scanned, predictions, tmp_path):
    cohort = replace(scanned, structures=("bladder", "rectum", "sigmoid"))
    evaluation = evaluate(cohort, predictions, tmp_path / "out")
    sigmoid, overall = evaluation.summary.iloc[2], evaluation.summary.iloc[3]
    assert (sigmoid["absent"], sigmoid["cases"]) == (4, 0)
    assert np.isnan(sigmoid["dsc_mean"])
    assert overall["dsc_mean"] == pytest.approx(evaluation.summary["dsc_mean"][:2].mean())
    assert (
        "| Sigmoid | 0 | 0 | 0 | 0 | 4 | 0 | – | – | – | – | – | – | – |"
        in (tmp_path / "out" / "summary.md").read_text()
    )
    loaded = Evaluation.load(tmp_path / "out")
    assert [(s.missing_in, np.isnan(s.dsc)) for s in loaded.scores[2::3]] == [("both", True)] * 4


def test_a_structure_that_the_source_does_not_contour_is_not_scored(scanned, predictions, tmp_path):
    partial = replace(scanned.cases[3], missing=("rectum",))
    rewrite_to = tmp_path / "labels.nii.gz"
    shutil.copy(partial.labels, rewrite_to)
    rewrite(rewrite_to, lambda labels: np.where(labels == 2, 0, labels))
    cohort = replace(scanned, cases=(*scanned.cases[:3], replace(partial, labels=rewrite_to)))
    evaluation = evaluate(cohort, predictions, tmp_path / "out")
    known = evaluate(replace(scanned, cases=scanned.cases[:3]), predictions, tmp_path / "known").summary
    rectum = evaluation.summary.iloc[1]
    assert (rectum["cases"], rectum["false"], rectum["absent"], rectum["unknown"]) == (3, 0, 0, 1)
    assert rectum["dsc_mean"] == known.loc[1, "dsc_mean"]
    assert evaluation.summary.iloc[2]["unknown"] == 1
    assert "Unknown: not contoured in the case's source" in (tmp_path / "out" / "summary.md").read_text()
    last = Evaluation.load(tmp_path / "out").scores[-1]
    assert (last.missing_in, last.is_scored, np.isnan(last.truth_cm3)) == ("unknown", False, True)
    assert last.prediction_cm3 > 0


def test_an_earlier_evaluation_is_replaced_and_nothing_else(scanned, predictions, tmp_path):
    evaluate(scanned, predictions, tmp_path / "out")
    evaluate(scanned, predictions, tmp_path / "out")
    (tmp_path / "out" / "letter.txt").write_text("mine")
    for out in (tmp_path / "out", predictions):
        with pytest.raises(BadInput, match="would be replaced"):
            evaluate(scanned, predictions, out)
    assert (tmp_path / "out" / "letter.txt").read_text() == "mine"
    assert (predictions / "p1_f1" / "labels.nii.gz").is_file()


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data.splitlines()[0],
        lambda data: data[:-60],
        lambda data: data.replace(b"dsc", b"dice"),
        lambda data: data.replace(b",none,", b",some,"),
        lambda data: data.replace(b",none,", b",none,1,"),
        lambda data: b"\xff\xfe" + data,
    ],
)
def test_damaged_scores_are_reported(scanned, predictions, tmp_path, damage):
    evaluate(scanned, predictions, tmp_path / "out")
    path = tmp_path / "out" / "scores.csv"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(BadInput, match=r"scores\.csv (is damaged|has no scores)"):
        Evaluation.load(tmp_path / "out")


def test_label_order_of_the_model_is_used(scanned, predictions, tmp_path):
    for folder in predictions.iterdir():
        (folder / "prediction.json").write_text(json.dumps({"structures": ["rectum", "uterus", "bladder"]}))
        rewrite(folder / "labels.nii.gz", lambda labels: np.array([0, 3, 1], np.uint8)[labels])
    assert evaluate(scanned, predictions, tmp_path / "out").scores[0].dsc == 1


def test_predictions_that_cannot_be_scored_are_reported_and_nothing_is_written(scanned, predictions, tmp_path):
    def refused(cohort, words):
        with pytest.raises(BadInput, match=words):
            evaluate(cohort, predictions, tmp_path / "out")
        assert not (tmp_path / "out").exists()

    refused(replace(scanned, cases=()), "no cases")
    refused(replace(scanned, cases=(replace(scanned.cases[0], labels=None),)), "has no labels")
    shutil.rmtree(shutil.move(predictions / "p1_f2", tmp_path / "away"))
    shutil.move(predictions / "p3_f1", tmp_path / "third")
    refused(scanned, "p1_f2.* 1 more of 4 cases cannot be evaluated either")
    scanned = replace(scanned, cases=(scanned.cases[0], scanned.cases[2]))
    path = predictions / "p2_f1" / "labels.nii.gz"
    labels = read_volume(path)
    x, y, z = labels.geometry.origin
    moved = Geometry(labels.geometry.shape, labels.geometry.spacing, (x + 2, y, z), labels.geometry.direction)
    write_volume(Volume(labels.array, moved), path)
    refused(scanned, "different grids.*up to 2 mm off")
    write_volume(Volume(labels.array + 5, labels.geometry), path)
    refused(scanned, "label 7 has no name")
    (path.parent / "prediction.json").write_text(json.dumps({"structures": ["rectum", "uterus"]}))
    refused(scanned, "from a model of rectum, uterus; the cohort also has bladder")
    for damaged in ("", "{}", "[1]", '{"structures": 3}'):
        (path.parent / "prediction.json").write_text(damaged)
        refused(scanned, "prediction.json is damaged.*predict this scan again")
    path.unlink()
    refused(scanned, "There is no prediction")
    with pytest.raises(BadInput, match=r"no .*scores.csv"):
        Evaluation.load(tmp_path)


def test_rounding_in_a_file_header_is_not_another_grid(scanned, predictions, tmp_path):
    path = predictions / "p1_f1" / "labels.nii.gz"
    labels = read_volume(path)
    x, y, z = labels.geometry.origin
    write_volume(Volume(labels.array, replace(labels.geometry, origin=(x + 1e-3, y, z))), path)
    assert evaluate(scanned, predictions, tmp_path / "out").scores[0].dsc == 1


def test_a_scored_structure_without_a_metric_is_refused(scanned, predictions, tmp_path):
    """An empty cell would drop the case from a mean and give a permutation test p = 0."""
    evaluate(scanned, predictions, tmp_path / "out")
    path = tmp_path / "out" / "scores.csv"
    table = pd.read_csv(path)
    table.loc[table["missing_in"] == "none", "hd95_mm"] = np.nan
    table.to_csv(path, index=False)
    with pytest.raises(BadInput, match=r"scores\.csv has no hd95_mm for \w+ of p\d_f\d, although"):
        Evaluation.load(tmp_path / "out")


def test_surface_and_tolerances_by_structure(scanned, predicted, tmp_path):
    """The settings are those of the folder, with the tolerance of each structure in its rows."""
    settings = ScoringSettings(surface="mesh", tolerances_mm={"bladder": 3.5})
    evaluation = evaluate(scanned, predicted, tmp_path / "mesh", settings)
    table = pd.read_csv(tmp_path / "mesh" / "scores.csv").set_index("structure")
    tolerances = table.groupby(level=0)["tolerance_mm"].unique()
    assert (list(tolerances["bladder"]), list(tolerances["rectum"])) == ([3.5], [2.0])
    assert set(table["surface"]) == {"mesh"}
    loaded = Evaluation.load(tmp_path / "mesh")
    assert loaded.scores == evaluation.scores
    assert [loaded.settings.tolerance_of(name) for name in ("bladder", "rectum")] == [3.5, 2.0]
    voxels = evaluate(scanned, predicted, tmp_path / "voxels", ScoringSettings(tolerances_mm={"bladder": 3.5}))
    assert {score.dsc for score in voxels.scores} == {score.dsc for score in evaluation.scores}
    assert voxels.scores[2].asd_mm != evaluation.scores[2].asd_mm
    page = (tmp_path / "mesh" / "summary.md").read_text(encoding="utf-8")
    assert "area within 2 mm (in mm: Bladder 3.5) of the other surface" in page
    assert "surface DSC, tolerance by structure" in page


def test_a_folder_without_the_column_of_the_surface_is_read(scanned, predicted, tmp_path):
    evaluation = evaluate(scanned, predicted, tmp_path / "out")
    path = tmp_path / "out" / "scores.csv"
    pd.read_csv(path).drop(columns="surface").to_csv(path, index=False)
    assert Evaluation.load(tmp_path / "out").settings == evaluation.settings


def test_tolerances_of_a_file(tmp_path):
    assert set(Tolerances.load().tolerances_mm.values()) == {2.0}
    path = tmp_path / "tolerances.yaml"
    path.write_text("structures:\n  bladder: {tolerance_mm: 3, source: our clinic}\n")
    assert Tolerances.load(path).tolerances_mm == {"bladder": 3}
    for wrong in ("structures:\n  bladder: {tolerance_mm: 3}\n", "bladder: 3\n", "structures: [", "structures: {}\n"):
        path.write_text(wrong)
        with pytest.raises(BadInput, match="tolerances"):
            Tolerances.load(path)
    with pytest.raises(BadInput, match="There is no file"):
        Tolerances.load(tmp_path / "none.yaml")
