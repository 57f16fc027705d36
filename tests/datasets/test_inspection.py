import os
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from matplotlib.image import imread

from gynbtnet.datasets.inspection import Inspection, inspect_folder
from gynbtnet.datasets.inspection_picture import write_inspection_picture
from gynbtnet.imaging import (
    Geometry,
    Segmentation,
    StructureNames,
    Volume,
    write_ct_series,
    write_rtdose,
    write_rtstruct,
    write_seg,
    write_volume,
)
from gynbtnet.runtime import BadInput

GRID = Geometry((8, 24, 20), (3.0, 2.0, 2.0), (-20.0, -30.0, 5.0))
NAMES = StructureNames.load()


@pytest.fixture
def clinic(tmp_path: Path) -> Path:
    """A CT with RTSTRUCT, SEG and RTDOSE, a label map, and an RTSTRUCT without its CT."""
    folder = tmp_path / "clinic"
    scan = Volume(np.random.default_rng(0).integers(-100, 200, GRID.shape).astype(np.int16), GRID)
    identity: dict[str, Any] = {
        "patient_id": "SECRET",
        "study_description": "test",
        "series_description": "test",
        "seed": 0,
    }
    ct = write_ct_series(scan, folder / "CT", **identity)
    labels = np.zeros(GRID.shape, np.uint8)
    labels[2:5, 4:12, 4:12], labels[3:6, 14:20, 6:12] = 1, 2
    contours = Segmentation(Volume(labels, ct.volume.geometry), ("hr_ctv", "Sandbag"))
    options: dict[str, Any] = {"names": NAMES, "description": "test", "software_version": "0", "automatic": False}
    write_rtstruct(contours, ct, folder / "RS.dcm", label="test", **options)
    write_seg(contours, ct, folder / "SEG.dcm", **options)
    write_rtdose(Volume(np.full((3, 3, 3), 7.0), Geometry((3, 3, 3))), ct, folder / "RD.dcm", description="test")
    write_volume(contours.labels, folder / "labels.nii.gz")
    lost = pydicom.dcmread(folder / "RS.dcm")
    frame = lost.ReferencedFrameOfReferenceSequence[0]
    frame.FrameOfReferenceUID = "1.2.3"
    frame.RTReferencedStudySequence[0].RTReferencedSeriesSequence[0].SeriesInstanceUID = "1.2.4"
    for roi in lost.StructureSetROISequence:
        roi.ReferencedFrameOfReferenceUID = "1.2.3"
    lost.save_as(folder / "lost.dcm")
    return folder


def by_path(inspection: Inspection) -> dict[str, tuple[str, str, str, str]]:
    return {item.path: (item.kind, item.size, item.contents, item.problem) for item in inspection.items}


def test_every_item_is_described(clinic: Path) -> None:
    grid = "8 × 24 × 20 of 3 × 2 × 2 mm"
    inspection = inspect_folder(clinic, NAMES)
    rois = "“CTV_High” = hr_ctv (3 contours), “Sandbag” = ? (3 contours)"
    assert by_path(inspection) == {
        "CT": ("CT", grid, "-100 to 199", ""),
        "RS.dcm": ("RTSTRUCT", "ROIs: 2", rois, ""),
        "lost.dcm": ("RTSTRUCT", "ROIs: 2", rois, "The CT that it was drawn on is not here; export it too."),
        "SEG.dcm": ("SEG", "segments: 2", "“CTV_High” = hr_ctv, “Sandbag” = ?", ""),
        "RD.dcm": ("RTDOSE", "3 × 3 × 3 of 1 × 1 × 1 mm", "physical dose of plan, up to 7.00 Gy", ""),
        "labels.nii.gz": ("image", grid, "labels, 0 to 2", ""),
    }
    assert {item.patient for item in inspection.items} == {None, 1}
    assert "SECRET" not in repr(inspection.items)
    ((path, view),) = inspection.views
    assert path == "CT"
    assert view.prediction.structures == ("hr_ctv", "Sandbag")


def test_unusable_files_are_reported_and_the_rest_is_shown(clinic: Path) -> None:
    sorted((clinic / "CT").iterdir())[3].unlink()
    (clinic / "cut.nii.gz").write_bytes((clinic / "labels.nii.gz").read_bytes()[:-9])
    rtdose = pydicom.dcmread(clinic / "RD.dcm")
    rtdose.DoseUnits = "RELATIVE"
    rtdose.save_as(clinic / "RD.dcm")
    problems = {path: problem for path, (_, _, _, problem) in by_path(inspect_folder(clinic, NAMES)).items()}
    assert "--allow-missing-slices" in problems["CT"]
    assert problems["RS.dcm"] == "The CT that it was drawn on can't be read."
    assert "units of “RELATIVE”" in problems["RD.dcm"]
    assert "damaged or cut short" in problems["cut.nii.gz"]
    assert problems["SEG.dcm"] == problems["labels.nii.gz"] == ""


def test_a_structure_set_on_images_of_another_modality_names_it(clinic: Path) -> None:
    header = pydicom.dcmread(clinic / "lost.dcm")
    frame = header.ReferencedFrameOfReferenceSequence[0]
    for image in frame.RTReferencedStudySequence[0].RTReferencedSeriesSequence[0].ContourImageSequence:
        image.ReferencedSOPClassUID = pydicom.uid.MRImageStorage
    header.save_as(clinic / "MR.dcm")
    del header.StructureSetROISequence, header.ROIContourSequence
    header.save_as(clinic / "empty.dcm")
    items = by_path(inspect_folder(clinic, NAMES))
    assert items["MR.dcm"][2].endswith("(drawn on MR Image Storage)")
    assert items["empty.dcm"][1:] == ("ROIs: 0", "drawn on MR Image Storage", "")


def test_the_picture_shows_scan_and_contours(clinic: Path, tmp_path: Path) -> None:
    write_inspection_picture(inspect_folder(clinic, NAMES), NAMES, tmp_path / "inspection.png")
    picture = imread(tmp_path / "inspection.png")[..., :3]
    red = (picture[..., 0] > 0.8) & (picture[..., 1] < 0.4) & (picture[..., 2] < 0.4)
    assert red.sum() > 100  # the target's line
    assert 0.05 < picture.mean() < 0.8


def test_names_that_are_not_utf8_or_mathematics_are_drawn(clinic: Path, tmp_path: Path) -> None:
    odd = os.fsdecode(b"sc\xffan $\\frac$")
    try:
        (clinic / "CT").rename(clinic / odd)
    except OSError:
        pytest.skip("the file system takes only UTF-8")
    inspection = inspect_folder(clinic, NAMES)
    write_inspection_picture(inspection, NAMES, tmp_path / "inspection.png")
    assert imread(tmp_path / "inspection.png").size
    assert ["is not UTF-8; rename" in item.problem for item in inspection.items if item.kind == "CT"] == [True]


def test_a_folder_without_scans_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(BadInput, match="contains no DICOM and no image file"):
        inspect_folder(tmp_path, NAMES)


def test_predictions_are_reported_and_do_not_make_a_persons_contours_ambiguous(clinic: Path) -> None:
    header = pydicom.dcmread(clinic / "RS.dcm")
    header.SOPInstanceUID = pydicom.uid.generate_uid()
    for roi in header.StructureSetROISequence:
        roi.ROIGenerationAlgorithm = "AUTOMATIC"
    header.save_as(clinic / "predicted.dcm")
    items = by_path(inspect_folder(clinic, NAMES))
    assert "GynBTNet predicted these contours, and nobody has approved them." in items["predicted.dcm"][2]
    assert "predicted" not in items["RS.dcm"][2]
    assert (items["RS.dcm"][3], items["predicted.dcm"][3]) == ("", "")


def test_contours_and_doses_of_another_patient_are_problems(clinic: Path) -> None:
    """Ingest and dose refuse them; the PatientID is not shown."""
    for name in ("RS.dcm", "RD.dcm"):
        file = pydicom.dcmread(clinic / name)
        file.PatientID = f"OTHER {name}"
        file.save_as(clinic / name)
    items = by_path(inspect_folder(clinic, NAMES))
    assert items["RS.dcm"][3].startswith("It has another PatientID than the CT that it was drawn on")
    assert "RD.dcm has another PatientID than the CT" in items["RD.dcm"][3]
    assert "OTHER" not in str(items)
    dose = pydicom.dcmread(clinic / "RD.dcm")
    dose.PatientID = "OTHER RS.dcm"  # as the contours
    dose.save_as(clinic / "RD.dcm")
    assert by_path(inspect_folder(clinic, NAMES))["RD.dcm"][3] == ""


def test_scans_without_patient_id_are_of_several_patients(tmp_path: Path) -> None:
    scan = Volume(np.zeros(GRID.shape, np.int16), GRID)
    for seed in range(2):
        write_ct_series(
            scan, tmp_path / str(seed), patient_id="", study_description="a", series_description="a", seed=seed
        )
    assert [item.patient for item in inspect_folder(tmp_path, NAMES).items] == [1, 2]
