"""The import phantom against an independent reading of its DICOM, and the form."""

import shutil
from pathlib import Path

import numpy as np
import pydicom
import pytest

from gynbtnet.commissioning.import_form import FORM, ImportForm, compare_form, write_form
from gynbtnet.commissioning.import_phantom import SHAPES, volumes, write_import_phantom
from gynbtnet.imaging import read_ct_series
from gynbtnet.runtime import BadInput


@pytest.fixture(scope="module")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("import") / "check"
    write_import_phantom(folder)
    return folder


def measured(path: Path) -> dict[str, tuple[float, float, np.ndarray]]:
    """Return volume to the last slice, volume with half slices (cm³) and centre (mm) of each ROI, by its polygons."""
    dataset, found = pydicom.dcmread(path), {}
    for roi, contours in zip(dataset.StructureSetROISequence, dataset.ROIContourSequence, strict=True):
        areas: dict[float, float] = {}
        moments = np.zeros(3)
        for contour in contours.ContourSequence:
            x, y, z = np.array(contour.ContourData, float).reshape(-1, 3).T
            cross = x * np.roll(y, -1) - np.roll(x, -1) * y
            area = cross.sum() / 2
            centre = [((c + np.roll(c, -1)) * cross).sum() / 6 / area for c in (x, y)]
            areas[z[0]] = areas.get(z[0], 0.0) + abs(area)
            moments += abs(area) * np.array([*centre, z[0]])
        heights = np.array(sorted(areas))
        values = np.array([areas[z] for z in heights])
        whole = float(values.sum()) * 3 / 1000
        found[roi.ROIName] = (np.trapezoid(values, heights) / 1000, whole, moments / values.sum())
    return found


def test_what_is_written_has_the_known_volumes_and_centres(phantom: Path) -> None:
    found = measured(phantom / "RS.dcm")
    assert list(found) == list(SHAPES)
    for name, (to_last, whole, centre) in found.items():
        known = volumes(name)
        assert to_last == pytest.approx(known.to_last_slice, rel=0.007)
        assert whole == pytest.approx(known.half_slice_beyond, rel=0.007)
        assert np.abs(centre - SHAPES[name].centre).max() < 0.05
    assert volumes("IMPORT_BALL").half_slice_beyond == pytest.approx(4 / 3 * np.pi * 2**3, rel=0.01)
    inside = volumes("IMPORT_INNER").half_slice_beyond / volumes("IMPORT_OUTER").half_slice_beyond
    assert inside == pytest.approx(0.4**3, rel=0.02)


def test_contours_lie_on_bright_shapes(phantom: Path) -> None:
    ct = read_ct_series(phantom / "CT").volume
    for name, shape in SHAPES.items():
        if name != "IMPORT_C":
            assert ct.array[ct.geometry.nearest_voxel(shape.centre)] >= 80
    assert (ct.array.min(), ct.array[ct.geometry.nearest_voxel((10.0, -20.0, 80.0))]) == (-1000, 0)


def test_it_is_written_once(phantom: Path) -> None:
    before = (phantom / "RS.dcm").read_bytes()
    write_import_phantom(phantom)
    assert (phantom / "RS.dcm").read_bytes() == before


def test_files_next_to_the_phantom_are_kept(tmp_path: Path) -> None:
    """A user moves RS.dcm to the planning system; the form and the scan that it has imported stay."""
    write_import_phantom(tmp_path)
    write_form(tmp_path / FORM)
    (tmp_path / FORM).write_text(f"{(tmp_path / FORM).read_text()}# filled in")
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "CT" / "sent.txt").write_text("to the planning system")
    (tmp_path / "RS.dcm").rename(tmp_path.with_name(f"{tmp_path.name}-RS.dcm"))
    write_import_phantom(tmp_path)
    assert (tmp_path / FORM).read_text().endswith("# filled in")
    assert (tmp_path / "notes.txt").read_text() == "mine" and (tmp_path / "CT" / "sent.txt").is_file()
    series = read_ct_series(tmp_path / "CT")
    assert pydicom.dcmread(tmp_path / "RS.dcm").FrameOfReferenceUID == series.frame_of_reference_uid
    assert list(measured(tmp_path / "RS.dcm")) == list(SHAPES)


def test_an_absent_scan_is_written_again_with_its_uids(tmp_path: Path) -> None:
    write_import_phantom(tmp_path)
    rtstruct, series = (tmp_path / "RS.dcm").read_bytes(), read_ct_series(tmp_path / "CT")
    shutil.rmtree(tmp_path / "CT")
    write_import_phantom(tmp_path)
    assert (tmp_path / "RS.dcm").read_bytes() == rtstruct
    assert [image.sop_instance_uid for image in read_ct_series(tmp_path / "CT").slices] == [
        image.sop_instance_uid for image in series.slices
    ]


def filled(coordinates: str = "dicom") -> dict[str, object]:
    rois = {}
    for name, shape in SHAPES.items():
        x, y, z = shape.centre
        if coordinates == "iec":
            y, z = z, -y
        volume = round(volumes(name).half_slice_beyond, 2)
        rois[name] = {"name": name, "volume_cm3": volume, "x_mm": round(x, 1), "y_mm": round(y, 1), "z_mm": round(z, 1)}
    seen = {"number_of_rois": 4, "on_bright_shapes": True, "planning_system": "TPS 1"}
    return {"coordinates": coordinates, "rois": rois, **seen}


@pytest.mark.parametrize("coordinates", ["dicom", "iec"])
def test_a_right_import_meets_everything(coordinates: str) -> None:
    rows = compare_form(ImportForm.model_validate(filled(coordinates)))
    assert {row.verdict for row in rows} == {"meets"} and len(rows) == 2 + 3 * len(SHAPES)
    assert {row.note for row in rows if row.quantity == "volume"} == {"ends half a slice beyond them"}


def test_wrong_imports_fail() -> None:
    values = filled()
    rois = values["rois"]
    hole = 0.001 * np.pi * 6**2 * 27
    rois["IMPORT_C"]["volume_cm3"] = volumes("IMPORT_C").to_last_slice + hole
    rois["IMPORT_BALL"]["z_mm"] += 1.5
    rois["IMPORT_OUTER"]["volume_cm3"] -= rois["IMPORT_INNER"]["volume_cm3"]
    rois["IMPORT_INNER"]["name"] = "IMPORT_INNE"
    values["number_of_rois"] = 5
    values["on_bright_shapes"] = False
    failed = {
        (row.roi, row.quantity) for row in compare_form(ImportForm.model_validate(values)) if row.verdict == "fails"
    }
    assert failed == {
        ("", "number of ROIs"),
        ("", "contours on the bright shapes"),
        ("IMPORT_C", "volume"),
        ("IMPORT_BALL", "centre (x, y, z)"),
        ("IMPORT_OUTER", "volume"),
        ("IMPORT_INNER", "name"),
    }


def test_the_empty_form_and_damaged_ones(tmp_path: Path) -> None:
    path = tmp_path / FORM
    write_form(path)
    rows = compare_form(ImportForm.load(path))
    assert {row.verdict for row in rows} == {"not read"}
    path.write_text(path.read_text().replace("volume_cm3: null", "volume_cm3: 33.4", 1))
    write_form(path)
    assert [row.verdict for row in compare_form(ImportForm.load(path))].count("meets") == 1, "it is not overwritten"
    for text, words in (
        ("rois: {OTHER: {}}", "OTHER"),
        ("number_of_rois: many", "number_of_rois"),
        ("rois: [", "YAML"),
    ):
        path.write_text(text)
        with pytest.raises(BadInput, match=words):
            ImportForm.load(path)
