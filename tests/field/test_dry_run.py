"""A dry run gives the same exit code and the same kinds of problems as the ingestion, for bad exports."""

import gzip
import re
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from typer.testing import CliRunner

from gynbtnet.cli import app
from gynbtnet.imaging import Geometry, Volume, write_volume
from gynbtnet.runtime import BadInput

from .battery import CASES
from .builders import CT, rtstruct

KINDS = ("missing", "unreadable", "mismatch", "duplicate", "ambiguous", "overlap")
EXIT_CODE = 2  # of bad input that stops a command
P = "CLOSED_PLANAR"

Change = Callable[[Path], object]


def patient(folder: Path, name: str, *, uterus: bool = False, seed: int = 0) -> None:
    """12 slices with bladder and rectum; with a uterus that the rectum, later in the list, covers to a third."""
    ct = CT(folder / "CT", patient=name, hu=lambda k, i, j: k * 40 + i * 3 + j + seed)
    rois = [(1, "Bladder", (10, 19, 8, 15)), (2, "Rectum", (25, 30, 8, 15))]
    if uterus:
        rois.append((3, "Uterus", (20, 27, 8, 15)))
    drawn = [(n, roi, [(P, ct.box(k, *box)) for k in range(2, 10)]) for n, roi, box in rois]
    rtstruct(folder / "RS.dcm", ct, drawn)


def edit(pattern: str, change: Callable[[pydicom.Dataset], None]) -> Change:
    def apply(export: Path) -> None:
        for path in sorted((export / "B").glob(pattern)):
            dataset = pydicom.dcmread(path)
            change(dataset)
            dataset.save_as(path)

    return apply


def cut(name: str, share: float = 0.5) -> Change:
    def apply(export: Path) -> None:
        path = export / "B" / name
        path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])

    return apply


def contour(dataset: pydicom.Dataset, roi: int = 0) -> pydicom.Dataset:
    return dataset.ROIContourSequence[roi].ContourSequence[0]


def names(*called: str) -> Change:
    def change(dataset: pydicom.Dataset) -> None:
        for roi, name in zip(dataset.StructureSetROISequence, called, strict=True):
            roi.ROIName = name

    return edit("RS.dcm", change)


def move_contours(millimetres: float) -> Change:
    def change(dataset: pydicom.Dataset) -> None:
        one = contour(dataset)
        points = np.asarray(one.ContourData, float).reshape(-1, 3) + np.array([0, 0, millimetres])
        one.ContourData = [f"{value:.3f}" for value in points.ravel()]

    return edit("RS.dcm", change)


def overlapping(export: Path) -> None:
    shutil.rmtree(export / "B")
    patient(export / "B", "B", uterus=True, seed=7)


def copied(export: Path) -> None:
    shutil.rmtree(export / "B")
    patient(export / "B", "B")  # the voxels of A under another PatientID and other UIDs


def twice(export: Path) -> None:
    shutil.copytree(export / "A", export / "again")


def other_frame(dataset: pydicom.Dataset) -> None:
    for roi in dataset.StructureSetROISequence:
        roi.ReferencedFrameOfReferenceUID = "1.2.3"


BAD: dict[str, tuple[Change, str]] = {
    "nothing wrong": (lambda export: None, "bladder,rectum"),
    "a slice is missing": (lambda export: (export / "B/CT/CT005.dcm").unlink(), "bladder,rectum"),
    "a slice is cut short": (cut("CT/CT005.dcm"), "bladder,rectum"),
    "pixels are cut off": (cut("CT/CT005.dcm", 0.9), "bladder,rectum"),
    "no pixel spacing": (edit("CT/*.dcm", lambda d: d.__delattr__("PixelSpacing")), "bladder,rectum"),
    "no rescale": (edit("CT/*.dcm", lambda d: d.__delattr__("RescaleSlope")), "bladder,rectum"),
    "a slice is moved": (
        edit("CT/CT005.dcm", lambda d: setattr(d, "ImagePositionPatient", [-16, -20, -4.5])),
        "bladder,rectum",
    ),
    "the structure set is cut short": (cut("RS.dcm"), "bladder,rectum"),
    "the structure set is empty": (cut("RS.dcm", 0.0), "bladder,rectum"),
    "the structure set is lost": (lambda export: (export / "B/RS.dcm").unlink(), "bladder,rectum"),
    "the CT is lost": (lambda export: shutil.rmtree(export / "B/CT"), "bladder,rectum"),
    "names mean nothing": (names("Hohlraum", "Masse"), "bladder,rectum"),
    "one name means nothing": (names("Hohlraum", "Rectum"), "bladder,rectum"),
    "one name twice": (names("Bladder", "BLADDER"), "bladder,rectum"),
    "a structure is nowhere": (lambda export: None, "bladder,sigmoid"),
    "every structure is nowhere": (lambda export: None, "sigmoid"),
    "an open contour": (
        edit("RS.dcm", lambda d: setattr(contour(d), "ContourGeometricType", "OPEN_PLANAR")),
        "bladder,rectum",
    ),
    "a contour of damaged numbers": (
        edit("RS.dcm", lambda d: contour(d).ContourData.__setitem__(1, "1e400")),
        "bladder,rectum",
    ),
    "a contour that claims more points": (
        edit("RS.dcm", lambda d: setattr(contour(d), "NumberOfContourPoints", 9)),
        "bladder,rectum",
    ),
    "a contour beyond the scan": (move_contours(60.0), "bladder,rectum"),
    "another frame of reference": (edit("RS.dcm", other_frame), "bladder,rectum"),
    "another patient's contours": (edit("RS.dcm", lambda d: setattr(d, "PatientID", "C")), "bladder,rectum"),
    "a structure that is covered": (overlapping, "bladder,uterus,rectum"),
    "a copy under another name": (copied, "bladder,rectum"),
    "a folder twice": (twice, "bladder,rectum"),
    "only one scan, and it is bad": (
        lambda export: (shutil.rmtree(export / "A"), names("Hohlraum", "Masse")(export)),
        "bladder,rectum",
    ),
    "no file at all": (lambda export: [shutil.rmtree(export / one) for one in "AB"], "bladder"),
}

ONLY_TOLD = ("a folder twice", "one name means nothing", "the structure set is lost", "the structure set is empty")
"""Exports for which a note is enough, without a problem."""


PROGRESS = re.compile(r"(Checking|Ingesting) \d+/\d+, |.*━")  # printed in addition to the result


def answer(command: list[str]) -> tuple[int, Counter[str], list[str]]:
    """Return the exit code, the problems by kind, and their sentences."""
    ended = CliRunner().invoke(app, command)
    if isinstance(ended.exception, BadInput):
        return EXIT_CODE, Counter(), [str(ended.exception)]
    assert ended.exception is None or isinstance(ended.exception, SystemExit), ended.output
    reported = [line for line in ended.stderr.splitlines() if line.strip() and not PROGRESS.match(line)]
    kinds = Counter(kind for line in reported for kind in KINDS if line.startswith(f"{kind}: "))
    return ended.exit_code, kinds, reported


@pytest.mark.parametrize("bad", BAD, ids=str)
def test_exports(bad: str, tmp_path: Path) -> None:
    export = tmp_path / "export"
    for seed, name in enumerate("AB"):
        patient(export / name, name, seed=seed)
    change, structures = BAD[bad]
    change(export)
    command = ["ingest", str(export), "--out", str(tmp_path / "cohort"), "--structures", structures]
    before = sorted(tmp_path.rglob("*"))
    foretold = answer([*command, "--dry-run"])
    assert sorted(tmp_path.rglob("*")) == before
    assert foretold == answer(command)
    if bad == "nothing wrong":
        assert foretold == (0, Counter(), [])
    elif bad not in ONLY_TOLD:
        assert foretold[0] in (1, 2)
        assert foretold[2]


def image(folder: Path, name: str, seed: int) -> None:
    grid = Geometry((8, 10, 12), (3.0, 2.0, 2.0))
    array = np.random.default_rng(seed).integers(-900, 900, grid.shape).astype(np.int16)
    write_volume(Volume(array, grid), folder / name / "ct.nii.gz")
    for label, structure in enumerate(("liver", "spleen")):
        mask = np.zeros(grid.shape, np.uint8)
        mask[2:5, 2:6, 1 + 5 * label : 5 + 5 * label] = 1
        write_volume(Volume(mask, grid), folder / name / "segmentations" / f"{structure}.nii.gz")


def shorter(path: Path, *, behind: bool = False) -> None:
    whole = gzip.decompress(path.read_bytes())
    path.write_bytes(gzip.compress(whole[:-200]) if behind else path.read_bytes()[:-20])


def other_grid(path: Path) -> None:
    write_volume(Volume(np.ones((8, 10, 12), np.uint8), Geometry((8, 10, 12), (3.0, 2.0, 2.5))), path)


def stacked(path: Path, *, vector: bool = False) -> None:
    one = sitk.ReadImage(str(path))
    sitk.WriteImage(sitk.Compose(one, one, one) if vector else sitk.JoinSeries(one, one), str(path))


BAD_IMAGES: dict[str, tuple[Change, str]] = {
    "nothing wrong": (lambda source: None, "liver,spleen"),
    "a scan cut short": (lambda source: shorter(source / "B/ct.nii.gz"), "liver,spleen"),
    "a scan that ends early": (lambda source: shorter(source / "B/ct.nii.gz", behind=True), "liver,spleen"),
    "no header": (lambda source: cut("ct.nii.gz", 0.0)(source), "liver,spleen"),
    "a mask cut short": (lambda source: shorter(source / "B/segmentations/liver.nii.gz"), "liver,spleen"),
    "a mask on another grid": (lambda source: other_grid(source / "B/segmentations/liver.nii.gz"), "liver,spleen"),
    "no masks": (lambda source: shutil.rmtree(source / "B/segmentations"), "liver,spleen"),
    "a mask is nowhere": (lambda source: None, "liver,aorta"),
    "a scan of four dimensions": (lambda source: stacked(source / "B/ct.nii.gz"), "liver,spleen"),
    "a scan of three values a voxel": (lambda source: stacked(source / "B/ct.nii.gz", vector=True), "liver,spleen"),
    "a mask of four dimensions": (lambda source: stacked(source / "B/segmentations/liver.nii.gz"), "liver,spleen"),
    "a scan twice": (lambda source: shutil.copytree(source / "A", source / "C") and None, "liver"),
}


@pytest.mark.parametrize("bad", BAD_IMAGES, ids=str)
def test_image_files(bad: str, tmp_path: Path) -> None:
    for seed, name in enumerate("AB"):
        image(tmp_path / "source", name, seed)
    change, structures = BAD_IMAGES[bad]
    change(tmp_path / "source")
    layout = ["--layout", "totalsegmentator", "--structures", structures]
    command = ["ingest", str(tmp_path / "source"), "--out", str(tmp_path / "cohort"), *layout]
    foretold, done = answer([*command, "--dry-run"]), answer(command)
    assert foretold[:2] == done[:2]
    assert foretold[0] == (0 if bad == "nothing wrong" else 2 if bad == "a mask is nowhere" else 1)


@pytest.mark.parametrize("where", ["full", "file", "inside", "key inside", "no key"])
def test_positions_that_no_cohort_may_have(where: str, tmp_path: Path) -> None:
    patient(tmp_path / "export" / "A", "A")
    out, more = tmp_path / "out", []
    if where == "full":
        (out / "else").mkdir(parents=True)
    elif where == "file":
        out.write_text("something else")
    elif where == "inside":
        out = tmp_path / "export" / "cohort"
    elif where == "key inside":
        more = ["--pseudonymise", str(out / "key.csv")]
    else:
        (tmp_path / "key.csv").write_text("no key")
        more = ["--pseudonymise", str(tmp_path / "key.csv")]
    command = ["ingest", str(tmp_path / "export"), "--out", str(out), "--structures", "bladder", *more]
    foretold = answer([*command, "--dry-run"])
    assert foretold == answer(command)
    assert foretold[0] == 2


def test_notes_are_those_of_the_cohort(tmp_path: Path) -> None:
    patient(tmp_path / "export" / "A", "A", uterus=True)
    patient(tmp_path / "export" / "B", "B", seed=3)
    command = ["ingest", str(tmp_path / "export"), "--out", str(tmp_path / "cohort")]
    command += ["--structures", "uterus,rectum", "--allow-overlap"]
    foretold, done = (CliRunner().invoke(app, [*command, *more]) for more in (["--dry-run"], []))
    texts = done.stdout[: done.stdout.index("2 cases of 2 patients")]
    assert "Structures absent among" in texts and "uterus loses" in texts
    assert texts in foretold.stdout


@pytest.mark.parametrize(
    "case", [pytest.param(case, marks=pytest.mark.slow if number % 3 else ()) for number, case in enumerate(CASES)]
)
def test_real_kinds_of_input(case: str, tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    CASES[case][0](tmp_path / "source")
    for layout in (["--structures", "bladder,rectum"], ["--layout", "scans"]):
        command = ["ingest", str(tmp_path / "source"), "--out", str(tmp_path / layout[-1]), *layout]
        foretold, done = answer([*command, "--dry-run"]), answer(command)
        assert foretold[:2] == done[:2]
