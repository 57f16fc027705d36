"""Meaning of CT values, their patient, and the files that contain them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import (
    UID,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)

from gynbtnet.datasets import ingest, inspect_folder
from gynbtnet.imaging import (
    Conversion,
    StructureNames,
    convert,
    find_series,
    read_ct_series,
    read_rtstruct,
    read_volume,
    write_rtstruct,
    write_seg,
)
from gynbtnet.runtime import BadInput

from .battery import CASES, boxes
from .builders import CT, rtstruct

NAMES = StructureNames.load()
WORDS: dict[str, Any] = {"names": NAMES, "description": "test", "software_version": "1", "automatic": False}


def scan(folder: Path, **how: Any) -> CT:
    """Write a CT with the bladder on eight slices."""
    made = CT(folder, **how)
    rtstruct(folder / "RS.dcm", made, [(1, "Bladder", boxes(made, range(2, 10), 10, 19, 8, 15))])
    return made


def usual() -> np.ndarray:
    z, y, x = np.indices((12, 40, 32))
    return 40 * z + 3 * y + x


def setting(**values: Any) -> Callable[[Dataset, int], None]:
    def change(dataset: Dataset, _: int) -> None:
        for keyword, value in values.items():
            setattr(dataset, keyword, value)

    return change


def edit(folder: Path, change: Callable[[Dataset, int], None]) -> None:
    for number, path in enumerate(sorted(folder.glob("CT*.dcm"))):
        dataset = pydicom.dcmread(path)
        change(dataset, number)
        dataset.save_as(path)


# ---- which values
@pytest.mark.parametrize("kind", ["Z_EFF", "MGML", "ED", "EDW", "OD", "US", "HU_MOD", "PCT"])
def test_maps_of_something_else_are_no_ct(tmp_path, kind):
    scan(tmp_path / "in", change=setting(RescaleType=kind))
    with pytest.raises(BadInput, match=f"RescaleType {kind}, a map of values other than HU"):
        read_ct_series(tmp_path / "in")
    with pytest.raises(BadInput, match=f"RescaleType {kind}"):
        convert([tmp_path / "in"], tmp_path / "out.nii.gz", Conversion())
    with pytest.raises(Exception, match=f"RescaleType {kind}"):
        ingest(tmp_path / "in", tmp_path / "cohort", structures=("bladder",))
    found = {one.kind: one.problem for one in inspect_folder(tmp_path / "in", NAMES).items}
    assert f"RescaleType {kind}" in found["CT"]


@pytest.mark.parametrize("kind", ["HU", "hu", "", None, "Hounsfield Units"])
def test_hu_may_be_called_so_or_not_at_all(tmp_path, kind):
    scan(tmp_path, change=setting(RescaleType=kind))
    assert np.array_equal(read_ct_series(tmp_path).volume.array, usual())


def test_one_slice_of_another_kind_is_named(tmp_path):
    scan(tmp_path, change=lambda dataset, number: number == 5 and setattr(dataset, "RescaleType", "Z_EFF"))
    with pytest.raises(BadInput, match=r"CT005.dcm has the RescaleType Z_EFF"):
        read_ct_series(tmp_path)


def test_a_ct_comes_before_a_larger_map(tmp_path):
    CT(tmp_path / "map", n=20, series="map", change=setting(RescaleType="Z_EFF"))
    CT(tmp_path / "ct")
    assert np.array_equal(read_ct_series(tmp_path).volume.array, usual())


# ---- padding
def water(number: int, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Return a body of fat, water and muscle in air."""
    body = (rows > 4) & (rows < 35) & (columns > 3) & (columns < 28)
    return np.where(body, np.where(rows > 30, -100, np.where(rows > 20, 40, 0)), -1000)


def padded(value: int, limit: int | None = None, intercept: int = 0) -> Callable[[Dataset, int], None]:
    def change(dataset: Dataset, _: int) -> None:
        dataset.RescaleIntercept = intercept
        stored = np.frombuffer(dataset.PixelData, "<i2") - intercept
        dataset.PixelData = stored.astype("<i2").tobytes()
        dataset.PixelPaddingValue = value
        if limit is not None:
            dataset.PixelPaddingRangeLimit = limit

    return change


@pytest.mark.parametrize(
    ("value", "limit", "intercept", "share"),
    [
        (0, None, 0, "53%"),
        (1024, None, -1024, "53%"),
        (-2000, 0, 0, "67%"),
        (0, -2000, 0, "67%"),
        (-100, None, 0, "13%"),
        (-32768, 32767, 0, "100%"),
    ],
)
def test_padding_that_is_the_body_is_refused(tmp_path, value, limit, intercept, share):
    scan(tmp_path, hu=water, change=padded(value, limit, intercept))
    with pytest.raises(BadInput, match=r"as padding \(PixelPaddingValue\), which are " + share):
        read_ct_series(tmp_path)


def test_padding_of_the_battery_is_refused(tmp_path):
    CASES["padding_value_is_water"][0](tmp_path)
    with pytest.raises(BadInput, match=r"0 as padding \(PixelPaddingValue\)"):
        read_ct_series(tmp_path)


@pytest.mark.parametrize(("value", "limit", "intercept"), [(-1000, None, 0), (24, None, -1024), (-2000, -900, 0)])
def test_padding_around_the_body_is_air(tmp_path, value, limit, intercept):
    scan(tmp_path, hu=water, change=padded(value, limit, intercept))
    expected = np.broadcast_to(water(0, *np.mgrid[0:40, 0:32]), (12, 40, 32))
    assert np.array_equal(read_ct_series(tmp_path).volume.array, np.where(expected == -1000, -1024, expected))


# ---- signs
@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, RLELossless])
@pytest.mark.parametrize("absent", [True, False])
@pytest.mark.parametrize("lowest", [0, -1000])
def test_an_empty_pixel_representation_is_reported(tmp_path, syntax, absent, lowest):
    scan(tmp_path, hu=lambda k, i, j: k * 40 + i * 3 + j + lowest)
    for path in tmp_path.glob("CT*.dcm"):
        dataset = pydicom.dcmread(path)
        if syntax == RLELossless:
            dataset.compress(syntax, generate_instance_uid=False)
        dataset.file_meta.TransferSyntaxUID = UID(syntax)
        dataset.PixelRepresentation = None
        if absent:
            del dataset.PixelRepresentation
        dataset.save_as(path, implicit_vr=syntax == ImplicitVRLittleEndian, little_endian=True)
    ct = read_ct_series(tmp_path)
    assert np.array_equal(ct.volume.array, usual() + lowest)
    assert ct.notes[0].startswith("12 of 12 file(s) have no PixelRepresentation")


# ---- whose slices
def twins(dataset: Dataset, number: int) -> None:
    if number in (4, 7):
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = UID("1.2.3.4.5")


def test_slices_with_one_uid_are_read_and_not_drawn_on(tmp_path):
    scan(tmp_path / "in", change=twins)
    ct = read_ct_series(tmp_path / "in")
    assert np.array_equal(ct.volume.array, usual())
    assert ct.notes == (
        "2 slices share a SOPInstanceUID with another, so no RTSTRUCT or SEG can be written for the scan.",
    )
    drawn, _ = read_rtstruct(tmp_path / "in" / "RS.dcm", ct, ("bladder",), NAMES)
    assert drawn.mask("bladder").sum() == 640
    with pytest.raises(BadInput, match="2 slices that share a SOPInstanceUID"):
        write_rtstruct(drawn, ct, tmp_path / "RS.dcm", label="test", **WORDS)
    with pytest.raises(BadInput, match="2 slices that share a SOPInstanceUID"):
        write_seg(drawn, ct, tmp_path / "SEG.dcm", **WORDS)
    for form in ("rtstruct", "seg"):
        how = Conversion(ct=tmp_path / "in", structures=("bladder",))
        with pytest.raises(BadInput, match="share a SOPInstanceUID"):
            convert([tmp_path / "in" / "RS.dcm"], tmp_path / "new.dcm", how, form)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in"]
    listed = {one.kind: one.contents for one in inspect_folder(tmp_path / "in", NAMES).items}
    assert "share a SOPInstanceUID" in listed["CT"]


def test_a_number_with_an_underscore_is_none(tmp_path):
    """Python reads "1_0" as 10."""
    scan(tmp_path / "in", ps=(10, 10))
    path = tmp_path / "in" / "CT000.dcm"
    path.write_bytes(path.read_bytes().replace(b"10\\10 ", b"1_0\\10").replace(b"10.0\\10.0 ", b"1_0\\10.0  "))
    assert b"1_0" in path.read_bytes()
    with pytest.raises(BadInput, match="no usable PixelSpacing"):
        read_ct_series(tmp_path / "in")


def test_negative_values_marked_as_unsigned_are_refused(tmp_path):
    """Air of -1000 HU would become 64,536 HU, cut to 32,767; a few voxels of that are metal."""

    def hu(_: int, i: np.ndarray, j: np.ndarray) -> np.ndarray:
        return np.where((i - 20) ** 2 + (j - 16) ** 2 < 144, 40, -1000)

    scan(tmp_path / "in", hu=hu, change=setting(PixelRepresentation=0))
    with pytest.raises(BadInput, match=r"66% of its voxels above 32767 HU.*PixelRepresentation 0"):
        read_ct_series(tmp_path / "in")
    edit(tmp_path / "in", lambda dataset, _: dataset.add_new("PixelPaddingValue", "US", 64536))
    assert set(np.unique(read_ct_series(tmp_path / "in").volume.array)) == {-1024, 40}
    scan(
        tmp_path / "metal",
        hu=lambda k, i, j: np.where((i == 5) & (j == 5), -1, 40),
        change=setting(PixelRepresentation=0),
    )
    assert read_ct_series(tmp_path / "metal").volume.array.max() == 32767


# ---- files without a preamble
def strip(path: Path) -> None:
    """Take preamble and file meta information from a file of part 10."""
    content = path.read_bytes()
    path.write_bytes(content[144 + int.from_bytes(content[140:144], "little") :])


def strip_preamble(path: Path) -> None:
    path.write_bytes(path.read_bytes()[132:])


def in_syntax(path: Path, syntax: str) -> None:
    dataset = pydicom.dcmread(path)
    if syntax == ExplicitVRBigEndian and "PixelData" in dataset:
        dataset.PixelData = np.frombuffer(dataset.PixelData, "<u2").astype(">u2").tobytes()
        dataset["PixelData"].VR = "OW"
    dataset.file_meta.TransferSyntaxUID = UID(syntax)
    implicit, little = syntax == ImplicitVRLittleEndian, syntax != ExplicitVRBigEndian
    pydicom.dcmwrite(path, dataset, implicit_vr=implicit, little_endian=little, enforce_file_format=True)


def test_structures_of_the_battery_without_a_preamble_are_read(tmp_path):
    CASES["no_preamble_rtstruct"][0](tmp_path / "in")
    cohort = ingest(tmp_path / "in", tmp_path / "cohort", structures=("bladder",)).cohort
    assert (read_volume(cohort.cases[0].labels).array == 1).sum() == 640


@pytest.mark.parametrize("what", [strip, strip_preamble])
def test_structure_sets_without_a_preamble_are_chosen_by_their_dates(tmp_path, what):
    """Two on one CT, without the optional observations; every command reads them."""
    made = scan(tmp_path / "in")
    contours = boxes(made, range(2, 6), 10, 19, 8, 15)

    def later(dataset: Dataset) -> None:
        dataset.StructureSetDate = "20260102"

    newest = tmp_path / "in" / "RS2.dcm"
    rtstruct(newest, made, [(1, "Bladder", contours)], observations=False, change=later)
    for path in (newest, tmp_path / "in" / "RS.dcm"):
        what(path)
    cohort = ingest(tmp_path / "in", tmp_path / "cohort", structures=("bladder",), rtstruct=("latest",)).cohort
    assert (read_volume(cohort.cases[0].labels).array == 1).sum() == 320


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian])
@pytest.mark.parametrize("what", [strip, strip_preamble])
def test_every_file_without_a_preamble_is_read(tmp_path, syntax, what):
    scan(tmp_path / "in")
    for path in (tmp_path / "in").iterdir():
        in_syntax(path, syntax)
        what(path)
    ct = read_ct_series(tmp_path / "in")
    assert np.array_equal(ct.volume.array, usual())
    drawn, _ = read_rtstruct(tmp_path / "in" / "RS.dcm", ct, ("bladder",), NAMES)
    assert drawn.mask("bladder").sum() == 640
    write_rtstruct(drawn, ct, tmp_path / "RS.dcm", label="test", **WORDS)
    write_seg(drawn, ct, tmp_path / "SEG.dcm", **WORDS)
    convert([tmp_path / "in" / "RS.dcm"], tmp_path / "labels.nii.gz", Conversion(ct=tmp_path / "in"))
    cohort = ingest(tmp_path / "in", tmp_path / "cohort", structures=("bladder",)).cohort
    assert (read_volume(cohort.cases[0].labels).array == 1).sum() == 640


@pytest.mark.parametrize(
    "content",
    [
        b"\x08\x00",
        b"\x08\x00\x05\x00",
        b"\x08\x00\x05\x00CS\x0a\x00ISO_IR 100",
        b"\x08\x00\x05\x00" + bytes(400),
        b"\x08\x00\x16\x00\x1a\x00\x00\x001.3.6.1.4.1.99999.1.2.3.4\0" + bytes(64),
        b"\x02\x00\x00\x00UL\x04\x00\xff\xff\xff\xff" + bytes(range(256)),
        b"\x00\x08\x00\x05CS\x00\x0aISO_IR 100" + bytes(99),
        np.random.default_rng(0).integers(0, 256, 4000, np.uint8).tobytes(),
        b"\x08\x00\x16\x00" + np.random.default_rng(1).integers(0, 256, 4000, np.uint8).tobytes(),
        b"\x89PNG\r\n\x1a\n" + bytes(500),
    ],
)
def test_other_files_are_no_dicom(tmp_path, content):
    CT(tmp_path)
    (tmp_path / "other").write_bytes(content)
    assert [one.images for one in find_series(tmp_path)] == [12]
    assert np.array_equal(read_ct_series(tmp_path).volume.array, usual())
    with pytest.raises(BadInput, match=r"other (is not a DICOM file|can't be parsed)"):
        convert([tmp_path / "other"], tmp_path / "out.nii.gz", Conversion(ct=tmp_path))
