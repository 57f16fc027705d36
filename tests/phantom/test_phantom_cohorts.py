"""Cohorts on disk as their readers will find them."""

import gzip
import json
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydantic import ValidationError

from gynbtnet.datasets import detect_layout, ingest
from gynbtnet.imaging import StructureNames, find_series, read_ct_series, read_rtdose, read_rtstruct, read_volume
from gynbtnet.phantom import cohorts
from gynbtnet.phantom.anatomy.patient import KINDS, draw_patient
from gynbtnet.phantom.case import pelvic_geometry, phantom_case
from gynbtnet.phantom.cohorts import (
    fraction_count,
    write_brachytherapy,
    write_organs,
    write_unlabelled,
)
from gynbtnet.phantom.limits import FEWEST_VOXELS, FINEST_MM
from gynbtnet.phantom.rendering.scene import STRUCTURES
from gynbtnet.phantom.settings import PhantomSettings
from gynbtnet.runtime import BadInput

SPACING, MATRIX = (8.0, 6.0, 6.0), (24, 48, 64)

V1_CLASSES = {
    *("urinary_bladder", "colon", "small_bowel", "sacrum", "vertebrae_L4", "vertebrae_L5"),
    *(
        f"{name}_{side}"
        for name in (
            *("hip", "femur", "gluteus_maximus", "gluteus_medius", "gluteus_minimus", "iliopsoas", "autochthon"),
            *("iliac_artery", "iliac_vena"),
        )
        for side in ("left", "right")
    ),
}


def descrip(path: Path) -> str:
    """Return the NIfTI-1 header's field of that name, bytes 148 to 228."""
    with gzip.open(path) as file:
        return file.read(348)[148:228].rstrip(b"\0").decode()


def test_thirty_patients_make_the_papers_145_cases() -> None:
    counts = [fraction_count(patient, "4-5") for patient in range(30)]
    assert sum(counts) == 145 and set(counts) == {4, 5}


def test_kinds_share_no_patient() -> None:
    assert len({draw_patient(0, 0, kind).version for kind in KINDS}) == 3


def test_a_clinics_export_reads_back_as_it_was_made(tmp_path: Path) -> None:
    assert write_brachytherapy(tmp_path, patients=2, fractions=2, spacing=SPACING, matrix=MATRIX, seed=5) == 4
    assert sorted(p.name for p in tmp_path.iterdir()) == ["PHANTOM-001", "PHANTOM-002", "README.txt", "phantom.json"]
    assert [series.modality for series in find_series(tmp_path)].count("CT") == 4
    names = set()
    for patient in range(2):
        folder = tmp_path / f"PHANTOM-{patient + 1:03d}" / "fraction-2"
        made = phantom_case(5, patient, 1, pelvic_geometry(SPACING, MATRIX))
        ct = read_ct_series(folder / "CT")
        assert ct.patient_id == f"PHANTOM-S5-{patient + 1:03d}", "with another seed it is another woman"
        assert np.array_equal(ct.volume.array, made.scan.array)
        structures, report = read_rtstruct(folder / "RS.dcm", ct, STRUCTURES, StructureNames.load())
        assert not report.missing and not report.unmapped
        assert np.array_equal(structures.labels.array, made.structures.labels.array)
        assert made.dose is not None
        assert np.allclose(read_rtdose(folder / "RD.dcm").grid.array, made.dose.array, atol=1e-3)
        names |= {roi.ROIName for roi in pydicom.dcmread(folder / "RS.dcm").StructureSetROISequence}
        for file in folder.rglob("*.dcm"):
            assert "SYNTHETIC PHANTOM" in pydicom.dcmread(file).SeriesDescription
    assert len(names) > len(STRUCTURES)  # not every patient's clinic names its ROIs alike


def test_the_same_as_nifti(tmp_path: Path) -> None:
    write_brachytherapy(tmp_path, patients=1, fractions=1, spacing=SPACING, matrix=MATRIX, file_format="nifti")
    folder = tmp_path / "PHANTOM-001" / "fraction-1"
    made = phantom_case(0, 0, 0, pelvic_geometry(SPACING, MATRIX))
    assert np.array_equal(read_volume(folder / "ct.nii.gz").array, made.scan.array)
    assert np.array_equal(read_volume(folder / "labels.nii.gz").array, made.structures.labels.array)
    assert {descrip(path) for path in folder.iterdir()} == {"SYNTHETIC PHANTOM"}


@pytest.mark.slow
def test_nifti_is_an_nnunet_dataset_with_its_patients(tmp_path: Path) -> None:
    layout = {"spacing": SPACING, "matrix": MATRIX, "file_format": "nifti"}
    write_brachytherapy(tmp_path / "raw", patients=2, fractions=2, **layout)  # type: ignore[arg-type]
    assert detect_layout(tmp_path / "raw") == "nnunet"
    cohort = ingest(tmp_path / "raw", tmp_path / "cohort", "nnunet", structures=STRUCTURES).cohort
    assert [(case.id, case.patient, case.fraction) for case in cohort.cases] == [
        (f"PHANTOM-{patient:03d}_f{fraction}", f"PHANTOM-{patient:03d}", fraction)
        for patient in (1, 2)
        for fraction in (1, 2)
    ]
    assert cohort.synthetic
    made = phantom_case(0, 1, 1, pelvic_geometry(SPACING, MATRIX))
    assert np.array_equal(read_volume(cohort.cases[3].labels).array, made.structures.labels.array)


def test_organs_are_written_in_totalsegmentators_layout(tmp_path: Path) -> None:
    write_organs(tmp_path, scans=2, spacing=SPACING, matrix=MATRIX)
    for number in range(2):
        folder = tmp_path / f"s{number:04d}"
        masks = {p.name.removesuffix(".nii.gz"): read_volume(p) for p in (folder / "segmentations").iterdir()}
        assert set(masks) == V1_CLASSES
        ct = read_volume(folder / "ct.nii.gz")
        assert {mask.geometry.offset(ct.geometry) < 1e-3 for mask in masks.values()} == {True}
        assert np.sum([mask.array.astype(int) for mask in masks.values()], axis=0).max() == 1
        assert masks["femur_left"].geometry.to_world(np.argwhere(masks["femur_left"].array))[:, 0].min() > 0
        assert descrip(folder / "ct.nii.gz") == "SYNTHETIC PHANTOM"


@pytest.mark.slow
def test_unlabelled_scans_are_mixed_in_form_and_view(tmp_path: Path) -> None:
    write_unlabelled(tmp_path, scans=4, spacing=SPACING, matrix=MATRIX)
    series = [entry for entry in find_series(tmp_path) if entry.modality == "CT"]
    files = sorted(tmp_path.glob("scan-*.nii.gz"))
    assert len(series) == 2 and len(files) == 2
    shapes = {read_ct_series(tmp_path / f"scan-{n:04d}").volume.array.shape for n in (1, 3)}
    shapes |= {read_volume(file).array.shape for file in files}
    assert len(shapes) > 2


@pytest.mark.slow
def test_a_broken_run_goes_on_and_other_settings_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(cohorts, "write_nifti_fraction", interrupted)
        with pytest.raises(KeyboardInterrupt):
            write_brachytherapy(tmp_path, patients=1, fractions=2, spacing=SPACING, matrix=MATRIX, file_format="nifti")
    assert not list(tmp_path.glob("PHANTOM-*/*"))
    write_brachytherapy(tmp_path, patients=1, fractions=1, spacing=SPACING, matrix=MATRIX, file_format="nifti")
    first = tmp_path / "PHANTOM-001" / "fraction-1" / "ct.nii.gz"
    written = first.stat().st_mtime_ns
    write_brachytherapy(tmp_path, patients=1, fractions=2, spacing=SPACING, matrix=MATRIX, file_format="nifti")
    assert first.stat().st_mtime_ns == written
    assert (tmp_path / "PHANTOM-001" / "fraction-2").is_dir()
    with pytest.raises(BadInput, match="other settings"):
        write_brachytherapy(
            tmp_path, patients=1, fractions=1, spacing=SPACING, matrix=MATRIX, seed=1, file_format="nifti"
        )
    with pytest.raises(BadInput, match="other settings"):
        write_brachytherapy(tmp_path, patients=1, fractions=1, spacing=SPACING, matrix=MATRIX, realism="clinical")


def test_a_cohort_without_the_setting_realism_goes_on_as_simple(tmp_path: Path) -> None:
    layout = {"patients": 1, "spacing": SPACING, "matrix": MATRIX, "file_format": "nifti"}
    write_brachytherapy(tmp_path, fractions=1, **layout)  # type: ignore[arg-type]
    record = tmp_path / "phantom.json"
    record.write_text(json.dumps({key: v for key, v in json.loads(record.read_text()).items() if key != "realism"}))
    assert write_brachytherapy(tmp_path, fractions=2, **layout) == 2  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "wrong",
    [
        {"matrix": (4, 48, 64)},
        {"matrix": (64, 48, 10**12)},
        {"spacing": (0.0, 1.0, 1.0)},
        {"spacing": (float("nan"), 1.0, 1.0)},
        {"spacing": (1.0, float("inf"), 1.0)},
        {"spacing": (1.0, 1.0, 0.01)},
        {"spacing": (100.0, 1.0, 1.0)},
        {"seed": -1},
        {"patients": 0},
        {"patients": 10**12},
        {"fractions": 0},
        {"fractions": 10**21},
    ],
)
def test_settings_out_of_range_are_refused(tmp_path: Path, wrong: dict[str, object]) -> None:
    with pytest.raises(BadInput, match=r"[eE]xpected"):
        write_brachytherapy(tmp_path, **({"patients": 1, "fractions": 1} | wrong))  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())
    with pytest.raises(ValidationError):
        PhantomSettings(**({"patients": 1, "fractions": 1} | wrong))


def test_the_finest_slices_are_at_different_positions(tmp_path: Path) -> None:
    grid = {"spacing": (FINEST_MM, 20.0, 20.0), "matrix": (FEWEST_VOXELS, 12, 16)}
    assert write_brachytherapy(tmp_path, patients=1, fractions=1, **grid) == 1  # type: ignore[arg-type]


@pytest.mark.parametrize("scans", [0, 10**9])
def test_cohorts_of_no_scans_or_too_many_are_refused(tmp_path: Path, scans: int) -> None:
    for write in (write_unlabelled, write_organs):
        with pytest.raises(BadInput, match="expected 1 to"):
            write(tmp_path, scans=scans)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("record", [b"", b"{", b"[]", b"null", b'{"spacing": NaN}', b"\xff"])
def test_a_damaged_record_of_settings_is_refused(tmp_path: Path, record: bytes) -> None:
    (tmp_path / "phantom.json").write_bytes(record)
    with pytest.raises(BadInput, match="choose another folder"):
        write_organs(tmp_path, scans=1)
    assert [path.name for path in tmp_path.iterdir()] == ["phantom.json"]


@pytest.mark.parametrize("name", ["README.txt", "s0000", "CT.dcm"])
def test_a_phantom_is_never_written_among_other_files(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("mine")
    with pytest.raises(BadInput, match="empty folder"):
        write_organs(tmp_path, scans=1)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["mine"]
    with pytest.raises(BadInput, match="is a file"):
        write_organs(tmp_path / name, scans=1)


@pytest.mark.slow
def test_parallel_processes_write_the_same_files(tmp_path: Path) -> None:
    size = {"spacing": (16.0, 12.0, 12.0), "matrix": (12, 24, 32)}
    for jobs in (1, 2):
        folder = tmp_path / str(jobs)
        assert write_brachytherapy(folder / "b", patients=1, fractions=2, jobs=jobs, **size) == 2  # type: ignore[arg-type]
        assert write_unlabelled(folder / "u", scans=2, jobs=jobs, **size) == 2  # type: ignore[arg-type]
        assert write_organs(folder / "o", scans=2, jobs=jobs, **size) == 2  # type: ignore[arg-type]
    clocks = ("RS.dcm", "RD.dcm")  # they have the time at which they were written
    one, two = (
        {
            path.relative_to(folder): path.read_bytes()
            for path in folder.rglob("*.*")
            if path.is_file() and path.name not in clocks
        }
        for folder in (tmp_path / "1", tmp_path / "2")
    )
    assert one == two
