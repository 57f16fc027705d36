"""Contours in every form are matched to cases and read onto the CT's grid; the scores are those of the label maps."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gynbtnet.datasets import Cohort, ingest
from gynbtnet.evaluation.contours.contour_files import find_contours
from gynbtnet.evaluation.contours.contour_matching import match_contours
from gynbtnet.evaluation.contours.evaluate_contours import evaluate_contours
from gynbtnet.evaluation.contours.matched_predictions import matched_predictions
from gynbtnet.evaluation.contours.second_reader import with_second_reader
from gynbtnet.evaluation.metrics.evaluation import Evaluation, read_prediction, read_truth
from gynbtnet.evaluation.metrics.metrics import dice
from gynbtnet.imaging import (
    Segmentation,
    StructureNames,
    Volume,
    read_ct_series,
    read_volume,
    write_rtstruct,
    write_volume,
)
from gynbtnet.phantom import write_brachytherapy
from gynbtnet.runtime import BadInput, sha256_of

STRUCTURES = ("bladder", "rectum")


@pytest.fixture(scope="module")
def clinic(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    folder = tmp_path_factory.mktemp("clinic")
    write_brachytherapy(folder / "export", patients=2, fractions=1, spacing=(10, 8, 8), matrix=(20, 38, 46))
    return ingest(folder / "export", folder / "cohort", structures=STRUCTURES).cohort


def moved(cohort: Cohort, case_id: str) -> Segmentation:
    """Return the reference moved by one voxel: the contours of another reader."""
    truth = read_truth(cohort.case(case_id), cohort.structures)
    return Segmentation(replace(truth.labels, array=np.roll(truth.labels.array, 1, axis=2)), truth.structures)


def expected_dsc(cohort: Cohort) -> list[float]:
    """Return the DSC of the moved reference, by case and structure."""
    return [
        dice(read_truth(case, STRUCTURES).mask(name), moved(cohort, case.id).mask(name))
        for case in cohort.cases
        for name in STRUCTURES
    ]


def write_labels(cohort: Cohort, folder: Path) -> None:
    for case in cohort.cases:
        write_volume(moved(cohort, case.id).labels, folder / case.id / "labels.nii.gz")


def write_flat(cohort: Cohort, folder: Path) -> None:
    """Write nnU-Net's form, with labels in another order and under the clinic's names."""
    for case in cohort.cases:
        labels = moved(cohort, case.id).labels
        write_volume(replace(labels, array=np.array([0, 5, 3], np.uint8)[labels.array]), folder / f"{case.id}.nii.gz")
    named = {"background": 0, "RECTUM": 3, "spleen": 4, "Bladder": 5}
    (folder / "dataset.json").write_text(json.dumps({"channel_names": {"0": "CT"}, "labels": named}))


def write_masks(cohort: Cohort, folder: Path) -> None:
    for case in cohort.cases:
        contours = moved(cohort, case.id)
        for name, written in zip(STRUCTURES, ("Bladder", "rectum"), strict=True):
            mask = Volume(contours.mask(name).astype(np.uint8), contours.labels.geometry)
            write_volume(mask, folder / case.id / "segmentations" / f"{written}.nii.gz")


def write_rtstructs(cohort: Cohort, folder: Path, *, automatic: bool = False) -> None:
    """Write RTSTRUCTs under names that don't name the case."""
    folder.mkdir(parents=True)
    for number, case in enumerate(cohort.cases):
        assert case.source.ct_folder
        ct = read_ct_series(case.source.ct_folder)
        write_rtstruct(
            moved(cohort, case.id), ct, folder / f"{number}.dcm", names=StructureNames.load(), label="reader 2",
            description="", software_version="1", contour_style="exact", automatic=automatic,
        )  # fmt: skip


FORMS = {"labels": write_labels, "flat": write_flat, "masks": write_masks, "rtstruct": write_rtstructs}


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
def test_predictions_of_every_form_have_the_scores_of_their_voxels(clinic, form, tmp_path):
    FORMS[form](clinic, tmp_path / "reader")
    evaluation, scored = evaluate_contours(clinic, tmp_path / "reader", tmp_path / "scores")
    assert [score.dsc for score in evaluation.scores] == pytest.approx(expected_dsc(clinic), abs=1e-3)
    assert 0.5 < min(expected_dsc(clinic)) < 0.95
    assert scored.notes == clinic.notes
    assert (tmp_path / "scores" / "report.html").is_file()


@pytest.mark.parametrize("form", FORMS)
def test_a_second_reader_of_every_form_replaces_the_reference(clinic, form, tmp_path):
    FORMS[form](clinic, tmp_path / "reader")
    for case in clinic.cases:
        write_volume(read_volume(case.labels), tmp_path / "model" / case.id / "labels.nii.gz")
    evaluation, scored = evaluate_contours(clinic, tmp_path / "model", tmp_path / "scores", truth=tmp_path / "reader")
    assert [score.dsc for score in evaluation.scores] == pytest.approx(expected_dsc(clinic), abs=1e-3)
    assert f"The reference is that in {tmp_path / 'reader'}: 2 of 2 cases." in scored.notes
    assert read_truth(clinic.cases[0], STRUCTURES).labels.array.any()  # the cohort itself is unchanged


def test_cases_and_structures_that_the_second_reader_did_not_contour_are_not_scored(clinic, tmp_path):
    write_masks(clinic, tmp_path / "reader")
    first, second = clinic.cases
    shutil.rmtree(tmp_path / "reader" / first.id)
    (tmp_path / "reader" / second.id / "segmentations" / "rectum.nii.gz").unlink()
    write_labels(clinic, tmp_path / "model")
    evaluation, scored = evaluate_contours(clinic, tmp_path / "model", tmp_path / "out", truth=tmp_path / "reader")
    assert [(score.case, score.structure, score.missing_in) for score in evaluation.scores] == [
        (second.id, "bladder", "none"),
        (second.id, "rectum", "unknown"),
    ]
    assert scored.notes[-1].endswith("1 of 2 cases.")


def test_a_structure_that_a_prediction_lacks_is_not_scored_and_counted(clinic, tmp_path):
    write_masks(clinic, tmp_path / "reader")
    (tmp_path / "reader" / clinic.cases[0].id / "segmentations" / "rectum.nii.gz").unlink()
    evaluation, scored = evaluate_contours(clinic, tmp_path / "reader", tmp_path / "out")
    assert [score.missing_in for score in evaluation.scores] == ["none", "unpredicted", "none", "none"]
    lacking = evaluation.scores[1]
    assert (lacking.is_scored, lacking.truth_cm3 > 0, lacking.prediction_cm3) == (False, True, 0)
    assert evaluation.summary["unknown"].tolist() == [0, 1, 1]
    again = Evaluation.load(tmp_path / "out")
    assert repr(again) == repr(evaluation)  # NaN does not equal itself
    assert scored.notes[-1].startswith("In 1 of 2 cases the files in ")


def test_a_roi_without_contours_is_missed_and_an_absent_roi_is_not_scored(clinic, tmp_path):
    case = clinic.cases[0]
    one = clinic.of_patients([case.patient])
    contours = moved(clinic, case.id)
    bladder_only = replace(contours.labels, array=np.where(contours.labels.array == 1, 1, 0).astype(np.uint8))
    for name, structures in (("empty", STRUCTURES), ("absent", STRUCTURES[:1])):
        (tmp_path / name).mkdir()
        write_rtstruct(
            Segmentation(bladder_only, structures), read_ct_series(case.source.ct_folder), tmp_path / name / "RS.dcm",
            names=StructureNames.load(), label="x", description="", software_version="1", automatic=False,
        )  # fmt: skip
    empty, _ = evaluate_contours(one, tmp_path / "empty", tmp_path / "scores-empty")
    absent, _ = evaluate_contours(one, tmp_path / "absent", tmp_path / "scores-absent")
    assert [score.missing_in for score in empty.scores] == ["none", "prediction"]
    assert [score.missing_in for score in absent.scores] == ["none", "unpredicted"]


def test_an_evaluation_that_fails_leaves_the_earlier_one(clinic, tmp_path):
    """Scores need no CT, but the page does: a truncated one must not leave tables without their page."""
    write_labels(clinic, tmp_path / "model")
    first, second = clinic.cases
    truncated = tmp_path / "ct.nii.gz"
    truncated.write_bytes(second.image.read_bytes()[:2000])
    damaged = replace(clinic, cases=(first, replace(second, images=(truncated,))))
    with pytest.raises(BadInput, match=r"ct\.nii\.gz"):
        evaluate_contours(damaged, tmp_path / "model", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    evaluate_contours(clinic, tmp_path / "model", tmp_path / "out")
    before = {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()}
    with pytest.raises(BadInput, match=r"ct\.nii\.gz"):
        evaluate_contours(damaged, tmp_path / "model", tmp_path / "out")
    assert {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()} == before
    assert [path.name for path in tmp_path.glob(".*")] == []


def test_rtstructs_are_read_without_the_dicom_files_of_the_scan(clinic, tmp_path):
    """As for a pseudonymised cohort: the file is called by the case."""
    write_rtstructs(clinic, tmp_path / "reader")
    nameless = replace(
        clinic,
        cases=tuple(
            replace(case, source=replace(case.source, ct_folder=None, series_uid=None)) for case in clinic.cases
        ),
    )
    for number, case in enumerate(clinic.cases):
        (tmp_path / "reader" / f"{number}.dcm").rename(tmp_path / "reader" / f"{case.id}.dcm")
    with matched_predictions(nameless, tmp_path / "reader") as (cohort, folder):
        for case in cohort.cases:
            read = read_prediction(case, folder, STRUCTURES)
            for name in STRUCTURES:
                assert dice(read.mask(name), moved(clinic, case.id).mask(name)) > 0.999


def write_prediction(folder: Path, labels: Volume, *, series_uid: str | None = None, sha256: str = "") -> None:
    write_volume(labels, folder / "labels.nii.gz")
    manifest = {"structures": STRUCTURES, "input": {"series_uid": series_uid, "sha256": sha256}}
    (folder / "prediction.json").write_text(json.dumps(manifest))


def test_predictions_under_other_names_are_matched_by_series_and_by_digest(clinic, tmp_path):
    first, second = clinic.cases
    labels = {case.id: moved(clinic, case.id).labels for case in clinic.cases}
    write_prediction(tmp_path / "preds" / "fraction-1", labels[second.id], series_uid=second.source.series_uid)
    write_prediction(tmp_path / "preds" / "imagesTr_x_0000", labels[first.id], sha256=sha256_of(first.image))
    evaluation, _ = evaluate_contours(clinic, tmp_path / "preds", tmp_path / "out")
    assert [score.dsc for score in evaluation.scores] == pytest.approx(expected_dsc(clinic))


def test_a_name_does_not_count_if_the_prediction_names_another_scan(clinic, tmp_path):
    first, second = clinic.cases
    write_prediction(tmp_path / first.id, moved(clinic, first.id).labels, series_uid=second.source.series_uid)
    assert match_contours((first,), find_contours(tmp_path)) == {}
    assert match_contours((second,), find_contours(tmp_path)).keys() == {second.id}


def test_two_predictions_of_a_scan_are_refused(clinic, tmp_path):
    case = clinic.cases[0]
    for name in ("a", "b"):
        write_prediction(tmp_path / name, moved(clinic, case.id).labels, series_uid=case.source.series_uid)
    with pytest.raises(BadInput, match=rf"a and .*b are both contours of the scan {case.id}; expected one"):
        match_contours(clinic.cases, find_contours(tmp_path))


def test_the_cohorts_own_rtstructs_are_not_compared_with_themselves(clinic, tmp_path):
    export = clinic.cases[0].source.rtstruct.parents[2]
    with pytest.raises(BadInput, match=r"has no prediction of patient-001_f1.*own RTSTRUCTs aren't compared"):
        evaluate_contours(clinic, export, tmp_path / "out")


def test_predictions_of_ours_are_no_reference_unless_asked(clinic, tmp_path):
    write_rtstructs(clinic, tmp_path / "ours", automatic=True)
    with pytest.raises(BadInput, match=r"contours of 2 of 2 cases in .*ours, first .*0\.dcm, were predicted"):
        with_second_reader(clinic, tmp_path / "ours", tmp_path)
    assert len(with_second_reader(clinic, tmp_path / "ours", tmp_path, allow_automatic=True).cases) == 2


def break_grid(clinic, folder):
    write_flat(clinic, folder)
    path = folder / f"{clinic.cases[0].id}.nii.gz"
    write_volume(Volume(read_volume(path).array, replace(read_volume(path).geometry, spacing=(10.0, 8.0, 7.0))), path)


def remove_names(clinic, folder):
    write_flat(clinic, folder)
    (folder / "dataset.json").unlink()


def name_labels(labels):
    def change(clinic, folder):
        write_flat(clinic, folder)
        (folder / "dataset.json").write_text(json.dumps({"channel_names": {"0": "CT"}, "labels": labels}))

    return change


def remove_case(clinic, folder):
    write_flat(clinic, folder)
    (folder / f"{clinic.cases[1].id}.nii.gz").unlink()


def different_masks(clinic, folder):
    write_masks(clinic, folder)
    path = folder / clinic.cases[0].id / "segmentations" / "rectum.nii.gz"
    write_volume(
        Volume(read_volume(path).array[1:], read_volume(path).geometry.__class__((19, 38, 46), (10, 8, 8))), path
    )


def scan_for_a_mask(clinic, folder):
    write_masks(clinic, folder)
    path = folder / clinic.cases[0].id / "segmentations" / "rectum.nii.gz"
    write_volume(read_volume(clinic.cases[0].image), path)


def two_masks(clinic, folder):
    write_masks(clinic, folder)
    masks = folder / clinic.cases[0].id / "segmentations"
    shutil.copy(masks / "rectum.nii.gz", masks / "RECTUM_2.nii.gz".replace("_2", "-"))


BROKEN = [
    (lambda clinic, folder: None, "There is no folder"),
    (lambda clinic, folder: folder.mkdir(), "contains no contours"),
    (break_grid, "have different grids"),
    (remove_names, "There is no dataset.json next to"),
    (name_labels({"background": 0, "bladder": 5}), "has the label 3, which the dataset.json"),
    (name_labels({"background": 0, "liver": 3, "spleen": 5}), "has none of the structures bladder, rectum"),
    (name_labels({"background": 0, "Bladder": 3, "bladder": 5}), "for bladder; expected one"),
    (remove_case, "has no prediction of patient-002_f1; expected one per case"),
    (different_masks, "have different grids"),
    (scan_for_a_mask, "holds no mask: it has values from"),
    (two_masks, "for rectum; expected one"),
]


@pytest.mark.parametrize(("write", "message"), BROKEN, ids=[message for _, message in BROKEN])
def test_contours_that_can_not_be_used_are_refused(clinic, write, message, tmp_path):
    write(clinic, tmp_path / "reader")
    with pytest.raises(BadInput, match=message):
        evaluate_contours(clinic, tmp_path / "reader", tmp_path / "out")
    assert not (tmp_path / "out").exists()
