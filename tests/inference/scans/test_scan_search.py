"""Every scan in the given files and folders is found once, and its prediction gets a name that stays."""

import json
import shutil
from pathlib import Path

import numpy as np
import pydicom
import pytest

from gynbtnet.datasets import ingest
from gynbtnet.imaging import CTSeries, Geometry, Volume, write_ct_series, write_volume
from gynbtnet.inference.scans.scan_search import find_scans
from gynbtnet.runtime import BadInput

SCAN = Volume(np.zeros((4, 6, 6), np.int16), Geometry((4, 6, 6), (3.0, 1.0, 1.0)))
CT = ("CT",)
OUT = Path("absent")


def dicom(folder: Path, seed: int, patient: str = "A", slices: int = 4) -> CTSeries:
    volume = Volume(np.zeros((slices, 6, 6), np.int16), Geometry((slices, 6, 6), (3.0, 1.0, 1.0)))
    words = {"study_description": "SYNTHETIC", "series_description": "SYNTHETIC"}
    return write_ct_series(volume, folder, patient_id=patient, seed=seed, **words)


def names(*inputs: Path) -> list[str]:
    search = find_scans(inputs, CT, OUT)
    assert search.failed == ()
    return list(search.scans)


def test_patients_nested_and_image_files_mixed(tmp_path: Path) -> None:
    for number, relative in enumerate(("A/fraction-1", "A/fraction-2", "B/fraction-1")):
        dicom(tmp_path / "export" / relative / "CT", number, relative[0])
    write_volume(SCAN, tmp_path / "export" / "C.nii.gz")
    write_volume(SCAN, tmp_path / "export" / "C_labels.nii.gz")
    search = find_scans([tmp_path / "export"], CT, OUT).scans
    assert list(search) == ["patient-001_f1", "patient-001_f2", "patient-002_f1", "C"]
    assert [scan.series is None for scan in search.values()] == [False, False, False, True]


def test_a_scan_has_the_same_name_whatever_is_given_with_it(tmp_path: Path) -> None:
    dicom(tmp_path / "A" / "CT" / "1", 1)
    dicom(tmp_path / "B" / "fraction-1", 2, "B")
    write_volume(SCAN, tmp_path / "pelvis.nrrd")
    assert names(tmp_path / "A", tmp_path / "pelvis.nrrd") == ["patient-001_f1", "pelvis"]
    assert names(tmp_path) == ["patient-001_f1", "patient-002_f1", "pelvis"]


def test_scans_of_different_folders_in_one_folder_of_predictions(tmp_path: Path) -> None:
    """The key and the earlier predictions give each patient a study ID, and each scan a fraction, that stay."""
    out, series = tmp_path / "out", {}
    for number, (patient, folder) in enumerate((("B", "fraction-1"), ("A", "fraction-1"), ("B", "fraction-2"))):
        series[folder, patient] = dicom(tmp_path / patient / folder, number, patient)
        search = find_scans([tmp_path / patient / folder], CT, out)
        (name,) = search.scans
        assert name == ["patient-001_f1", "patient-002_f1", "patient-001_f2"][number]
        search.key.save()
        (out / name).mkdir(parents=True)
        record = {"input": {"series_uid": series[folder, patient].series_uid}}
        (out / name / "prediction.json").write_text(json.dumps(record))
    again = find_scans([tmp_path / "A", tmp_path / "B"], CT, out)
    assert list(again.scans) == ["patient-002_f1", "patient-001_f1", "patient-001_f2"]
    assert dict(again.key.study_ids) == {"B": "patient-001", "A": "patient-002"}


def test_series_mixed_in_one_folder_have_their_patients_names(tmp_path: Path) -> None:
    (tmp_path / "flat").mkdir()
    series = [dicom(tmp_path / str(seed), seed, str(seed)) for seed in (1, 2)]
    for item in series:
        for path in item.files:
            path.rename(tmp_path / "flat" / f"{item.patient_id}-{path.name}")
    assert sorted(names(tmp_path / "flat")) == ["patient-001_f1", "patient-002_f1"]


@pytest.mark.parametrize("patient", ["", " "])
def test_scans_without_patient_id_are_of_one_patient_only_in_one_study(tmp_path: Path, patient: str) -> None:
    """Folders of anonymised exports have the same name for every patient."""
    first, second = (dicom(tmp_path / who / "CT", seed, patient) for seed, who in enumerate("AB"))
    dicom(tmp_path / "C" / "CT", 2, "known")
    search = find_scans([tmp_path], CT, OUT)
    studies = [str(pydicom.dcmread(series.files[0]).StudyInstanceUID) for series in (first, second)]
    assert sorted(search.scans) == ["patient-001_f1", "patient-002_f1", "patient-003_f1"]
    assert set(search.key.study_ids) == {*studies, "known"}
    noted = {scan.path.parent.name: scan.note for scan in search.scans.values()}
    assert noted["C"] is None and "no PatientID" in str(noted["A"]) and noted["A"] == noted["B"]
    in_one_study = tmp_path / "A" / "second"
    shutil.copytree(tmp_path / "B" / "CT", in_one_study)
    for path in in_one_study.iterdir():
        slice_ = pydicom.dcmread(path)
        uids = {"StudyInstanceUID": studies[0], "SeriesInstanceUID": "1.2.3", "FrameOfReferenceUID": "1.2.4"}
        for keyword, uid in uids.items():
            setattr(slice_, keyword, uid)
        slice_.SOPInstanceUID = slice_.file_meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
        slice_.save_as(path)
    assert len(find_scans([tmp_path / "A"], CT, OUT).key.study_ids) == 1
    assert len(find_scans([tmp_path / "A"], CT, OUT).scans) == 2


def test_cases_of_a_cohort_keep_their_ids_and_come_from_their_dicom_files(tmp_path: Path) -> None:
    dicom(tmp_path / "export" / "x", 1)
    dicom(tmp_path / "export" / "y", 2, "B", slices=5)
    cohort = ingest(tmp_path / "export", tmp_path / "cohort", "scans").cohort
    search = find_scans([cohort.folder], CT, OUT)
    assert list(search.scans) == [case.id for case in cohort.cases] == ["patient-001_f1", "patient-002_f1"]
    assert [scan.series and scan.series.series_uid for scan in search.scans.values()] == [
        case.source.series_uid for case in cohort.cases
    ]
    assert all(scan.synthetic for scan in search.scans.values())
    shutil.rmtree(tmp_path / "export" / "x")
    first, second = find_scans([cohort.folder], CT, OUT).scans.values()
    assert (first.path, first.series) == (cohort.cases[0].image, None)
    assert "no longer exist" in first.warnings[0]
    assert second.series is not None
    with pytest.raises(BadInput, match="has the channels CT, but the model reads CT, T2"):
        find_scans([cohort.folder], ("CT", "T2"), OUT)


def image_cohort(folder: Path, *channels: str) -> Path:
    """Return a cohort of one scan of images."""
    hu = np.random.default_rng(0).normal(0, 300, SCAN.array.shape).astype(np.int16)
    for number in range(len(channels)):
        write_volume(Volume(hu, SCAN.geometry), folder / "images" / f"scan_{number:04d}.nii.gz")
    return ingest(folder / "images", folder / "cohort", "scans", channels=channels).cohort.folder


@pytest.mark.parametrize(
    ("cohort", "model"),
    [(("MR",), ("CT",)), (("CT",), ("MR",)), (("MR", "CT"), ("CT", "MR")), (("CT", "T2", "T1"), ("CT", "T1", "T2"))],
)
def test_a_cohort_of_other_channels_is_refused(tmp_path: Path, cohort: tuple[str, ...], model: tuple[str, ...]) -> None:
    with pytest.raises(BadInput, match=f"has the channels {', '.join(cohort)}, but the model reads {', '.join(model)}"):
        find_scans([image_cohort(tmp_path, *cohort)], model, OUT)


@pytest.mark.parametrize("model", [("ct", "Mr"), (" CT ", "MR"), ("zscore", "noNorm"), ("CT", "rescale_to_0_1")])
def test_channels_of_a_cohort_may_differ_in_case_or_have_the_names_of_schemes(
    tmp_path: Path, model: tuple[str, ...]
) -> None:
    """In folders of nnU-Net a channel can be named after its normalisation: its kind is unknown."""
    (scan,) = find_scans([image_cohort(tmp_path, "CT", "MR")], model, OUT).scans.values()
    assert len(scan.channels) == 1 and scan.warnings == ()


def test_a_possible_other_spelling_of_a_channel_is_a_warning(tmp_path: Path) -> None:
    (scan,) = find_scans([image_cohort(tmp_path, "CT", "T2")], ("CT", "MR"), OUT).scans.values()
    assert scan.warnings == ("The cohort calls a channel T2 that the model calls MR; check that they are equal.",)


def test_of_one_acquisition_one_series_is_taken(tmp_path: Path) -> None:
    """A second reconstruction: the same study and frame of reference, fewer slices."""
    thin, thick = dicom(tmp_path / "in" / "thin", 1), dicom(tmp_path / "in" / "thick", 2, slices=3)
    for path in thick.files:
        header = pydicom.dcmread(path)
        header.StudyInstanceUID, header.FrameOfReferenceUID = thin.study_uid, thin.frame_of_reference_uid
        header.save_as(path)
    (scan,) = find_scans([tmp_path / "in"], CT, OUT).scans.values()
    assert scan.series and scan.series.series_uid == thin.series_uid
    assert scan.note and "Selected the largest" in scan.note
    (scan,) = find_scans([tmp_path / "in"], CT, OUT, series_uid=thick.series_uid).scans.values()
    assert scan.series and scan.series.series_uid == thick.series_uid


def test_damaged_scans_are_reported_and_the_others_found(tmp_path: Path) -> None:
    dicom(tmp_path / "in" / "good", 1)
    bad = dicom(tmp_path / "in" / "bad", 2, "B").files[0]
    bad.write_bytes(bad.read_bytes()[:300])
    search = find_scans([tmp_path / "in"], CT, OUT)
    assert list(search.scans) == ["patient-001_f1"]
    ((relative, reason),) = search.failed
    assert relative.endswith("bad") and bad.name in reason
    with pytest.raises(BadInput, match=bad.name):
        find_scans([tmp_path / "in" / "bad"], CT, OUT)


def test_an_mr_alone_is_no_ct(tmp_path: Path) -> None:
    for path in dicom(tmp_path / "mr", 1).files:
        header = pydicom.dcmread(path)
        header.Modality, header.SOPClassUID = "MR", pydicom.uid.MRImageStorage
        header.save_as(path)
    with pytest.raises(BadInput, match=r"There is no CT below .*mr \(found: MR\)"):
        find_scans([tmp_path / "mr"], CT, OUT)


def test_options_of_one_scan_are_refused_for_several(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="--series is for one scan, but 2 inputs are given"):
        find_scans([tmp_path, tmp_path], CT, OUT, series_uid="1.2")
    dicom(tmp_path / "in", 1)
    with pytest.raises(BadInput, match="one channel, but the model reads CT, T2"):
        find_scans([tmp_path / "in"], ("CT", "T2"), OUT)
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadInput, match="no DICOM file at all"):
        find_scans([tmp_path / "empty"], CT, OUT)


def test_several_channels_are_found_next_to_their_first(tmp_path: Path) -> None:
    for number in range(2):
        for channel in range(2):
            write_volume(SCAN, tmp_path / "in" / f"two_{number}_{channel:04d}.nii.gz")
    search = find_scans([tmp_path / "in"], ("CT", "T2"), OUT).scans
    assert list(search) == ["two_0", "two_1"]
    assert [scan.channels[0].name for scan in search.values()] == ["two_0_0001.nii.gz", "two_1_0001.nii.gz"]
