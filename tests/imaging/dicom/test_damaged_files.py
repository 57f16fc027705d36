"""Damaged DICOM files: a result or one clear sentence, in bounded time and memory, without patient data."""

import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from gynbtnet.datasets import Inspection, inspect_folder
from gynbtnet.imaging.contours.contours_to_mask import Contour, contours_to_mask
from gynbtnet.imaging.dicom.ct_series import CTSeries, read_ct_series
from gynbtnet.imaging.dicom.ct_writer import write_ct_series
from gynbtnet.imaging.dicom.damaged_files import DamagedFile, has_content_after_header
from gynbtnet.imaging.dicom.rt.rtdose_reader import read_rtdose
from gynbtnet.imaging.dicom.rt.rtdose_writer import write_rtdose
from gynbtnet.imaging.dicom.rt.rtstruct_reader import read_rtstruct
from gynbtnet.imaging.dicom.rt.rtstruct_rois import list_rois
from gynbtnet.imaging.dicom.rt.rtstruct_writer import write_rtstruct
from gynbtnet.imaging.dicom.seg_reader import read_seg
from gynbtnet.imaging.dicom.seg_writer import write_seg
from gynbtnet.imaging.geometry import Geometry
from gynbtnet.imaging.structure_names import StructureNames
from gynbtnet.imaging.volume import Segmentation, Volume
from gynbtnet.runtime import BadInput

from .damage import damaged, parsed, saved

NAMES = StructureNames.load()
TWO = ("hr_ctv", "bladder")
SECRETS = ("Roe", "4711", "19580317")
SECONDS, MEGABYTES = 10, 200
FORMS = {
    "CT": ("explicit", "implicit", "deflated", "RLE", "JPEG 2000", "JPEG-LS", "JPEG"),
    "RTSTRUCT": ("implicit", "explicit"),
    "RTDOSE": ("explicit", "implicit"),
    "SEG": ("explicit",),
}
ALL = [(kind, form) for kind, forms in FORMS.items() for form in forms]


@dataclass(frozen=True)
class Export:
    """A patient's folder with one file of each kind that is going to be damaged."""

    folder: Path
    ct: CTSeries
    files: Mapping[str, Path]

    def read(self, kind: str) -> None:
        if kind == "CT":
            read_ct_series(self.folder / "CT")
        elif kind == "RTSTRUCT":
            list_rois(self.files[kind])
            read_rtstruct(self.files[kind], self.ct, TWO, NAMES)
        elif kind == "RTDOSE":
            read_rtdose(self.files[kind])
        else:
            read_seg(self.files[kind], self.ct, TWO, NAMES)


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Export:
    folder = tmp_path_factory.mktemp("export")
    random = np.random.default_rng(0)
    grid = Geometry((4, 40, 44), (3.0, 1.0, 1.1), (-9.0, -8.0, 5.0))
    scan = Volume(random.integers(-1000, 1000, grid.shape).astype(np.int16), grid)
    metadata: dict[str, Any] = {"study_description": "test", "series_description": "test", "seed": 1}
    ct = write_ct_series(scan, folder / "CT", patient_id="Hospital-4711", **metadata)
    for path in ct.files:
        dataset = pydicom.dcmread(path)
        dataset.PatientName, dataset.PatientBirthDate = "Roe^Jane", "19580317"
        dataset.save_as(path)
    labels = np.zeros(grid.shape, np.uint8)
    labels[1:3, 3:9, 3:9], labels[1:3, 5:7, 5:7], labels[:, 10:14, 2:6] = 1, 0, 2
    drawn = Segmentation(Volume(labels, ct.volume.geometry), TWO)
    files = {"CT": ct.files[0], **{kind: folder / f"{kind}.dcm" for kind in ("RTSTRUCT", "RTDOSE", "SEG")}}
    metadata = {"names": NAMES, "description": "test", "software_version": "0"}
    write_rtstruct(drawn, ct, files["RTSTRUCT"], label="test", **metadata)
    write_seg(drawn, ct, files["SEG"], **metadata)
    dose = Volume(random.random((3, 5, 6)), Geometry((3, 5, 6), (3.0, 3.0, 3.0)))
    write_rtdose(dose, ct, files["RTDOSE"], description="test")
    return Export(folder, ct, files)


def in_form(content: bytes, form: str, folder: Path) -> bytes:
    """Return the same file in another transfer syntax."""
    dataset = parsed(content)
    list(dataset.iterall())
    compressed = {"RLE": RLELossless, "JPEG 2000": JPEG2000Lossless, "JPEG-LS": JPEGLSLossless}
    if form in compressed:
        dataset.compress(compressed[form], generate_instance_uid=False)
    elif form == "JPEG":
        writer = sitk.ImageFileWriter()
        writer.SetFileName(str(folder / "jpeg.dcm"))
        writer.SetUseCompression(True)
        writer.SetCompressor("JPEG")
        writer.Execute(sitk.GetImageFromArray(dataset.pixel_array[None]))
        dataset["PixelData"] = pydicom.dcmread(folder / "jpeg.dcm")["PixelData"]
        dataset.file_meta.TransferSyntaxUID = JPEGLosslessSV1
    else:
        native = {"implicit": ImplicitVRLittleEndian, "deflated": DeflatedExplicitVRLittleEndian}
        syntax = native.get(form, ExplicitVRLittleEndian)
        dataset.file_meta.TransferSyntaxUID = syntax
        dataset.save_as(folder / "other.dcm", implicit_vr=syntax.is_implicit_VR, little_endian=True)
        return (folder / "other.dcm").read_bytes()
    return saved(dataset)


def megabytes(what: str) -> float:
    """Return the memory of this process now (VmRSS), or its peak since it was last reset (VmHWM)."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(what))
    return int(line.split()[1]) / 1024


def outcome(action: Callable[[], object]) -> str:
    """Return "result" or "sentence"; AssertionError if it is not within the bounds."""
    measurable = Path("/proc/self/clear_refs").exists()
    if measurable:
        Path("/proc/self/clear_refs").write_text("5")  # forget the highest memory so far; see proc(5)
    before = megabytes("VmRSS") if measurable else 0
    start = time.monotonic()
    try:
        action()
        ended = "result"
    except BadInput as problem:
        ended = "sentence"
        assert "\n" not in str(problem), problem
        assert len(str(problem)) < 1000, problem
        assert not [secret for secret in SECRETS if secret in str(problem)], problem
        cause: BaseException | None = problem
        while cause is not None:
            assert not isinstance(cause, MemoryError), problem
            cause = cause.__cause__
    assert time.monotonic() - start < SECONDS
    assert not measurable or megabytes("VmHWM") - before < MEGABYTES
    return ended


def check_no_patient_data(seen: Inspection) -> None:
    """Check that the table of an inspection contains no patient data."""
    assert not [secret for secret in SECRETS if secret in repr(seen.items)], seen.items


def survive(export: Export, kind: str, form: str, count: int, folder: Path) -> Counter[tuple[str, str]]:
    """Count the outcomes by kind of damage."""
    whole = export.files[kind].read_bytes()
    base = in_form(whole, form, folder)
    ended: Counter[tuple[str, str]] = Counter()
    try:
        export.files[kind].write_bytes(base)
        assert outcome(lambda: export.read(kind)) == "result"
        for seed in range(count):
            harm, content = damaged(base, seed)
            export.files[kind].write_bytes(content)
            try:
                ended[harm, outcome(lambda: export.read(kind))] += 1
                outcome(lambda: check_no_patient_data(inspect_folder(export.folder, NAMES)))
            except Exception as error:
                raise AssertionError(f"{kind}, {form}, seed {seed}: {harm}") from error
    finally:
        export.files[kind].write_bytes(whole)
    return ended


@pytest.mark.parametrize(("kind", "form"), ALL)
def test_a_few_damaged_files(export, tmp_path, capfd, kind, form):
    survive(export, kind, form, 12, tmp_path)
    texts = capfd.readouterr()
    assert not [line for line in (texts.out + texts.err).splitlines() if line.strip() and "Inspecting" not in line]


def test_a_damaged_class_is_unknown_without_a_warning(tmp_path):
    """Warnings are errors here; for users, pydicom would print one for each file."""
    damaged = DamagedFile(tmp_path / "a.dcm", "", sop_class_uid="1.2.84¢.1c008.5.1.4.1.1.2")
    assert damaged.is_possibly_ct
    assert not has_content_after_header(damaged.sop_class_uid)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "form"), ALL)
def test_a_thousand_damaged_files_of_each_kind(export, tmp_path, kind, form):
    ended = survive(export, kind, form, -(-1000 // len(FORMS[kind])), tmp_path)
    assert {how for _, how in ended} == {"result", "sentence"}
    assert not ended["cut", "result"] or ended["cut", "sentence"] > ended["cut", "result"]


def with_size(frame: bytes, form: str) -> bytes:
    """Return a compressed frame that declares 60,000 rows and columns."""
    if form == "JPEG 2000":
        at = frame.index(b"\xff\x51") + 6
        return frame[:at] + (60_000).to_bytes(4, "big") * 2 + frame[at + 8 :]
    at = frame.index(b"\xff\xf7" if form == "JPEG-LS" else b"\xff\xc3") + 5
    return frame[:at] + (60_000).to_bytes(2, "big") * 2 + frame[at + 4 :]


@pytest.mark.parametrize("form", ["JPEG 2000", "JPEG-LS", "JPEG"])
def test_a_compressed_frame_that_claims_to_be_huge_is_not_decoded(export, tmp_path, form):
    whole = export.files["CT"].read_bytes()
    dataset = parsed(in_form(whole, form, tmp_path))
    frame = next(generate_frames(dataset.PixelData, number_of_frames=1))
    dataset.PixelData = encapsulate([with_size(frame, form)])
    try:
        export.files["CT"].write_bytes(saved(dataset))
        assert outcome(lambda: export.read("CT")) == "sentence"
    finally:
        export.files["CT"].write_bytes(whole)


def test_a_frame_that_libjpeg_calls_damaged_is_no_result(export, tmp_path, capfd):
    whole = export.files["CT"].read_bytes()
    dataset = parsed(in_form(whole, "JPEG", tmp_path))
    frame = bytearray(next(generate_frames(dataset.PixelData, number_of_frames=1)))
    frame[len(frame) // 2 : len(frame) // 2 + 40] = b"\xff\xd9" * 20  # an end in the middle
    dataset.PixelData = encapsulate([bytes(frame)])
    try:
        export.files["CT"].write_bytes(saved(dataset))
        with pytest.raises(BadInput, match="can't be decoded"):
            export.read("CT")
    finally:
        export.files["CT"].write_bytes(whole)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    "values", [{"RescaleSlope": 0}, {"RescaleSlope": -1}, {"RescaleSlope": "1e308"}, {"RescaleIntercept": "-1e30"}]
)
def test_a_rescale_that_makes_no_hounsfield_units_is_reported(export, values):
    whole = export.files["CT"].read_bytes()
    dataset = parsed(whole)
    dataset.update(values)
    try:
        dataset.save_as(export.files["CT"])
        with pytest.raises(BadInput, match="which don't convert to HU"):
            export.read("CT")
    finally:
        export.files["CT"].write_bytes(whole)


def test_a_contour_that_crosses_every_row_again_and_again_takes_bounded_memory(export):
    """Two hundred thousand points from top to bottom and back: eight million crossings."""
    points = np.zeros((200_000, 3))
    points[:, 0], points[:, 1] = np.linspace(-9, 30, len(points)), np.where(np.arange(len(points)) % 2, 31, -8)
    points[:, 2] = export.ct.volume.geometry.origin[2]
    assert outcome(lambda: contours_to_mask([Contour(points, 0)], export.ct.volume.geometry)) == "result"
