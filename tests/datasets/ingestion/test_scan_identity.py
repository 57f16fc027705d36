import os
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gynbtnet.datasets import PatientKey, ingest
from gynbtnet.datasets.ingestion.folder_pattern import FolderPattern
from gynbtnet.imaging import Geometry, Volume, read_volume, unicode_composed, write_volume
from gynbtnet.runtime import BadInput

from ..conftest import GRID, WriteExport, scan

ROOT = Path("/source")
BLADDER: dict[str, Any] = {"structures": ("bladder",)}
NAMES = st.text(st.characters(categories=("L", "N"), include_characters=" -.^"), min_size=1).filter(
    lambda name: name.strip(".") and "/" not in name
)


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        ("{patient}", "A/deep/er", ("A", None, None)),
        ("{patient}/{fraction}", "A/fraction-10/CT", ("A", 10, None)),
        ("{patient}/{fraction}/", "A/2024 Fx3", ("A", 3, None)),
        ("study*/{patient}_{applicator}/Fx{fraction}", "study 2/P1_T&O/Fx4/CT", ("P1", 4, "tandem+ovoids")),
        ("imagesTr/{patient}_f{fraction}_0000", "imagesTr/a_b_f12_0000", ("a_b", 12, None)),
        ("*/{patient}", "x.y(z)/P+1", ("P+1", None, None)),
    ],
)
def test_fields_of_a_pattern(pattern: str, path: str, expected: tuple[str, int | None, str | None]) -> None:
    metadata = FolderPattern(pattern).read_metadata(PurePath(path), ROOT)
    assert (metadata.patient, metadata.fraction, metadata.applicator) == expected


@given(patient=NAMES, fraction=st.integers(1, 999), rest=st.lists(NAMES, max_size=2))
def test_any_name_is_read(patient: str, fraction: int, rest: list[str]) -> None:
    path = PurePath("c", patient, f"Fx {fraction}", *rest)
    metadata = FolderPattern("c/{patient}/Fx {fraction}").read_metadata(path, ROOT)
    assert (metadata.patient, metadata.fraction) == (unicode_composed(patient), fraction)


@pytest.mark.parametrize("pattern", ["{fraction}", "{patient}/{patient}", "{patient}/{day}", "plain", "{}", "{patient"])
def test_an_invalid_pattern_is_refused(pattern: str) -> None:
    with pytest.raises(BadInput, match="not a pattern of folders"):
        FolderPattern(pattern)


def test_a_scan_that_does_not_fit_is_refused() -> None:
    pattern = FolderPattern("{patient}/Fx{fraction}")
    with pytest.raises(BadInput, match=r"/source/A/CT doesn't fit the pattern"):
        pattern.read_metadata(PurePath("A/CT"), ROOT)
    with pytest.raises(BadInput, match="has no number"):
        pattern.read_metadata(PurePath("A/Fxlast"), ROOT)
    for zero in ("Fx0", "Fx00", "Fx٠"):
        with pytest.raises(BadInput, match="has the number 0; expected one from 1"):
            pattern.read_metadata(PurePath("A", zero), ROOT)


@pytest.fixture
def export(tmp_path: Path, write_export: WriteExport) -> Path:
    """Two patients whose scans all have one PatientID, as an anonymiser leaves them."""
    for seed, folder in enumerate(("P1/Fx2", "P1/Fx10", "P2/Fx1")):
        write_export(tmp_path / "export" / folder, "ANON", {"Bladder": "bladder"}, seed=seed)
    return tmp_path / "export"


def ingest_export(export: Path, patient_id_from: str):
    out = export.parent / "cohort"
    return ingest(export, out, "dicom-rt", **BLADDER, patient_id_from=patient_id_from).cohort


def test_patients_and_fractions_by_folders(export: Path) -> None:
    cohort = ingest_export(export, "{patient}/{fraction}")
    assert [(case.id, case.fraction) for case in cohort.cases] == [
        ("patient-001_f2", 2),
        ("patient-001_f10", 10),
        ("patient-002_f1", 1),
    ]
    assert {patient: list(fractions) for patient, fractions in cohort.fractions.items()} == {
        "patient-001": [2, 10],
        "patient-002": [1],
    }


def test_a_note_says_that_given_fractions_are_not_used(export: Path) -> None:
    (text := export.parent / "t.csv").write_text("folder,patient,fraction\nP1/Fx2,A,3\nP1/Fx10,A,\nP2,B,2\n")
    cohort = ingest_export(export, str(text))
    assert [case.id for case in cohort.cases] == ["patient-001_f1", "patient-001_f2", "patient-002_f2"]
    assert ["only 1 of 2 scans have a number" in " ".join(case.notes) for case in cohort.cases] == [True, True, False]


@pytest.mark.parametrize("separate", [False, True])
def test_files_of_one_name_in_several_folders_are_noted(tmp_path: Path, separate: bool) -> None:
    for seed, name in enumerate(("P1/planning.nii.gz", "P2/planning.nii.gz", "P3/other.nii.gz", "P3/CT1.NII.GZ")):
        written = tmp_path / "scans" / name.replace("NII.GZ", "nii.gz")
        write_volume(scan(seed), written)
        written.rename(tmp_path / "scans" / name)
    key = PatientKey.load(tmp_path / "key.csv", separate=True) if separate else None
    cohort = ingest(tmp_path / "scans", tmp_path / "cohort", "scans", key=key).cohort
    noted = {case.patient for case in cohort.cases if "in several folders" in " ".join(case.notes)}
    assert (len(cohort.cases), len(cohort.patients)) == (4, 3)
    assert noted == ({"patient-003"} if separate else {"planning"})
    by_folder = ingest(tmp_path / "scans", tmp_path / "again", "scans", patient_id_from="folder").cohort
    assert len(by_folder.patients) == 3
    assert not any(case.notes for case in by_folder.cases)


def test_an_image_file_not_named_in_utf8_is_left_out(tmp_path: Path) -> None:
    for seed, name in enumerate(("a", "b")):
        write_volume(scan(seed), tmp_path / "scans" / f"{name}.nii.gz")
    (tmp_path / "scans" / "b.nii.gz").rename(tmp_path / "scans" / os.fsdecode(b"M\xfcller.nii.gz"))
    done = ingest(tmp_path / "scans", tmp_path / "cohort", "scans", leave_out_failing=True)
    assert done.cohort.patients == ("a",)
    (problem,) = done.report.problems
    assert problem.reason.endswith("M?ller.nii.gz is not UTF-8; rename the file or its folder.")


def test_two_scans_of_a_fraction_get_two_ids(export: Path) -> None:
    (export / "P1" / "Fx10").rename(export / "P1" / "Fx2 again")
    cohort = ingest_export(export, "{patient}/Fx{fraction}")
    assert [case.id for case in cohort.cases] == ["patient-001_f2", "patient-001_f2-2", "patient-002_f1"]
    assert [len(cases) for cases in cohort.fractions["patient-001"].values()] == [2]


def test_contours_in_another_patients_folder_are_refused(export: Path) -> None:
    (export / "P1" / "Fx2" / "RS.dcm").rename(export / "P2" / "Fx1" / "RS-1.dcm")
    with pytest.raises(BadInput, match=r"RS-1.dcm is in the folder of another patient"):
        ingest_export(export, "{patient}")


def table(export: Path, text: str) -> str:
    path = export.parent / "table.csv"
    path.write_text(text, encoding="utf-8-sig")
    return str(path)


@pytest.mark.parametrize("separator", [",", ";"])
def test_a_table_describes_folders(export: Path, separator: str) -> None:
    rows = ("applicator,folder,patient,fraction", "T&O,P1,Anna,", "ring,P1/Fx10,Anna,", ",P2/Fx1,Berta,")
    text = "\n".join(rows).replace(",", separator) + "\n\n"
    cohort = ingest_export(export, table(export, text))
    assert [(case.patient, case.applicator) for case in cohort.cases] == [
        ("patient-001", "tandem+ovoids"),
        ("patient-001", "ring"),
        ("patient-002", None),
    ]
    assert cohort.applicators == {"patient-001": "ring / tandem+ovoids"}
    assert (export.parent / "cohort" / "patients.csv").read_text().splitlines()[1] == "patient-001,Anna"


def test_a_table_without_patients_uses_patient_ids(export: Path) -> None:
    cohort = ingest_export(export, table(export, "folder,fraction\nP1/Fx2,1\nP1/Fx10,2\nP2,3\n"))
    assert [case.id for case in cohort.cases] == ["patient-001_f1", "patient-001_f2", "patient-001_f3"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("folder,patient\nP1,Anna\n", "no row for the scan in .*P2"),
        ("folder,patient\nP1,Anna\nP2,Berta\nP3,Carla\n", "lists P3, but there is no scan"),
        ("folder,patient\nP1,Anna\nP1,Berta\n", "Line 3 .* repeats P1"),
        ("folder,patient\n\nP1,Anna,2\n", "Row 3 of .* has 3 cells; expected 2"),
        ("folder,patient,day\nP1,Anna,3\n", "has the columns folder, patient, day"),
        ("patient\nAnna\n", "has the columns patient"),
        ("folder,folder\nP1,P1\n", "has the columns"),
        ("folder,fraction\nP1,first\n", "Line 2 .* has the fraction “first”"),
        ("folder,fraction\nP1,0\n", "a whole number from 1"),
        (f"folder,fraction\nP1,{'9' * 5000}\n", "a whole number from 1"),
        (f"folder,patient\nP1,{'x' * 200_000}\n", "can't be read"),
        ("folder,patient\n,Anna\n", "names no folder"),
        ("folder,channel:\nP1,x\n", "has the columns"),
        ("folder,channel:MR\nP1,nowhere.nii.gz\n", "names “nowhere.nii.gz” for MR"),
        ("", "has the columns none"),
    ],
)
def test_an_invalid_table_is_refused(export: Path, text: str, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        ingest_export(export, table(export, text))


@pytest.mark.parametrize("patient_id_from", ["nowhere.csv", "patients", ""])
def test_an_unknown_source_of_patient_ids_is_refused(export: Path, patient_id_from: str) -> None:
    with pytest.raises(BadInput, match="Patients can't be identified by"):
        ingest_export(export, patient_id_from)


def test_a_table_names_a_further_channel(export: Path) -> None:
    coarse = Geometry((4, 12, 10), (6.0, 4.0, 4.0), (-19.0, -29.0, 6.5))
    for number, folder in enumerate(("P1/Fx2", "P1/Fx10", "P2/Fx1")):
        grid = coarse if number == 2 else GRID
        values = np.random.default_rng(number).uniform(0, 100, grid.shape).astype(np.float32)
        write_volume(Volume(values, grid), export / folder / "t2.nii.gz")
    path = table(
        export,
        "folder,patient,channel:T2\nP1/Fx2,A,P1/Fx2/t2.nii.gz\nP1/Fx10,A,P1/Fx10/t2.nii.gz\nP2,B,P2/Fx1/t2.nii.gz\n",
    )
    out = export.parent / "cohort"
    with pytest.raises(BadInput, match=r"T2 of the scan in .*P2.* is on another grid.*--resample-channels"):
        ingest(export, out, "dicom-rt", **BLADDER, patient_id_from=path)
    done = ingest(export, out, "dicom-rt", **BLADDER, patient_id_from=path, resample_channels=True).cohort
    assert done.channels == ("CT", "T2")
    given = read_volume(export / "P1" / "Fx2" / "t2.nii.gz").array
    np.testing.assert_array_equal(read_volume(done.cases[0].images[1]).array, given)
    moved = read_volume(done.cases[2].images[1])
    assert moved.geometry.is_same(done.cases[2].geometry)
    assert done.cases[2].notes[-1] == "Resampled its T2 onto the grid of its CT."
    # the centre of a coarse voxel is midway between eight fine ones: in the middle of a linear field both agree
    assert moved.array.mean() == pytest.approx(read_volume(export / "P2" / "Fx1" / "t2.nii.gz").array.mean(), rel=0.1)


def test_channels_by_the_names_of_files(tmp_path: Path) -> None:
    for number in (1, 2):
        write_volume(scan(number), tmp_path / "scans" / f"p{number}_0000.nii.gz")
        write_volume(scan(number + 10), tmp_path / "scans" / f"p{number}_0001.nii.gz")
    both: dict[str, Any] = {"channels": ("CT", "MR")}
    cohort = ingest(tmp_path / "scans", tmp_path / "cohort", "scans", **both).cohort
    assert cohort.patients == ("p1", "p2")
    for number, case in enumerate(cohort.cases, start=1):
        np.testing.assert_array_equal(read_volume(case.images[1]).array, scan(number + 10).array)
    (tmp_path / "scans" / "p2_0001.nii.gz").unlink()
    with pytest.raises(BadInput, match=r"p2_0000.nii.gz is the first of 2 channels, but there is no p2_0001.nii.gz"):
        ingest(tmp_path / "scans", tmp_path / "cohort", "scans", **both)


def test_a_table_names_image_files(tmp_path: Path) -> None:
    for number, name in enumerate(("a.b.nii.gz", "sub/c.nii.gz", "sub/d.nii.gz"), start=1):
        write_volume(scan(number), tmp_path / "scans" / name)
    (tmp_path / "t.csv").write_text("folder,patient\na.b.nii.gz,A\nsub/d.nii.gz,A\n.,B\n")
    cohort = ingest(tmp_path / "scans", tmp_path / "cohort", "scans", patient_id_from=str(tmp_path / "t.csv")).cohort
    assert [case.id for case in cohort.cases] == ["A_f1", "A_f2", "B_f1"]
    np.testing.assert_array_equal(read_volume(cohort.cases[2].image).array, scan(2).array)


def test_a_dicom_series_has_one_channel(tmp_path: Path, write_export: WriteExport) -> None:
    write_export(tmp_path / "scans", "A")
    with pytest.raises(BadInput, match="DICOM series, which has one channel"):
        ingest(tmp_path / "scans", tmp_path / "cohort", "scans", channels=("CT", "MR"))
