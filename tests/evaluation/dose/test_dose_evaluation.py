"""Doses, totals and plots from a DICOM export of the synthetic pelvis."""

import base64
import json
import math
import re
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pydicom
import pytest
import SimpleITK as sitk

from gynbtnet.datasets import Cohort, Source, ingest
from gynbtnet.evaluation.dose.dose_evaluation import DOSE_FILES, DoseEvaluation, evaluate_dose
from gynbtnet.evaluation.dose.dvh import dose_volume_histogram
from gynbtnet.evaluation.dose.external_beam import ExternalBeam
from gynbtnet.evaluation.dose.files import find_doses, read_dose
from gynbtnet.evaluation.dose.isodoses import isodoses_of_cases
from gynbtnet.evaluation.dose.planning_aims import PlanningAims
from gynbtnet.evaluation.metrics.settings import DoseSettings
from gynbtnet.imaging import Geometry, Volume, read_rtdose, read_volume, write_volume
from gynbtnet.phantom import write_brachytherapy
from gynbtnet.runtime import BadInput

STRUCTURES = ("hr_ctv", "bladder", "rectum", "sigmoid", "uterus")


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("export") / "phantom"
    write_brachytherapy(folder, patients=1, fractions=2, spacing=(5.0, 3.0, 3.0), matrix=(36, 88, 104))
    return folder


@pytest.fixture(scope="module")
def implanted(exported, tmp_path_factory) -> Cohort:
    return ingest(exported, tmp_path_factory.mktemp("cohort") / "cohort", structures=STRUCTURES).cohort


@pytest.fixture(scope="module")
def contours(implanted, tmp_path_factory):
    """Write the truth, moved by a voxel to the left and without sigmoid in fraction 2."""
    folder = tmp_path_factory.mktemp("contours")
    for case in implanted.cases:
        labels = read_volume(case.labels)
        moved = np.roll(labels.array, 1, axis=2)
        if case.fraction == 2:
            moved[moved == STRUCTURES.index("sigmoid") + 1] = 0
        write_volume(Volume(moved, labels.geometry), folder / case.id / "labels.nii.gz")
    return folder


def edit(path, **values):
    file = pydicom.dcmread(path)
    for keyword, value in values.items():
        setattr(file, keyword, value)
    file.save_as(path)


@pytest.mark.slow
def test_automatic_against_manual(implanted, contours, tmp_path):
    beam = {patient: ExternalBeam(45, 25) for patient in implanted.patients}
    out = tmp_path / "dose"
    result = evaluate_dose(implanted, out, predictions=contours, external=beam)
    assert sorted(path.name for path in out.iterdir()) == sorted([*DOSE_FILES, "patients"])
    pages = [path.name for path in (out / "patients").iterdir()]
    assert pages == [f"{patient}.html" for patient in implanted.patients]
    page = (out / "patients" / pages[0]).read_text(encoding="utf-8")
    for words in ("Dose against aims", "fraction 2 (Gy)", "Sigmoid", "Isodoses", "7 Gy", "EMBRACE II"):
        assert words in page, words
    assert f'href="patients/{pages[0]}"' in (out / "report.html").read_text(encoding="utf-8")
    assert repr(DoseEvaluation.load(out)) == repr(result)  # NaN does not equal itself
    table = pd.read_csv(out / "dose.csv").set_index(["case", "structure", "metric"])
    assert len(table) == 2 * 4 * 3

    case = implanted.cases[0]
    dose = read_rtdose(next(case.source.ct_folder.parent.glob("RD.dcm"))).grid
    own = dose_volume_histogram(read_volume(case.labels).array == 2, case.geometry, [dose])
    row = table.loc[case.id, "bladder", "D2cc"]
    assert row["manual_gy"] == pytest.approx(own.dose_at(2.0))
    assert row["difference_gy"] == pytest.approx(row["automatic_gy"] - row["manual_gy"])
    assert row["difference_gy"] != 0
    d = [table.loc[case.id, "hr_ctv", name]["manual_gy"] for name in ("D98", "D90", "D50")]
    assert d == sorted(d)
    lost = table.loc[implanted.cases[1].id, "sigmoid", "D2cc"]
    assert (lost["automatic_note"], math.isnan(lost["automatic_gy"])) == ("no contour", True)

    summary = pd.read_csv(out / "dose_summary.csv").set_index(["structure", "metric"])
    assert tuple(summary.loc[("sigmoid", "D2cc"), ["cases", "patients", "not_evaluable", "no_dose"]]) == (1, 1, 1, 0)
    assert summary.loc[("sigmoid", "D2cc"), "manual_mean"] == pytest.approx(
        table.loc[implanted.cases[0].id, "sigmoid", "D2cc"]["manual_gy"]
    )

    totals = pd.read_csv(out / "eqd2.csv", keep_default_na=False).set_index(["structure", "metric"])
    fractions = [table.loc[case.id, "bladder", "D2cc"]["manual_gy"] for case in implanted.cases]
    by_hand = 43.2 + sum(dose * (dose + 3) / 5 for dose in fractions)
    assert float(totals["manual_eqd2_gy"]["bladder", "D2cc"]) == pytest.approx(by_hand)
    assert totals.loc[("sigmoid", "D2cc"), "automatic_verdict"] == "not judged"
    page = (out / "dose.md").read_text()
    for words in ("Synthetic data", "EMBRACE II, GEC-ESTRO Handbook", "same part of the structure is hottest"):
        assert words in page
    assert json.loads((out / "dose.json").read_text())["settings"]["alpha_beta_organ_gy"] == 3

    curves = pd.read_csv(out / "dvh.csv")
    curve = curves[(curves["case"] == case.id) & (curves["structure"] == "bladder") & (curves["contours"] == "manual")]
    assert curve["dose_gy"].is_monotonic_decreasing
    assert curve["volume_cm3"].iloc[-1] == pytest.approx(case.volumes_cm3["bladder"], rel=0.01)
    assert sitk.ReadImage(str(out / "dvh.png")).GetWidth() > 500

    apart = pd.read_csv(out / "bland_altman_d2cc.csv").set_index(["case", "structure"])
    assert apart.loc[(case.id, "bladder"), "difference"] == pytest.approx(row["difference_gy"])
    assert (implanted.cases[1].id, "sigmoid") not in apart.index
    assert pd.read_csv(out / "bland_altman_d2cc_limits.csv")["patients"].tolist() == [1] * 3
    assert sitk.ReadImage(str(out / "bland_altman_d2cc.png")).GetWidth() > 300
    assert pd.read_csv(out / "bland_altman_d90.csv")["structure"].tolist() == ["hr_ctv"] * 2

    page = (out / "report.html").read_text(encoding="utf-8")
    downloads = dict(re.findall(r'download="([^"]*)" href="data:text/csv;charset=utf-8;base64,([^"]*)"', page))
    files = {path.name for path in out.glob("*.csv")} - {"dvh.csv", "patients.csv"}  # the page has them in other forms
    assert set(downloads) == files | {"dvh_by_case.csv", "patient_verdicts.csv"}
    assert {name for name in files if base64.b64decode(downloads[name]) != (out / name).read_bytes()} == set()


@pytest.mark.slow
def test_only_the_contours_of_the_cohort(implanted, tmp_path):
    result = evaluate_dose(implanted, tmp_path / "dose")
    assert all(math.isnan(score.automatic_gy) and not score.automatic_note for score in result.scores)
    assert not any(math.isnan(score.manual_gy) for score in result.scores)
    only_with_predictions = ("bland", "eqd2_differences")
    assert {path.name for path in (tmp_path / "dose").iterdir()} == {
        *(name for name in DOSE_FILES if not name.startswith(only_with_predictions)),
        "patients",
    }
    page = (tmp_path / "dose" / "dose.md").read_text()
    assert "prediction" not in page.split("##")[1].splitlines()[2]
    assert "external beam not known" in page


def test_former_column_names_are_read(implanted, tmp_path):
    out = tmp_path / "dose"
    evaluation = evaluate_dose(implanted, out)
    for name in ("dose.csv", "eqd2.csv"):
        header, rows = (out / name).read_text(encoding="utf-8").split("\n", 1)
        assert ",metric," in header
        (out / name).write_text(f"{header.replace(',metric,', ',figure,')}\n{rows}", encoding="utf-8")
    assert repr(DoseEvaluation.load(out)) == repr(evaluation)  # NaN does not equal itself


def test_two_images_of_one_dose_are_refused(tmp_path):
    """The plan that was delivered isn't known if two folders have a dose; other images in them don't matter."""
    case: Any = SimpleNamespace(id="p1_f1")
    for name in ("first plan/p1_f1.nii.gz", "second plan/p1_f1.nrrd", "scan.nii.gz", "old/scan.nii.gz"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    with pytest.raises(BadInput, match=r"first plan.p1_f1.nii.gz and .*p1_f1.nrrd are both doses of p1_f1"):
        find_doses([case], tmp_path)
    (tmp_path / "second plan" / "p1_f1.nrrd").unlink()
    assert find_doses([case], tmp_path)["p1_f1"].paths == (tmp_path / "first plan" / "p1_f1.nii.gz",)


@pytest.mark.slow
def test_doses_as_images_and_a_case_without_dose(implanted, exported, contours, tmp_path):
    first, second = implanted.cases
    folder = tmp_path / "images"
    grid = read_rtdose(exported / "PHANTOM-001" / "fraction-1" / "RD.dcm").grid
    write_volume(grid, folder / f"{first.id}.nii.gz")
    apart = replace(implanted, cases=tuple(replace(case, source=Source(synthetic=True)) for case in implanted.cases))
    result = evaluate_dose(apart, tmp_path / "out", predictions=contours, doses=folder)
    by_dicom = evaluate_dose(implanted, tmp_path / "dicom", predictions=contours)
    assert [s.manual_gy for s in result.scores if s.case == first.id] == pytest.approx(
        [s.manual_gy for s in by_dicom.scores if s.case == first.id]
    )
    assert {s.manual_note for s in result.scores if s.case == second.id} == {"no dose"}
    assert {course.manual_verdict for course in result.courses} == {"not judged", ""}
    assert "fraction 2: no dose" in result.courses[0].note
    shutil.copy(second.image, folder / f"{second.id}.nii.gz")
    ((failed, reason),) = evaluate_dose(apart, tmp_path / "out", doses=folder).failed
    assert failed == second.id
    assert "values below 0; expected a dose in Gy" in reason
    with pytest.raises(BadInput, match="no dose of any of 2 cases"):
        find_doses(apart.cases)
    with pytest.raises(BadInput, match="There is no folder"):
        find_doses(apart.cases, tmp_path / "absent")


def test_an_image_of_zeros_is_no_dose(tmp_path):
    path = tmp_path / "p1_f1.nii.gz"
    write_volume(Volume(np.zeros((2, 2, 2), np.float32), Geometry((2, 2, 2))), path)
    with pytest.raises(BadInput, match="holds no value above 0; expected a dose in Gy"):
        read_dose([path])


@pytest.mark.slow
def test_contours_outside_the_dose_have_rows_that_say_so(implanted, tmp_path):
    """One sentence if no contour has a dose; otherwise the others are evaluated."""
    first, second = (replace(case, source=Source(synthetic=True)) for case in implanted.cases)
    second = replace(second, patient="p2", id="p2_f1")
    doses, grid = tmp_path / "doses", first.geometry
    far = replace(grid, origin=(5000.0, 5000.0, 5000.0))
    write_volume(Volume(np.full(grid.shape, 7, np.float32), far), doses / f"{first.id}.nii.gz")
    cohort, out = replace(implanted, cases=(first, second)), tmp_path / "out"
    with pytest.raises(BadInput, match="No contour of 1 case with a dose is inside a dose grid; expected doses in the"):
        evaluate_dose(cohort, out, doses=doses)
    write_volume(Volume(np.full(grid.shape, 7, np.float32), second.geometry), doses / f"{second.id}.nii.gz")
    result = evaluate_dose(cohort, out, doses=doses)
    assert {score.manual_note for score in result.scores if score.case == first.id} == {"100 % outside the dose grid"}
    assert {score.manual_gy for score in result.scores if score.case == second.id} == {7}
    empty = tmp_path / "empty.nii.gz"
    write_volume(Volume(np.zeros(grid.shape, np.uint8), grid), empty)
    with pytest.raises(BadInput, match="No structure is contoured in 1 case with a dose; expected contours"):
        evaluate_dose(replace(cohort, cases=(replace(first, labels=empty),)), out, doses=doses)


def test_isodoses_of_the_dose_that_was_ingested_with_the_scan(implanted):
    draw = isodoses_of_cases(implanted.cases)
    case = implanted.cases[0]
    dose = read_rtdose(case.source.ct_folder.parent / "RD.dcm").grid
    volume_cm3 = draw(case.id, read_volume(case.image)).masks["7 Gy"].sum() * case.geometry.voxel_volume / 1000
    assert volume_cm3 == pytest.approx((dose.array >= 7).sum() * dose.geometry.voxel_volume / 1000, rel=0.15)
    moved = replace(case, source=replace(case.source, ct_folder=Path("/absent")))
    assert isodoses_of_cases([moved])(case.id, read_volume(case.image)).masks == {}


def test_assignment_of_doses(implanted, exported, tmp_path):
    """Copies count once, doses of another frame are ignored; two plans and effective doses are rejected."""
    folder = shutil.copytree(exported / "PHANTOM-001" / "fraction-1", tmp_path / "doses")
    shutil.rmtree(folder / "CT")
    shutil.copy(folder / "RD.dcm", folder / "copy.dcm")
    shutil.copy(exported / "PHANTOM-001" / "fraction-2" / "RD.dcm", folder / "other.dcm")
    only = replace(implanted, cases=implanted.cases[:1])
    usual = evaluate_dose(only, tmp_path / "usual")
    assert repr(evaluate_dose(only, tmp_path / "out", doses=folder).scores) == repr(usual.scores)

    def changed(keyword, value):
        dose = pydicom.dcmread(folder / "RD.dcm")
        setattr(dose, keyword, value)
        dose.SOPInstanceUID = "1.2.3.4"
        dose.ReferencedRTPlanSequence[0].ReferencedSOPInstanceUID = "1.2.3"
        dose.save_as(folder / "copy.dcm")

    changed("DoseComment", "an alternative")
    with pytest.raises(BadInput, match=r"belong to 2 plans\. Expected: the plan that was delivered"):
        evaluate_dose(only, tmp_path / "out", doses=folder)
    changed("DoseType", "EFFECTIVE")
    with pytest.raises(BadInput, match="holds a dose of type EFFECTIVE"):
        evaluate_dose(only, tmp_path / "out", doses=folder)
    changed("DoseUnits", "RELATIVE")
    with pytest.raises(BadInput, match="expected GY"):
        evaluate_dose(only, tmp_path / "out", doses=folder)


def test_scans_in_one_frame_have_the_doses_of_their_studies(exported, tmp_path):
    folder = shutil.copytree(exported, tmp_path / "one-frame")
    for path in folder.rglob("*.dcm"):
        file = pydicom.dcmread(path)
        if "FrameOfReferenceUID" in file:
            file.FrameOfReferenceUID = "1.2.3"
        for item in file.get("ReferencedFrameOfReferenceSequence", ()):
            item.FrameOfReferenceUID = "1.2.3"
        for item in file.get("StructureSetROISequence", ()):
            item.ReferencedFrameOfReferenceUID = "1.2.3"
        file.save_as(path)
    cohort = ingest(folder, tmp_path / "cohort", structures=STRUCTURES).cohort
    for searched in (None, folder):
        result = find_doses(cohort.cases, searched)
        assert {case.id: result[case.id].paths for case in cohort.cases} == {
            case.id: (case.source.ct_folder.parent / "RD.dcm",) for case in cohort.cases
        }


def test_a_dose_of_another_patient_is_refused(exported, tmp_path):
    """An anonymiser that uses constant UIDs gives all doses one frame of reference."""
    folder = shutil.copytree(exported / "PHANTOM-001" / "fraction-1", tmp_path / "export")
    cohort = ingest(folder, tmp_path / "cohort", structures=STRUCTURES).cohort
    edit(folder / "RD.dcm", PatientID="Secret", StudyInstanceUID="1.2.99")
    with pytest.raises(BadInput, match=r"RD\.dcm has another PatientID than the CT in whose frame") as caught:
        find_doses(cohort.cases)
    assert "Secret" not in str(caught.value)
    edit(folder / "RS.dcm", PatientID="Secret ")  # the planning system has another PatientID than the scanner
    assert find_doses(cohort.cases)[cohort.cases[0].id].paths == (folder / "RD.dcm",)
    edit(folder / "RD.dcm", PatientID="")  # doesn't identify the patient
    assert find_doses(cohort.cases)[cohort.cases[0].id].paths == (folder / "RD.dcm",)


@pytest.mark.slow
def test_other_files_are_kept(implanted, contours, tmp_path):
    (tmp_path / "letter.txt").write_text("mine")
    with pytest.raises(BadInput, match="would be replaced"):
        evaluate_dose(implanted, tmp_path)
    with pytest.raises(BadInput, match=r"There is no .*dose\.csv"):
        DoseEvaluation.load(tmp_path)
    evaluate_dose(implanted, tmp_path / "out", predictions=contours)
    (tmp_path / "out" / "eqd2.csv").write_text("patient,structure\np1,bladder\n")
    with pytest.raises(BadInput, match=r"eqd2\.csv is damaged"):
        DoseEvaluation.load(tmp_path / "out")


def test_a_row_says_how_many_slices_were_interpolated(exported, tmp_path):
    """The rectum is drawn on every second slice."""
    shutil.copytree(exported, tmp_path / "export")
    for path in sorted((tmp_path / "export").rglob("RS.dcm")):
        structures = pydicom.dcmread(path)
        rois = structures.StructureSetROISequence
        (rectum,) = (roi.ROINumber for roi in rois if "rectum" in roi.ROIName.casefold())
        for roi in structures.ROIContourSequence:
            if roi.ReferencedROINumber == rectum:
                heights = sorted({float(contour.ContourData[2]) for contour in roi.ContourSequence})
                kept = [one for one in roi.ContourSequence if float(one.ContourData[2]) in heights[::2]]
                roi.ContourSequence = kept
        structures.save_as(path)
    cohort = ingest(tmp_path / "export", tmp_path / "cohort", structures=("bladder", "rectum")).cohort
    whole = evaluate_dose(cohort, tmp_path / "dose")
    between = len(heights[::2]) - 1
    assert {score.structure: score.interpolated_slices for score in whole.scores} == {"bladder": 0, "rectum": between}
    assert f"reference: {between} slices interpolated" in (tmp_path / "dose" / "report.html").read_text(
        encoding="utf-8"
    )
    assert Cohort.load(cohort.folder).cases == cohort.cases


@pytest.mark.slow
def test_ends_of_structures(implanted, tmp_path):
    volumes = {}
    for ends in ("half", "none"):
        evaluate_dose(implanted, tmp_path / ends, settings=DoseSettings(ends=ends))
        curves = pd.read_csv(tmp_path / ends / "dvh.csv")
        volumes[ends] = curves[curves["structure"] == "rectum"]["volume_cm3"].max()
    labels = [read_volume(case.labels) for case in implanted.cases]
    voxels = max((one.array == STRUCTURES.index("rectum") + 1).sum() for one in labels)
    assert volumes["half"] == pytest.approx(voxels * labels[0].geometry.voxel_volume / 1000, rel=0.02)
    assert volumes["none"] < 0.99 * volumes["half"]
    assert "half a slice beyond the first and last slice" in (tmp_path / "half" / "report.html").read_text("utf-8")


def test_aims_for_metrics_that_a_structure_does_not_have_are_refused(implanted, tmp_path):
    for structure, metric, words in (
        ("bladder", "D98", "D98 of bladder, which has D2cc, D1cc, D0.1cc .no target by its name"),
        ("uterus", "D2cc", "D2cc of uterus, which has no metrics, since it contains the source"),
    ):
        path = tmp_path / "aims.yaml"
        aims = f"name: ours\nsource: us\nalpha_beta_gy: {{target: 10, organ: 3}}\nstructures:\n  {structure}:\n"
        path.write_text(f"{aims}    {metric}: {{limit: {{below: 80}}}}\n")
        with pytest.raises(BadInput, match=words):
            evaluate_dose(implanted, tmp_path / "dose", aims=PlanningAims.load(path))
    assert not (tmp_path / "dose").exists()
