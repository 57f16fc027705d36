"""An ingested cohort and an nnU-Net raw dataset are read as a cohort, with their ids, names and split."""

import json
from pathlib import Path

import numpy as np
import pytest

from gynbtnet.datasets import ADAPTERS, ingest, read_folds
from gynbtnet.datasets.adapters.layout_detection import detect_layout
from gynbtnet.datasets.nnunet_folds import load_split
from gynbtnet.datasets.split import Split, split_patients
from gynbtnet.imaging import Volume, write_volume
from gynbtnet.runtime import BadInput

from .conftest import GRID, WriteExport, scan, sphere

NAMES = ("gyn_000", "gyn_001", "Gyn 2")


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """Write a dataset of nnU-Net with the names of a clinic."""
    folder = tmp_path / "Dataset007_Gyn"
    for seed, name in enumerate(NAMES):
        write_volume(scan(seed), folder / "imagesTr" / f"{name}_0000.nii.gz")
        labels = np.where(sphere("rectum"), 2, sphere("bladder").astype(np.uint8)).astype(np.uint8)
        write_volume(Volume(labels, GRID), folder / "labelsTr" / f"{name}.nii.gz")
    write_description(folder, {"background": 0, "Bladder": 1, "RECTUM": 2})
    return folder


def write_description(folder: Path, labels: dict[str, int]) -> None:
    description = {
        "channel_names": {"0": "CT"}, "labels": labels, "numTraining": len(NAMES), "file_ending": ".nii.gz",
    }  # fmt: skip
    (folder / "dataset.json").write_text(json.dumps(description))


def test_nnunets_case_names_and_its_split_are_kept(raw: Path, tmp_path: Path) -> None:
    cohort = ingest(raw, tmp_path / "cohort", detect_layout(raw), structures=("rectum", "bladder")).cohort
    assert sorted(case.id for case in cohort.cases) == sorted(NAMES)
    assert sorted(cohort.patients) == sorted(NAMES)
    assert cohort.cases[0].volumes_cm3["bladder"] == pytest.approx(
        (sphere("bladder") & ~sphere("rectum")).sum() * 12 / 1000
    )
    folds = [{"train": [b], "val": [a]} for a, b in ((NAMES[0], NAMES[1]), (NAMES[1], NAMES[0]))]
    (tmp_path / "splits_final.json").write_text(json.dumps(folds))
    split = load_split(tmp_path / "splits_final.json", cohort)
    assert split == read_folds(tmp_path / "splits_final.json", cohort)
    assert (split.test, split.folds) == (("Gyn 2",), (("gyn_000",), ("gyn_001",)))
    split.save(tmp_path / "split.json")
    assert load_split(tmp_path / "split.json", cohort) == split


def test_a_pseudonymised_cohort_does_not_keep_names(raw: Path, tmp_path: Path) -> None:
    from gynbtnet.datasets import PatientKey

    key = PatientKey.load(tmp_path / "key.csv", separate=True)
    cohort = ingest(raw, tmp_path / "cohort", "nnunet", key=key).cohort
    assert {case.id for case in cohort.cases} == {"patient-001_f1", "patient-002_f1", "patient-003_f1"}


@pytest.mark.parametrize(
    ("written", "patients"), [(["P1", "P1 ", "Bär"], 2), (["Bär", "Ba\u0308r", " Bär"], 1), ([0, 1, ""], 3)]
)
def test_a_listed_patient_in_two_spellings_is_one(raw: Path, tmp_path: Path, written: list, patients: int) -> None:
    description = json.loads((raw / "dataset.json").read_text())
    description["dataset"] = {
        name: {"images": [f"imagesTr/{name}_0000.nii.gz"], "label": f"labelsTr/{name}.nii.gz", "patient": patient}
        for name, patient in zip(NAMES, written, strict=True)
    }
    (raw / "dataset.json").write_text(json.dumps(description))
    cohort = ingest(raw, tmp_path / "cohort", "nnunet").cohort
    assert len(cohort.patients) == patients
    assert ("0" in cohort.patients) == (0 in written)


def test_two_labels_of_one_structure_are_refused(raw: Path, tmp_path: Path) -> None:
    write_description(raw, {"background": 0, "Bladder": 1, "BLADDER": 2})
    with pytest.raises(BadInput, match="has two labels for bladder"):
        ingest(raw, tmp_path / "cohort", "nnunet", structures=("bladder",))


def test_without_requested_structures_labels_keep_their_names(raw: Path, tmp_path: Path) -> None:
    assert ingest(raw, tmp_path / "cohort", "nnunet").cohort.structures == ("Bladder", "RECTUM")


def test_a_cohort_is_ingested_again_with_ids_patients_and_sources(write_export: WriteExport, tmp_path: Path) -> None:
    rois = {"Bladder": "bladder", "RECTUM": "rectum"}
    for number, (patient, automatic) in enumerate((("B", False), ("A", True), ("A", False))):
        write_export(tmp_path / "export" / str(number), patient, rois, number, automatic=automatic)
    first = ingest(tmp_path / "export", tmp_path / "first", structures=("bladder", "rectum")).cohort
    assert detect_layout(first.folder) == "nnunet"
    second = ingest(first.folder, tmp_path / "second", "nnunet", structures=("rectum",)).cohort
    for old, new in zip(first.cases, second.cases, strict=True):
        assert (new.id, new.patient, new.fraction, new.notes) == (old.id, old.patient, old.fraction, old.notes)
        assert (new.source.series_uid, new.source.ct_folder) == (old.source.series_uid, old.source.ct_folder)
        assert new.source.automatic == old.source.automatic
        assert new.volumes_cm3 == {"rectum": old.volumes_cm3["rectum"]}


@pytest.mark.parametrize(
    ("files", "layout"),
    [
        (["cohort.json", "dataset.json"], "nnunet"),
        (["dataset.json", "imagesTr/a_0000.nii.gz"], "nnunet"),
        (["dataset.json", "imagesTr/a.nii.gz"], "decathlon"),
        (["dataset.json"], "nnunet"),
        (["A/CT/1.dcm"], "dicom-rt"),
    ],
)
def test_layouts_are_recognised_by_their_files(files: list[str], layout: str, tmp_path: Path) -> None:
    for name in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert detect_layout(tmp_path) == layout
    assert layout in ADAPTERS


def test_a_split_that_can_not_be_used(raw: Path, tmp_path: Path) -> None:
    cohort = ingest(raw, tmp_path / "cohort", "nnunet").cohort
    (tmp_path / "split.json").write_text("no JSON")
    with pytest.raises(BadInput, match=r"expected split\.json of"):
        load_split(tmp_path / "split.json", cohort)
    Split(("x",), (("y",), ("z",)), 0).save(tmp_path / "split.json")
    with pytest.raises(BadInput, match="cohort"):
        load_split(tmp_path / "split.json", cohort)
    assert split_patients(cohort, 1, 2, 0).test
