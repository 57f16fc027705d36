import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import torch

from gynbtnet.imaging import (
    CTSeries,
    Geometry,
    Regions,
    Repairs,
    StructureNames,
    Volume,
    read_rtstruct,
    read_seg,
    read_volume,
    write_ct_series,
    write_volume,
)
from gynbtnet.inference import prediction_files
from gynbtnet.inference.batch_prediction import predict_scans
from gynbtnet.inference.engine.segmenter import Segmenter
from gynbtnet.inference.engine.settings import PredictionSettings
from gynbtnet.inference.models.model import Model
from gynbtnet.inference.prediction_request import PredictionRequest
from gynbtnet.inference.review import rules_sha256
from gynbtnet.inference.scan_prediction import predict_scan
from gynbtnet.inference.scans.scan_input import locate_scan
from gynbtnet.preparation import PostprocessingRule
from gynbtnet.runtime import BadInput, ScansFailed

QUICK = PredictionSettings(mirroring=False)
PATIENT = "Doe^Jane"
RECORDS = ("prediction.json", "preview.png")


def scan() -> Volume:
    geometry = Geometry((16, 32, 36), (2.0, 1.5, 1.5), (-20.0, -30.0, 40.0))
    distance = np.linalg.norm(
        (np.moveaxis(np.indices(geometry.shape), 0, -1) - (8, 14, 20)) * geometry.spacing, axis=-1
    )
    return Volume((300 / (1 + np.exp((distance - 11) / 2)) - 100).astype(np.int16), geometry)


def as_dicom(folder: Path, description: str) -> CTSeries:
    return write_ct_series(
        scan(), folder, patient_id="somebody", study_description="pelvis", series_description=description, seed=1
    )


def predict_path(model: Segmenter, scan: Path, out: Path, **options: Any) -> Path:
    return predict_scan(model, PredictionRequest.from_path(model, scan, out, **options))


def test_dicom_in_rtstruct_out(bright_model: Model, tmp_path: Path) -> None:
    ct = as_dicom(tmp_path / "ct", "planning CT")
    out = predict_path(bright_model, tmp_path / "ct", tmp_path / "out", settings=QUICK)
    assert sorted(path.name for path in out.iterdir()) == ["RS.dcm", "labels.nii.gz", "patient.html", *RECORDS]

    labels = read_volume(out / "labels.nii.gz")
    assert labels.geometry.offset(ct.volume.geometry) < 1e-3
    structures = ("bladder", "rectum")
    drawn, _ = read_rtstruct(out / "RS.dcm", ct, structures, StructureNames.load())
    mask = labels.array == 1
    assert mask.any()
    assert 2 * (drawn.mask("bladder") & mask).sum() / (drawn.mask("bladder").sum() + mask.sum()) > 0.98

    rtstruct = pydicom.dcmread(out / "RS.dcm")
    assert "Research use only, not reviewed" in rtstruct.SeriesDescription
    assert "SYNTHETIC" not in rtstruct.SeriesDescription
    assert bright_model.sha256[:8] in rtstruct.SeriesDescription
    assert rtstruct.StructureSetLabel == f"GynBTNet {bright_model.sha256[:7]}"

    manifest = json.loads((out / "prediction.json").read_text())
    assert manifest["missing"] == ["rectum"]
    assert manifest["volumes_cm3"]["bladder"] == pytest.approx(mask.sum() * 4.5 / 1000, abs=1e-3)
    weights = (bright_model.folder / "weights_last.safetensors").read_bytes()
    assert manifest["model"] == {
        "name": "model",
        "weights": "weights_last.safetensors",
        "sha256": hashlib.sha256(weights).hexdigest(),
        "files": {"weights_last.safetensors": hashlib.sha256(weights).hexdigest()},
        "rules": rules_sha256(bright_model),
        "trained_on": None,
    }
    assert manifest["input"]["series_uid"] == ct.series_uid
    assert [(flag["structure"], flag["kind"]) for flag in manifest["flags"]] == [("rectum", "missing")]
    assert manifest["review"] == {"bladder": None, "rectum": True}
    assert manifest["predicted_dsc"] == {"bladder": None, "rectum": None}
    remarks = [roi.get("ROIDescription") for roi in rtstruct.StructureSetROISequence]
    assert remarks == [None, "REVIEW. Rectum was not found. Contour it manually unless it has been removed."]
    assert rtstruct.StructureSetDescription == "Review: Rectum. Flagged: Rectum. No predicted DSC: Bladder."
    assert manifest["seconds"].keys() == {"reading", "network", "export"}
    assert "somebody" not in (out / "prediction.json").read_text()


def test_predictions_are_postprocessed_and_repeated_if_the_rules_change(bright_model: Model, tmp_path: Path) -> None:
    write_volume(scan(), tmp_path / "scan.nii.gz")
    settings = QUICK.model_copy(update={"preview": False})

    def drawn(model: Model) -> float:
        out = predict_path(model, tmp_path / "scan.nii.gz", tmp_path / "out", settings=settings, force=True)
        return float(json.loads((out / "prediction.json").read_text())["volumes_cm3"]["bladder"])

    whole = drawn(bright_model)
    rule = PostprocessingRule("bladder", minimum_cm3=whole + 1)
    strict = replace(bright_model, plan=replace(bright_model.plan, postprocessing=(rule,)))
    assert whole > 0
    assert drawn(strict) == 0
    assert drawn(bright_model) == whole


def test_synthetic_scans_are_marked(bright_model: Model, tmp_path: Path) -> None:
    as_dicom(tmp_path / "ct", "SYNTHETIC phantom")
    out = predict_path(bright_model, tmp_path / "ct", tmp_path / "out", settings=QUICK)
    assert pydicom.dcmread(out / "RS.dcm").SeriesDescription.startswith("SYNTHETIC")
    manifest = json.loads((out / "prediction.json").read_text())
    assert manifest["synthetic"] is True
    assert manifest["notice"].startswith("SYNTHETIC")


def test_an_image_file_gets_labels_and_no_rtstruct(bright_model: Model, tmp_path: Path) -> None:
    write_volume(scan(), tmp_path / "scan.nii.gz")
    out = predict_path(bright_model, tmp_path / "scan.nii.gz", tmp_path / "out", settings=QUICK, synthetic=True)
    assert sorted(path.name for path in out.iterdir()) == ["labels.nii.gz", "patient.html", *RECORDS]
    manifest = json.loads((out / "prediction.json").read_text())
    assert manifest["input"]["sha256"] == hashlib.sha256((tmp_path / "scan.nii.gz").read_bytes()).hexdigest()
    assert manifest["synthetic"] is True
    with pytest.raises(BadInput, match=r"another prediction of this scan.*--force"):
        predict_path(bright_model, tmp_path / "scan.nii.gz", out, settings=QUICK)
    assert json.loads((out / "prediction.json").read_text())["synthetic"] is True
    predict_path(bright_model, tmp_path / "scan.nii.gz", out, settings=QUICK, force=True)
    assert json.loads((out / "prediction.json").read_text())["synthetic"] is False


def test_the_series_is_chosen_by_its_uid_or_its_size(
    bright_model: Model, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "gynbtnet")
    item, other = (as_dicom(tmp_path / "ct" / name, name) for name in ("one", "other"))
    chosen = json.loads(
        (
            predict_path(bright_model, tmp_path / "ct", tmp_path / "first", settings=QUICK) / "prediction.json"
        ).read_text()
    )
    assert chosen["input"]["series_uid"] == min(item.series_uid, other.series_uid)  # equal in size
    assert "Selected the largest of 2 CT series" in caplog.text
    assert "Selected the largest of 2 CT series" in chosen["notes"][0]
    out = predict_path(bright_model, tmp_path / "ct", tmp_path / "out", settings=QUICK, series_uid=other.series_uid)
    assert (
        json.loads((out / "prediction.json").read_text())["input"]["series_uid"] == other.series_uid != item.series_uid
    )


def test_seg_rtstruct_and_label_map_have_the_same_voxels(bright_model: Model, tmp_path: Path) -> None:
    series = as_dicom(tmp_path / "ct", "planning CT")
    settings = QUICK.model_copy(
        update={"contour_style": "exact", "hole_style": "inner", "outputs": ("rtstruct", "seg", "nifti")}
    )
    out = predict_path(bright_model, tmp_path / "ct", tmp_path / "out", settings=settings)
    structures, names = bright_model.plan.structures, StructureNames.load()
    labels = read_volume(out / "labels.nii.gz").array
    assert labels.any()
    assert np.array_equal(read_rtstruct(out / "RS.dcm", series, structures, names)[0].labels.array, labels)
    assert np.array_equal(read_seg(out / "SEG.dcm", series, structures, names)[0].labels.array, labels)


def test_a_repaired_series_is_predicted_and_the_repair_noted(bright_model: Model, tmp_path: Path) -> None:
    as_dicom(tmp_path / "ct", "planning CT").files[3].unlink()
    with pytest.raises(BadInput, match=r"lacks 1 slice.*--allow-missing-slices"):
        predict_path(bright_model, tmp_path / "ct", tmp_path / "out", settings=QUICK)
    repairs = Repairs(missing_slices=True)
    out = predict_path(bright_model, tmp_path / "ct", tmp_path / "out", settings=QUICK, repairs=repairs)
    assert json.loads((out / "prediction.json").read_text())["notes"][0].startswith("Interpolated 1 slice")
    drawn = pydicom.dcmread(out / "RS.dcm").ReferencedFrameOfReferenceSequence[0].RTReferencedStudySequence[0]
    assert len(drawn.RTReferencedSeriesSequence[0].ContourImageSequence) == len(list((tmp_path / "ct").iterdir()))


def test_nothing_half_written(bright_model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    as_dicom(tmp_path / "ct", "planning CT")

    def full(*_: object, **__: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(prediction_files, "write_rtstruct", full)
    with pytest.raises(OSError, match="No space left"):
        predict_path(bright_model, tmp_path / "ct", tmp_path / "out", settings=QUICK)
    assert not (tmp_path / "out").exists()


def test_an_up_to_date_prediction_is_kept(bright_model: Model, tmp_path: Path) -> None:
    scan_folder, out = tmp_path / "ct", tmp_path / "out"
    as_dicom(scan_folder, "planning CT")

    def is_written_again(model: Model = bright_model, settings: PredictionSettings = QUICK) -> bool:
        before = (out / "prediction.json").stat().st_ino
        predict_path(model, scan_folder, out, settings=settings, force=True)
        assert (out / "RS.dcm").is_file()
        return (out / "prediction.json").stat().st_ino != before

    predict_path(bright_model, scan_folder, out, settings=QUICK)
    assert not is_written_again()
    assert is_written_again(settings=PredictionSettings(mirroring=False, overlap=0.25))
    assert is_written_again()
    assert is_written_again(model=replace(bright_model, sha256="another"))
    assert is_written_again()
    (out / "RS.dcm").unlink()
    assert is_written_again()
    (out / "prediction.json").write_text("cut sho")
    assert is_written_again()
    assert not is_written_again()
    as_dicom(scan_folder, "another CT")
    with pytest.raises(BadInput, match="prediction of another scan"):
        is_written_again()


class OverlappingBright(torch.nn.Module):
    """Network of overlapping structures that finds both above one standard deviation."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return torch.cat([image - 1, image - 1], 1)


def test_masks_of_overlapping_structures_are_kept_and_replaced(bright_model: Model, tmp_path: Path) -> None:
    """They are a folder, which is up to date only with every mask, and ours only with nothing else in it."""
    plan = replace(bright_model.plan, regions=Regions(("bladder", "rectum"), ((1, 3), (2, 3))))
    model = replace(bright_model, plan=plan, network=OverlappingBright())
    write_volume(scan(), tmp_path / "scan.nii.gz")
    out = tmp_path / "out"

    def is_written_again() -> bool:
        before = (out / "prediction.json").stat().st_ino
        predict_path(model, tmp_path / "scan.nii.gz", out, settings=QUICK, force=True)
        return (out / "prediction.json").stat().st_ino != before

    predict_path(model, tmp_path / "scan.nii.gz", out, settings=QUICK)
    assert sorted(path.name for path in (out / "masks").iterdir()) == ["bladder.nii.gz", "rectum.nii.gz"]
    assert not is_written_again()
    (out / "masks" / "rectum.nii.gz").unlink()
    assert is_written_again()
    assert (out / "masks" / "rectum.nii.gz").is_file()
    (out / "masks" / "bladder.nii.gz").unlink()
    (out / "masks" / "letter.txt").write_text("mine")
    with pytest.raises(BadInput, match="would be replaced"):
        is_written_again()


def test_a_manifest_of_an_earlier_version_is_recognised(bright_model: Model, tmp_path: Path) -> None:
    """A setting has its old name there; the prediction is up to date nevertheless."""
    write_volume(scan(), tmp_path / "scan.nii.gz")
    out = predict_path(bright_model, tmp_path / "scan.nii.gz", tmp_path / "out", settings=QUICK)
    manifest = json.loads((out / "prediction.json").read_text())
    manifest["settings"]["review_below"] = manifest["settings"].pop("review_dsc_threshold")
    (out / "prediction.json").write_text(json.dumps(manifest))
    predict_path(bright_model, tmp_path / "scan.nii.gz", out, settings=QUICK)
    with pytest.raises(BadInput, match="another prediction of this scan"):
        predict_path(
            bright_model,
            tmp_path / "scan.nii.gz",
            out,
            settings=PredictionSettings(mirroring=False, review_dsc_threshold=0.8),
        )


@pytest.mark.parametrize("relative", [".", "ct", "ct/out"])
def test_a_prediction_is_never_written_over_or_into_the_scan(
    bright_model: Model, tmp_path: Path, relative: str
) -> None:
    as_dicom(tmp_path / "ct", "planning CT")
    files = sorted(tmp_path.rglob("*"))
    with pytest.raises(BadInput, match="give a separate output folder"):
        predict_path(bright_model, tmp_path / "ct", tmp_path / relative, settings=QUICK)
    assert sorted(tmp_path.rglob("*")) == files


def test_a_folder_of_something_else_is_not_replaced(bright_model: Model, tmp_path: Path) -> None:
    as_dicom(tmp_path / "scans" / "ct", "planning CT")
    out = tmp_path / "out" / "ct"
    out.mkdir(parents=True)
    (out / "letter.txt").write_text("mine")
    with pytest.raises(BadInput, match=r"would be replaced.*letter\.txt"):
        predict_path(bright_model, tmp_path / "scans" / "ct", out, settings=QUICK)
    (out / "letter.txt").rename(tmp_path / "letter.txt")
    predict_path(bright_model, tmp_path / "scans" / "ct", out, settings=QUICK)
    with pytest.raises(BadInput, match="is a file"):
        predict_path(bright_model, tmp_path / "scans" / "ct", tmp_path / "letter.txt", settings=QUICK)


def test_a_reviewed_prediction_is_not_replaced(bright_model: Model, tmp_path: Path) -> None:
    as_dicom(tmp_path / "ct", "planning CT")
    out = predict_path(bright_model, tmp_path / "ct", tmp_path / "out", settings=QUICK)
    (out / "review" / "001").mkdir(parents=True)
    predict_path(bright_model, tmp_path / "ct", out, settings=QUICK)  # up to date
    with pytest.raises(BadInput, match="has a review, which would be lost"):
        predict_path(
            bright_model, tmp_path / "ct", out, settings=PredictionSettings(mirroring=False, overlap=0.25), force=True
        )


def test_one_slice_is_no_scan(bright_model: Model, tmp_path: Path) -> None:
    ct = as_dicom(tmp_path / "ct", "planning CT")
    with pytest.raises(BadInput, match="give the folder, not one slice"):
        predict_path(bright_model, ct.files[0], tmp_path / "out", settings=QUICK)


def test_a_folder_of_image_files_is_no_scan(bright_model: Model, tmp_path: Path) -> None:
    write_volume(scan(), tmp_path / "s0000" / "ct.nii.gz")
    with pytest.raises(BadInput, match=r"give the file of the scan \(ct\.nii\.gz\?\)"):
        predict_path(bright_model, tmp_path / "s0000", tmp_path / "out", settings=QUICK)


def with_twin_slices(folder: Path) -> None:
    """Two slices share a SOPInstanceUID, so that no contour can refer to one of them."""
    files = sorted(folder.iterdir())
    dataset = pydicom.dcmread(files[3])
    dataset.SOPInstanceUID = pydicom.dcmread(files[4], stop_before_pixels=True).SOPInstanceUID
    dataset.save_as(files[3])


def test_a_file_that_fails_does_not_affect_the_others(bright_model: Model, tmp_path: Path) -> None:
    as_dicom(tmp_path / "ct", "planning CT")
    with_twin_slices(tmp_path / "ct")
    settings = QUICK.model_copy(update={"outputs": ("rtstruct", "seg", "nifti")})
    for _ in range(2):  # kept as it is, and reported again
        with pytest.raises(BadInput, match=r"written without RS.dcm and SEG.dcm. RS.dcm: .* share a SOPInstanceUID"):
            predict_path(bright_model, tmp_path / "ct", tmp_path / "out", settings=settings)
        names = sorted(path.name for path in (tmp_path / "out").iterdir())
        assert names == ["labels.nii.gz", "patient.html", *RECORDS]
    manifest = json.loads((tmp_path / "out" / "prediction.json").read_text())
    assert manifest["files"] == ["labels.nii.gz", "preview.png", "patient.html"]
    assert list(manifest["failed"]) == ["RS.dcm", "SEG.dcm"]
    assert "share a SOPInstanceUID" in manifest["notes"][0]
    assert (read_volume(tmp_path / "out" / "labels.nii.gz").array == 1).any()


def test_without_any_contours_nothing_is_written(bright_model: Model, tmp_path: Path) -> None:
    as_dicom(tmp_path / "ct", "planning CT")
    with_twin_slices(tmp_path / "ct")
    for outputs in (("rtstruct",), ("seg", "rtstruct")):
        settings = QUICK.model_copy(update={"outputs": outputs})
        with pytest.raises(BadInput, match="share a SOPInstanceUID"):
            predict_path(bright_model, tmp_path / "ct", tmp_path / "out", settings=settings)
        assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("writer", "file"),
    [
        ("write_rtstruct", "RS.dcm"),
        ("write_seg", "SEG.dcm"),
        ("write_volume", "labels.nii.gz"),
        ("write_preview", "preview.png"),
        ("write_patient_page", "patient.html"),
    ],
)
def test_any_one_file_may_fail(
    bright_model: Model,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    writer: str,
    file: str,
) -> None:
    caplog.set_level("DEBUG", "gynbtnet")
    as_dicom(tmp_path / "ct", "planning CT")

    def broken(*arguments: object, **_: object) -> None:
        for item in arguments:
            if isinstance(item, Path):
                item.write_text("half")
        raise ValueError(f"{PATIENT} has no such value")

    monkeypatch.setattr(prediction_files, writer, broken)
    settings = QUICK.model_copy(update={"outputs": ("rtstruct", "seg", "nifti")})
    with pytest.raises(BadInput, match=rf"written without {file}. .*could not be made \(ValueError\)") as caught:
        predict_path(bright_model, tmp_path / "ct", tmp_path / "out", settings=settings)
    assert "Doe" not in str(caught.value)
    (record,) = (record for record in caplog.records if record.name == prediction_files.__name__)
    assert "ValueError" in record.getMessage()
    assert "in broken" in record.getMessage()  # the traceback, without the text that names a patient
    assert "Doe" not in record.getMessage()
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert written == {"RS.dcm", "SEG.dcm", "labels.nii.gz", "patient.html", *RECORDS} - {file}


def test_a_scan_without_its_rtstruct_is_listed_among_several(bright_model: Model, tmp_path: Path) -> None:
    requests = {}
    for name in ("a", "b"):
        as_dicom(tmp_path / "ct" / name, name)
        files = locate_scan(tmp_path / "ct" / name, bright_model.channels)
        requests[name] = PredictionRequest(files, tmp_path / "out" / name, QUICK)
    with_twin_slices(tmp_path / "ct" / "a")
    with pytest.raises(ScansFailed, match="1 of 2 scans failed") as caught:
        predict_scans(bright_model, tmp_path / "model", requests)
    assert [name for name, _ in caught.value.failed] == ["a"]
    assert (tmp_path / "out" / "a" / "labels.nii.gz").is_file()
    assert (tmp_path / "out" / "b" / "RS.dcm").is_file()
