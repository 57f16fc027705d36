"""Doses as planning systems write them: read with correct values, or refused in one sentence."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pydicom
import pytest
from typer.testing import CliRunner

from gynbtnet.cli import app
from gynbtnet.datasets import ingest
from gynbtnet.evaluation import DoseSettings, evaluate_dose, find_doses, read_dose
from gynbtnet.imaging import Conversion, Geometry, convert, read_rtdose, resample_dose
from gynbtnet.runtime import BadInput, ScansFailed

from .battery import CASES, _dose, _with_organs
from .builders import CT, rtdose, rtplan

STRUCTURES = ("bladder", "rectum")


def build(kind: str, folder: Path) -> Path:
    CASES[kind][0](folder)
    return folder


def dose_metrics(folder: Path, out: Path) -> dict[tuple[str, str], float]:
    """Return the dose metrics of each structure in Gy."""
    cohort = ingest(folder, out / "cohort", structures=STRUCTURES).cohort
    evaluate_dose(cohort, out / "dose", settings=DoseSettings(ends="half"))
    table = pd.read_csv(out / "dose" / "dose.csv")
    return dict(zip(zip(table["structure"], table["metric"], strict=True), table["manual_gy"], strict=True))


def d2cc(folder: Path, out: Path) -> list[float]:
    found = dose_metrics(folder, out)
    return [found[structure, "D2cc"] for structure in STRUCTURES]


def refusal(folder: Path, out: Path) -> str:
    """Return the error of a cohort's dose; the conversion must be refused as well."""
    cohort = ingest(folder, out / "cohort", structures=STRUCTURES).cohort
    with pytest.raises(Exception, match=r"RD") as caught:
        evaluate_dose(cohort, out / "dose", settings=DoseSettings(ends="half"))
    assert type(caught.value).__name__ in ("BadInput", "ScansFailed")
    assert not (out / "dose").exists()
    return str(caught.value)


def convert_refusal(path: Path, out: Path) -> str:
    with pytest.raises(BadInput) as caught:
        convert([path], out, Conversion())
    assert not out.exists()
    return str(caught.value)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> list[float]:
    """Return the D2cc of one plain dose; the bladder has only 1.92 cm³, so its D2cc isn't defined."""
    folder = tmp_path_factory.mktemp("plain")
    made = _with_organs(folder / "in")
    array, origin = _dose(made)
    rtdose(folder / "in" / "RD.dcm", made, array, origin)
    return d2cc(folder / "in", folder / "out")


def test_the_plain_dose_is_right(tmp_path, plain):
    """D2cc by hand: the dose at each voxel of the organ is known by a formula, and 2 cm³ are 667 voxels of 3 mm³."""
    z, y, x = (value.ravel() for value in np.mgrid[2:10, 25:33, 8:21])
    gy = 1 + 0.05 * (x - 16 + 17) + 0.03 * (y - 20 + 21) + 0.02 * (3 * z - 18 + 19)
    by_hand = np.sort(gy)[::-1][round(2000 / 3) - 1]
    assert plain[1] == pytest.approx(by_hand, rel=0.005)


@pytest.mark.parametrize(
    "kind",
    [
        "plan_dose_twice",
        "plan_and_beams",
        "offsets_absolute",
        "offsets_absolute_descending",
        "feet_first_prone",
        "sixteen_bits",
        "dose_rle",
    ],
)
def test_every_form_of_one_dose_has_its_d2cc(tmp_path, plain, kind):
    assert d2cc(build(kind, tmp_path / "in"), tmp_path) == pytest.approx(plain, rel=0.005, nan_ok=True)


@pytest.mark.parametrize("kind", ["offsets_absolute", "offsets_absolute_descending", "sixteen_bits", "dose_rle"])
def test_every_voxel_has_its_dose(tmp_path, kind):
    build(kind, tmp_path)
    grid = read_rtdose(tmp_path / "RD.dcm").grid
    scan = Geometry((9, 15, 11), (3.0, 2.0, 2.0), (-10.0, -12.0, -15.0))
    z, y, x = np.indices(scan.shape)
    expected = 1 + 0.05 * (2 * x - 10 + 17) + 0.03 * (2 * y - 12 + 21) + 0.02 * (3 * z - 15 + 19)
    assert np.abs(resample_dose(grid, scan).array - expected).max() < 0.006


def test_different_doses_of_one_plan_are_refused(tmp_path):
    made = _with_organs(tmp_path / "in")
    array, origin = _dose(made)
    rtdose(tmp_path / "in" / "RD1.dcm", made, array, origin)
    rtdose(tmp_path / "in" / "RD2.dcm", made, array * 1.02, origin, tag="another algorithm")
    sentence = refusal(tmp_path / "in", tmp_path)
    assert "RD1.dcm" in sentence
    assert "RD2.dcm are different PLAN doses of the same plan" in sentence


def of_part(number: int | None, kind: str = "Beam"):
    """Return a change of an RTDOSE that makes it refer to a beam or an application setup; None: to no part."""

    def change(dose: pydicom.Dataset) -> None:
        group, part = pydicom.Dataset(), pydicom.Dataset()
        setattr(part, f"Referenced{kind}Number", number)
        group.ReferencedFractionGroupNumber = 1
        setattr(group, f"Referenced{kind}Sequence", [part])
        dose.ReferencedRTPlanSequence[0].ReferencedFractionGroupSequence = [group]

    return (lambda dose: None) if number is None else change


@pytest.mark.parametrize(("summation", "kind"), [("BEAM", "Beam"), ("BRACHY", "BrachyApplicationSetup")])
def test_a_dose_of_a_beam_that_was_exported_twice_counts_once(tmp_path, plain, summation, kind):
    made = _with_organs(tmp_path / "in")
    array, origin = _dose(made)
    for name, number, share in (("1", 1, 0.4), ("1 again", 1, 0.4), ("2", 2, 0.6)):
        path = tmp_path / "in" / f"RD{name}.dcm"
        rtdose(path, made, array * share, origin, summation=summation, change=of_part(number, kind))
    assert d2cc(tmp_path / "in", tmp_path) == pytest.approx(plain, rel=1e-3, nan_ok=True)


def test_equal_doses_of_two_beams_are_added(tmp_path, plain):
    made = _with_organs(tmp_path / "in")
    array, origin = _dose(made)
    for number in (1, 2):
        path = tmp_path / "in" / f"RD{number}.dcm"
        rtdose(path, made, array / 2, origin, summation="BEAM", change=of_part(number))
    assert d2cc(tmp_path / "in", tmp_path) == pytest.approx(plain, rel=1e-3, nan_ok=True)


def test_a_dose_without_a_frame_of_reference_is_that_of_its_patient(tmp_path):
    """Without frames of reference only the PatientID states to which scan a dose belongs."""

    def without_frame(dataset: pydicom.Dataset, _slice: int = 0) -> None:
        dataset.FrameOfReferenceUID = ""

    made, other = _with_organs(tmp_path / "in", change=without_frame), CT(tmp_path / "other", n=2, patient="OTHER")
    array, origin = _dose(made)
    rtdose(tmp_path / "doses" / "other.dcm", other, array, origin, change=without_frame)
    cohort = ingest(tmp_path / "in", tmp_path / "cohort", structures=STRUCTURES).cohort
    with pytest.raises(BadInput, match="no dose of any of 1 case"):
        find_doses(cohort.cases, tmp_path / "doses")
    rtdose(tmp_path / "doses" / "own.dcm", made, array, origin, change=without_frame)
    (found,) = find_doses(cohort.cases, tmp_path / "doses").values()
    assert found.paths == (tmp_path / "doses" / "own.dcm",)


@pytest.mark.parametrize(
    ("summation", "number", "share", "sentence"),
    [
        ("BEAM", 1, 1.1, "RD2.dcm are different BEAM doses of the same beam 1 of fraction group 1"),
        ("BEAM", None, 1.0, "RD2.dcm are equal BEAM doses of the same plan and don't state"),
        ("FRACTION", None, 1.0, "RD2.dcm are equal FRACTION doses of the same plan and don't state"),
    ],
)
def test_doses_of_unclear_parts_are_refused(tmp_path, summation, number, share, sentence):
    made = _with_organs(tmp_path / "in")
    array, origin = _dose(made)
    for name, factor in (("RD1", 1.0), ("RD2", share)):
        path = tmp_path / "in" / f"{name}.dcm"
        rtdose(path, made, array * factor, origin, summation=summation, change=of_part(number))
    assert sentence in refusal(tmp_path / "in", tmp_path)


@pytest.mark.parametrize(
    ("first", "fits"),
    [(5, False), (-19, True), (-19.04, True), (19, False), (-18, False), (0, True), (0.0001, True)],
)
def test_the_first_offset_is_zero_or_the_position(tmp_path, first, fits):
    made = CT(tmp_path / "ct", n=2)
    array, origin = _dose(made)
    rtdose(tmp_path / "RD.dcm", made, array, origin, gfov=first + np.arange(20) * 2.0)
    if fits:
        assert read_rtdose(tmp_path / "RD.dcm").grid.geometry.origin == pytest.approx(origin)
    else:
        with pytest.raises(BadInput, match=f"GridFrameOffsetVector of .* begins with {first}"):
            read_rtdose(tmp_path / "RD.dcm")


def test_offsets_by_position_belong_to_axial_frames(tmp_path):
    a = np.radians(12)
    tilted = (1, 0, 0, 0, np.cos(a), np.sin(a))
    made = CT(tmp_path / "ct", n=2)
    array, origin = _dose(made)
    rtdose(tmp_path / "RD.dcm", made, array, origin, iop=tilted, gfov=origin[2] + np.arange(20) * 2.0)
    with pytest.raises(BadInput, match="on axial frames"):
        read_rtdose(tmp_path / "RD.dcm")
    rtdose(tmp_path / "RD.dcm", made, array, origin, iop=tilted)
    far = read_rtdose(tmp_path / "RD.dcm").grid.geometry.to_world((19, 0, 0))
    assert far == pytest.approx([origin[0], origin[1] - 38 * np.sin(a), origin[2] + 38 * np.cos(a)], abs=1e-3)


def edited(path: Path, **values: object) -> None:
    dose = pydicom.dcmread(path)
    for keyword, value in values.items():
        if value is None:
            delattr(dose, keyword)
        else:
            setattr(dose, keyword, value)
    dose.save_as(path)


def negative(path: Path) -> None:
    dose = pydicom.dcmread(path)
    stored = np.frombuffer(dose.PixelData, "<i4").copy()
    stored[7] = -3
    dose.PixelRepresentation, dose.PixelData = 1, stored.tobytes()
    dose.save_as(path)


NO_DOSE = [
    ({"DoseGridScaling": -1e-4}, "a DoseGridScaling of -0.0001"),
    ({"DoseGridScaling": 0}, "a DoseGridScaling of 0"),
    ({"DoseGridScaling": None}, "no readable DoseGridScaling"),
    ({"DoseGridScaling": ""}, "no readable DoseGridScaling"),
    ({"DoseType": "ERROR"}, "a dose of type ERROR"),
    ({"DoseType": "EFFECTIVE"}, "a dose of type EFFECTIVE"),
    ({"DoseType": None}, r"a dose of type (none)"),
    ({"DoseUnits": "RELATIVE"}, "units of “RELATIVE”"),
    (negative, "holds doses down to -0.003 Gy"),
]


@pytest.mark.parametrize(("harm", "sentence"), NO_DOSE)
def test_what_is_no_dose_in_gy_is_refused_everywhere(tmp_path, harm, sentence):
    made = _with_organs(tmp_path / "in")
    array, origin = _dose(made)
    path = tmp_path / "in" / "RD.dcm"
    rtdose(path, made, array, origin)
    harm(path) if callable(harm) else edited(path, **harm)
    assert sentence in convert_refusal(path, tmp_path / "dose.nii.gz")
    assert sentence in refusal(tmp_path / "in", tmp_path)


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        ("relative_units", "units of “RELATIVE”"),
        ("effective_dose", "type EFFECTIVE"),
        ("offsets_neither", "begins with 5"),
        ("plan_of_four_fractions", "has 4 fractions. Planning systems export the dose of all"),
    ],
)
def test_doses_of_the_battery_that_are_refused(tmp_path, kind, sentence):
    assert sentence in refusal(build(kind, tmp_path / "in"), tmp_path)


def test_a_dose_of_one_fraction_next_to_a_plan_of_another_dose(tmp_path, plain):
    made = _with_organs(tmp_path / "in")
    array, origin = _dose(made)
    rtdose(tmp_path / "in" / "RD.dcm", made, array, origin)
    rtplan(tmp_path / "in" / "RP.dcm", made, fractions=1, dose=7)
    rtplan(tmp_path / "in" / "RP2.dcm", made, plan="external", fractions=25, brachy=False)
    assert d2cc(tmp_path / "in", tmp_path) == pytest.approx(plain, nan_ok=True)


def export_with_plans(folder: Path, dose_plan: str | None, *plans: tuple[str, int]) -> None:
    """Write a CT, contours, a dose that refers to a plan or to none, and plans with their numbers of fractions."""
    made = _with_organs(folder)
    array, origin = _dose(made)
    rtdose(folder / "RD.dcm", made, array, origin, plan=dose_plan)
    for number, (plan, fractions) in enumerate(plans):
        rtplan(folder / f"RP{number}.dcm", made, plan=plan, fractions=fractions)


@pytest.mark.parametrize(
    ("dose_plan", "plans", "sentence"),
    [
        (None, [("plan", 4)], "RD.dcm doesn't refer to an RTPLAN; the only one of its scan is"),
        (None, [("plan", 4), ("external", 25)], "RP1.dcm of the same scan has 25 fractions. Is the dose that of one"),
        ("absent", [("plan", 4)], "RD.dcm refers to an RTPLAN that was not found, and the plan"),
    ],
)
def test_a_dose_next_to_plans_of_several_fractions_that_it_does_not_refer_to(tmp_path, dose_plan, plans, sentence):
    """As one acute fraction it would give a wrong EQD2."""
    export_with_plans(tmp_path / "in", dose_plan, *plans)
    told = refusal(tmp_path / "in", tmp_path)
    assert sentence in told
    assert "--dose-is" in told
    assert "--fractions-per-plan" in told
    cohort = ingest(tmp_path / "in", tmp_path / "cohort", structures=STRUCTURES).cohort
    given = DoseSettings(dose_is="total", fractions_per_plan=4)
    total = evaluate_dose(cohort, tmp_path / "total", settings=given).scores
    assert {(score.fractions, "RTPLAN" in score.manual_note) for score in total} == {(4, False)}
    export_with_plans(tmp_path / "alone" / "in", "plan", ("plan", 1))
    alone = dose_metrics(tmp_path / "alone" / "in", tmp_path / "alone")
    ours = {score.structure: score.manual_gy for score in total if score.metric == "D0.1cc"}
    assert ours["rectum"] == pytest.approx(alone["rectum", "D0.1cc"] / 4, rel=0.05)


@pytest.mark.parametrize(
    ("dose_plan", "plans", "is_doubtful"),
    [
        ("plan", [("plan", 1)], False),
        ("absent", [], False),
        (None, [], False),
        (None, [("plan", 1)], True),
        ("absent", [("plan", 1), ("other", 1)], True),
    ],
)
def test_a_row_says_that_the_number_of_fractions_is_assumed(tmp_path, dose_plan, plans, is_doubtful):
    export_with_plans(tmp_path / "in", dose_plan, *plans)
    cohort = ingest(tmp_path / "in", tmp_path / "cohort", structures=STRUCTURES).cohort
    evaluation = evaluate_dose(cohort, tmp_path / "dose")
    words = "refers to no RTPLAN that was found; its number of fractions is assumed"
    assert {words in score.manual_note for score in evaluation.scores} == {is_doubtful}
    assert {words in course.note for course in evaluation.courses} == {is_doubtful}
    assert {score.fractions for score in evaluation.scores} == {1}


@pytest.mark.parametrize("dose_plan", [None, "absent", "plan"])
def test_a_dose_next_to_a_plan_of_pulsed_dose_rate_is_refused(tmp_path, dose_plan):
    export_with_plans(tmp_path / "in", dose_plan, ("plan", 1))
    edited(tmp_path / "in" / "RP0.dcm", BrachyTreatmentType="PDR")
    assert "is of type PDR: its dose is given over hours" in refusal(tmp_path / "in", tmp_path)


def test_plans_of_other_scans_and_patients_do_not_count(tmp_path):
    export_with_plans(tmp_path / "in", None, ("plan", 4), ("other", 4))
    edited(tmp_path / "in" / "RP0.dcm", FrameOfReferenceUID="1.2.3")
    edited(tmp_path / "in" / "RP1.dcm", PatientID="OTHER")
    cohort = ingest(tmp_path / "in", tmp_path / "cohort", structures=STRUCTURES).cohort
    (files,) = find_doses(cohort.cases).values()
    assert files.plan.path is None
    edited(tmp_path / "in" / "RP0.dcm", FrameOfReferenceUID="")  # then the study counts
    (files,) = find_doses(cohort.cases).values()
    assert files.plan.path == tmp_path / "in" / "RP0.dcm"


def test_a_dose_without_a_preamble_is_read(tmp_path, plain):
    made = _with_organs(tmp_path / "in")
    array, origin = _dose(made)
    path = tmp_path / "in" / "RD.dcm"
    rtdose(path, made, array, origin)
    content = path.read_bytes()
    path.write_bytes(content[144 + int.from_bytes(content[140:144], "little") :])
    (found,) = find_doses(ingest(tmp_path / "in", tmp_path / "cohort", structures=STRUCTURES).cohort.cases).values()
    assert found.paths == (path,)
    assert read_dose([path])[0].array.max() == pytest.approx(array.max(), abs=1e-3)


def test_a_dose_without_pixel_representation_is_unsigned(tmp_path):
    """As in PS3.3 C.8.8.3.4; with negative values, which would become 400,000 Gy, it is refused."""
    made, values = CT(tmp_path / "in"), np.full((5, 8, 8), 2.5)
    for name, value in (("empty", None), ("absent", "delete")):

        def change(dataset: pydicom.Dataset, value: str | None = value) -> None:
            dataset.PixelRepresentation = value if value is None else 0
            if value is not None:
                del dataset.PixelRepresentation

        rtdose(tmp_path / f"{name}.dcm", made, values, (-8, -8, -8), change=change)
        assert np.allclose(read_rtdose(tmp_path / f"{name}.dcm").grid.array, 2.5)

    for representation, share in ((0, 1.0), (None, 0.005)):

        def negative(
            dataset: pydicom.Dataset, representation: int | None = representation, share: float = share
        ) -> None:
            values = np.full(320, 2500, "<i4")
            values[: max(1, int(share * 320))] = -3
            dataset.PixelData, dataset.PixelRepresentation = values.tobytes(), representation

        rtdose(tmp_path / "RD.dcm", made, values, (-8, -8, -8), change=negative)
        assert "doses up to 4.29497e+06 Gy" in convert_refusal(tmp_path / "RD.dcm", tmp_path / "dose.nii.gz")


def test_a_huge_dose_within_the_source_is_no_reason_to_refuse(tmp_path):
    values = np.full((5, 8, 8), 2.5)
    values[2, 4, 4] = 2e5
    rtdose(tmp_path / "RD.dcm", CT(tmp_path / "in"), values, (-8, -8, -8))
    assert np.allclose(read_rtdose(tmp_path / "RD.dcm").grid.array, values)


def test_small_letters_in_units_and_type_are_read(tmp_path):
    rtdose(tmp_path / "RD.dcm", CT(tmp_path / "in"), np.full((5, 8, 8), 2.5), (-8, -8, -8), units="GY")
    content = (tmp_path / "RD.dcm").read_bytes()
    (tmp_path / "RD.dcm").write_bytes(content.replace(b"PHYSICAL", b"Physical").replace(b"GY", b"Gy"))
    assert np.allclose(read_rtdose(tmp_path / "RD.dcm").grid.array, 2.5)


def relative(folder: Path) -> None:
    edited(folder / "RD.dcm", DoseUnits="RELATIVE")


def cut_dose(folder: Path) -> None:
    (folder / "RD.dcm").write_bytes((folder / "RD.dcm").read_bytes()[:600])


def second_plan(folder: Path) -> None:
    shutil.copy(folder / "RD.dcm", folder / "RD2.dcm")
    dose = pydicom.dcmread(folder / "RD2.dcm")
    dose.SOPInstanceUID = "1.2.3"
    dose.ReferencedRTPlanSequence[0].ReferencedSOPInstanceUID = "1.2.4"
    dose.save_as(folder / "RD2.dcm")


def four_fractions(folder: Path) -> None:
    plan = pydicom.dcmread(folder / "RP.dcm")
    plan.FractionGroupSequence[0].NumberOfFractionsPlanned = 4
    plan.save_as(folder / "RP.dcm")


def cut_plan(folder: Path) -> None:
    content = (folder / "RP.dcm").read_bytes()
    (folder / "RP.dcm").write_bytes(content[:-20])  # within BrachyTreatmentType


def write_patient(folder: Path, patient: str, shift: int, **scan: str) -> None:
    """Write CT, contours, dose and plan of one fraction; ``shift`` makes the voxels differ."""
    made = _with_organs(folder, patient=patient, hu=lambda k, i, j: (7 * k + 3 * i + j + 11 * shift) % 97, **scan)
    array, origin = _dose(made)
    rtdose(folder / "RD.dcm", made, array, origin)
    rtplan(folder / "RP.dcm", made)


@pytest.mark.parametrize(
    ("harm", "sentence"),
    [
        (relative, "units of “RELATIVE”"),
        (lambda folder: negative(folder / "RD.dcm"), "holds doses down to"),
        (cut_dose, "RD.dcm"),
        (lambda folder: edited(folder / "RD.dcm", PatientID="OTHER"), "another PatientID"),
        (second_plan, "belong to 2 plans"),
        (lambda folder: edited(folder / "RP.dcm", BrachyTreatmentType="PDR"), "is of type PDR"),
        (four_fractions, "has 4 fractions"),
        (cut_plan, "RP.dcm"),
    ],
)
def test_a_bad_file_does_not_stop_the_other_patients(tmp_path, harm, sentence):
    for shift, patient in enumerate(("A", "B")):
        write_patient(tmp_path / "in" / patient, patient, shift)
    cohort = ingest(tmp_path / "in", tmp_path / "cohort", structures=STRUCTURES).cohort
    harm(tmp_path / "in" / "A")
    command = ["dose", str(cohort.folder), "--external-beam", "45/25", "--out", str(tmp_path / "dose")]
    ended = CliRunner().invoke(app, command)
    assert isinstance(ended.exception, ScansFailed)  # exit code 1
    ((case, reason),) = ended.exception.failed
    assert case == "patient-001_f1"
    assert sentence in reason
    assert json.loads((tmp_path / "dose" / "dose.json").read_text(encoding="utf-8"))["not_evaluated"] == {case: reason}
    rows: Any = pd.read_csv(tmp_path / "dose" / "dose.csv").set_index(["patient", "structure", "metric"]).sort_index()
    assert set(rows.loc["patient-001", "manual_note"]) == {"not evaluated, see dose.json"}
    assert rows.loc["patient-001", "manual_gy"].isna().all()
    assert rows.loc[("patient-002", "rectum", "D2cc"), "manual_gy"] > 0
    totals: Any = pd.read_csv(tmp_path / "dose" / "eqd2.csv").set_index(["patient", "structure", "metric"]).sort_index()
    assert set(totals.loc["patient-001", "manual_verdict"].dropna()) == {"not judged"}
    assert totals.loc[("patient-002", "rectum", "D2cc"), "manual_verdict"] == "aim met"
    harm(tmp_path / "in" / "B")
    with pytest.raises(BadInput, match="1 more of 2 cases cannot be evaluated either"):
        evaluate_dose(cohort, tmp_path / "none")
    assert not (tmp_path / "none").exists()


def without_slice(folder: Path) -> None:
    (folder / "CT005.dcm").unlink()


def cut_slice(folder: Path) -> None:
    (folder / "CT005.dcm").write_bytes((folder / "CT005.dcm").read_bytes()[:-200])


def cut_contours(folder: Path) -> None:
    content = (folder / "RS.dcm").read_bytes()
    (folder / "RS.dcm").write_bytes(content[: len(content) // 2])


def open_contour(folder: Path) -> None:
    contours = pydicom.dcmread(folder / "RS.dcm")
    contours.ROIContourSequence[0].ContourSequence[0].ContourGeometricType = "OPEN_PLANAR"
    contours.save_as(folder / "RS.dcm")


def other_frame(folder: Path) -> None:
    contours = pydicom.dcmread(folder / "RS.dcm")
    for roi in contours.StructureSetROISequence:
        roi.ReferencedFrameOfReferenceUID = "1.2.3"
    contours.ReferencedFrameOfReferenceSequence[0].FrameOfReferenceUID = "1.2.3"
    contours.save_as(folder / "RS.dcm")


@pytest.mark.parametrize("harm", [without_slice, cut_slice, cut_contours, open_contour, other_frame])
def test_a_scan_that_cannot_be_used_does_not_stop_the_other_patients(tmp_path, harm):
    """The course of this patient lacks a fraction, so that it isn't judged."""
    source, out = tmp_path / "in", tmp_path / "dose"
    write_patient(source / "A1", "A", 0)
    write_patient(source / "A2", "A", 1, frame="second", study="second", series="second")
    write_patient(source / "B", "B", 2)
    beams = tmp_path / "beams.csv"
    beams.write_text("patient,dose_gy,fractions\nA,45,25\nB,45,25\n")
    harm(source / "A2")
    command = ["dose", str(source), "--external-beam", str(beams), "--out", str(out)]
    ended = CliRunner().invoke(app, command)
    assert isinstance(ended.exception, ScansFailed)
    ((name, reason),) = ended.exception.failed
    assert name.startswith("A2")
    assert json.loads((out / "dose.json").read_text(encoding="utf-8"))["not_evaluated"] == {name: reason}
    totals: Any = pd.read_csv(out / "eqd2.csv").set_index(["structure", "metric"])
    assert totals["patient"].nunique() == 1
    assert totals.loc[("rectum", "D2cc"), "manual_verdict"] == "aim met"
    own = CliRunner().invoke(app, [*command, "--patient", "A"])
    assert str(own.exception) == reason
    shutil.rmtree(source / "B")
    alone = CliRunner().invoke(app, ["dose", str(source), "--out", str(tmp_path / "alone")])
    assert isinstance(alone.exception, BadInput)
    assert not (tmp_path / "alone").exists()
