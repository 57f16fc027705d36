"""Contours and ROIs as planning systems write them: read as they are meant, or refused in one sentence."""

import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import nibabel as nib
import numpy as np
import pydicom
import pytest
from pydicom.charset import default_encoding
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from gynbtnet.datasets import ingest
from gynbtnet.imaging import (
    Conversion,
    StructureNames,
    convert,
    lenient_pydicom,
    read_ct_series,
    read_label_names,
    read_reference,
    read_rtstruct,
    read_volume,
)
from gynbtnet.runtime import BadInput

from .battery import CASES, boxes
from .builders import CT, MR_CLASS, contour_item, rtstruct, uid

P = "CLOSED_PLANAR"
BLADDER = (slice(2, 10), slice(10, 20), slice(8, 16))  # 8 slices of 10 × 8 voxels
RECTUM = (slice(2, 10), slice(25, 31), slice(8, 16))


def convert_all(folder: Path, out: Path, **how: Any) -> tuple[dict[str, np.ndarray], str]:
    """Return the masks of an RTSTRUCT on its CT, by name, as ``gynbtnet convert`` writes them, and the notes."""
    notes = convert([folder / "RS.dcm"], out / "labels.nii.gz", Conversion(ct=folder, **how))
    labels = read_volume(out / "labels.nii.gz").array
    names = read_label_names(out / "labels.nii.gz") or ()
    return {name: labels == label for label, name in enumerate(names, start=1)}, "\n".join(notes)


def refusal(folder: Path, out: Path, **how: Any) -> str:
    with pytest.raises(BadInput) as caught:
        convert_all(folder, out, **how)
    assert not (out / "labels.nii.gz").exists()
    return str(caught.value)


def filled(*box: slice, shape: tuple[int, ...] = (12, 40, 32)) -> np.ndarray:
    mask = np.zeros(shape, bool)
    mask[box] = True
    return mask


def build(kind: str, folder: Path) -> Path:
    CASES[kind][0](folder)
    return folder


def bladder_of(folder: Path, contours: Sequence[tuple[str, np.ndarray]], ct: CT | None = None, **options) -> Path:
    rtstruct(folder / "RS.dcm", ct or CT(folder), [(1, "Bladder", list(contours))], **options)
    return folder


@pytest.mark.parametrize(
    ("kind", "expected", "note"),
    [
        ("doubled_contours", {"bladder": BLADDER, "rectum": RECTUM}, "8 copies of other contours"),
        ("point_and_line_contours", {"bladder": BLADDER, "rectum": RECTUM}, "2 of 10 contours with fewer than three"),
        ("empty_roi_left_out", {"bladder": BLADDER, "rectum": RECTUM}, "“Uterus” has no contours."),
        ("applicator_lines", {"bladder": BLADDER}, "Omitted “Tandem”, “Point A”: unknown"),
        ("oblique_stack", {"bladder": BLADDER}, ""),
        ("negated_column", {"bladder": BLADDER}, ""),
        ("slice_location_reversed", {"bladder": BLADDER}, ""),
        ("to_the_edge", {"bladder": (slice(2, 10), slice(0, 40), slice(0, 9))}, ""),
        ("couch_beyond_scan", {"bladder": BLADDER}, "Omitted “Couch”: unknown"),
        ("near_slab_faces", {"bladder": (slice(0, 12), *BLADDER[1:])}, "up to 1.20 mm off the CT's slices"),
        (
            "every_other_slice",
            {"bladder": (slice(1, 10), *BLADDER[1:])},
            "5 of 9 slices. Interpolated between them: 4 slices",
        ),
        ("name_in_brackets", {"bladder": BLADDER}, "Omitted “Iso 45 [cGy]”, “CTV [old]”: unknown"),
    ],
)
def test_contours_are_read_as_they_were_meant(tmp_path, kind, expected, note):
    found, notes = convert_all(build(kind, tmp_path / "in"), tmp_path)
    assert set(found) == set(expected)
    for name, box in expected.items():
        assert np.array_equal(found[name], filled(*box)), name
    assert note in notes
    assert bool(notes) == bool(note)


@pytest.mark.parametrize("kind", ["oblique_stack", "negated_column"])
def test_voxels_are_where_the_contours_were_drawn(tmp_path, kind):
    """The corners of a mask's voxels, in mm, are those of the contours."""
    folder = build(kind, tmp_path / "in")
    found, _ = convert_all(folder, tmp_path)
    index = np.argwhere(found["bladder"])
    geometry = read_volume(tmp_path / "labels.nii.gz").geometry
    is_last = (np.arange(8)[:, None] >> [2, 1, 0] & 1).astype(bool)
    corners = np.where(is_last, index.max(axis=0), index.min(axis=0)) + np.where(is_last, 1, -1) * [0, 0.5, 0.5]
    drawn = pydicom.dcmread(folder / "RS.dcm").ROIContourSequence[0].ContourSequence
    points = np.concatenate([np.asarray(one.ContourData, float).reshape(-1, 3) for one in drawn])
    for corner in geometry.to_world(corners):
        assert np.linalg.norm(points - corner, axis=1).min() < 1e-3


def test_rings_and_islands_stay(tmp_path):
    found, notes = convert_all(build("hole_and_island", tmp_path / "in"), tmp_path)
    expected = filled(slice(2, 10), slice(8, 20), slice(8, 20))
    expected &= ~filled(slice(2, 10), slice(11, 17), slice(11, 17))
    expected |= filled(slice(2, 10), slice(13, 15), slice(13, 15))
    assert np.array_equal(found["bladder"], expected)
    assert found["bladder"].sum() == 896
    assert not notes


@pytest.mark.parametrize("kind", ["name_latin1", "name_japanese", "name_without_charset"])
def test_names_of_any_character_set_match_an_alias_file_in_utf_8(tmp_path, kind):
    folder = build(kind, tmp_path / "in")
    found, _ = convert_all(folder, tmp_path, names=StructureNames.load(folder / "aliases.yaml"))
    assert np.array_equal(found["bladder"], filled(*BLADDER))


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_accents_match_however_they_are_coded(tmp_path, form):
    ct = CT(tmp_path)
    other: Literal["NFC", "NFD"] = "NFD" if form == "NFC" else "NFC"
    name = unicodedata.normalize(form, "Blase Füllung é")
    rtstruct(tmp_path / "RS.dcm", ct, [(1, name, boxes(ct, range(2, 10), 10, 19, 8, 15))], name_charset="ISO_IR 192")
    structure = unicodedata.normalize(form, "blasé")
    aliases = tmp_path / "aliases.yaml"
    aliases.write_text(f"{structure}: ['{unicodedata.normalize(other, name)}']\n", encoding="utf-8")
    names = StructureNames.load(aliases)
    found, _ = convert_all(tmp_path, tmp_path, names=names, structures=(unicodedata.normalize("NFC", "blasé"),))
    assert [mask.sum() for mask in found.values()] == [640]


def test_utf_8_without_a_character_set_is_read_as_such(tmp_path):
    ct = CT(tmp_path)
    name = "Blase Fuellung"
    rtstruct(tmp_path / "RS.dcm", ct, [(1, name, boxes(ct, range(2, 10), 10, 19, 8, 15))])
    content = (tmp_path / "RS.dcm").read_bytes()
    (tmp_path / "RS.dcm").write_bytes(content.replace(name.encode(), "Blase Füllung".encode()))
    assert "“Blase Füllung”" in refusal(tmp_path, tmp_path)


def test_line_breaks_and_control_characters_in_a_name_stay_on_one_line(tmp_path):
    ct = CT(tmp_path)
    box = boxes(ct, range(2, 10), 10, 19, 8, 15)
    with pydicom.config.disable_value_validation():
        rtstruct(tmp_path / "RS.dcm", ct, [(1, "Old\r\nPTV\t1\x07", box), (2, "Blad\nder", box)])
    found, notes = convert_all(tmp_path, tmp_path)
    assert found["bladder"].sum() == 640
    assert notes.startswith("Omitted “Old PTV 1?”: unknown")
    assert "\n" not in notes


def test_small_letters_in_a_type_and_odd_numbers(tmp_path):
    """ "closed_planar" is closed; "1_0" isn't a number, although Python reads it as 10."""
    ct = CT(tmp_path)
    contours = [("closed_planar", points) for _, points in boxes(ct, range(2, 10), 10, 19, 8, 15)]

    def damage(dataset: Dataset) -> None:
        data = RawDataElement(Tag("ContourData"), "DS", 24, b"1_0\\1\\0\\5\\5\\0\\5\\1\\0  ", 0, True, True)
        contour = dataset.ROIContourSequence[0].ContourSequence[0]
        contour.set_original_encoding(True, True, default_encoding)
        contour[data.tag], contour.NumberOfContourPoints = data, 3

    with lenient_pydicom():
        bladder_of(tmp_path, contours, ct)
        assert np.array_equal(convert_all(tmp_path, tmp_path)[0]["bladder"], filled(*BLADDER))
        (tmp_path / "labels.nii.gz").unlink()
        bladder_of(tmp_path, contours, ct, change=damage)
    assert "Contour 1 of “Bladder”" in (sentence := refusal(tmp_path, tmp_path))
    assert "not a finite number" in sentence


@pytest.mark.parametrize("drawn", [None, [], [("POINT", [[0, 0, 0]])], "on the MR"])
def test_ingestion_states_why_a_structure_is_nowhere(tmp_path, drawn):
    ct = CT(tmp_path / "in")
    contours = boxes(ct, range(2, 10), 25, 30, 8, 15) if drawn == "on the MR" else drawn

    def on_the_mr(dataset: Dataset) -> None:
        if drawn == "on the MR":
            dataset.StructureSetROISequence[1].ReferencedFrameOfReferenceUID = uid("MR")

    rois = [(1, "Bladder", boxes(ct, range(2, 10), 10, 19, 8, 15)), (2, "Rectum", contours)]
    rtstruct(tmp_path / "in" / "RS.dcm", ct, rois, change=on_the_mr)
    reason = "is drawn in the frame of reference" if drawn == "on the MR" else "has no contours."
    with pytest.raises(BadInput, match=f"has rectum. “Rectum” {reason}"):
        ingest(tmp_path / "in", tmp_path / "cohort", structures=("bladder", "rectum"))


# ---------------------------------------------------------------- copies
def rotated(points: np.ndarray, by: int) -> np.ndarray:
    return np.roll(points, by, axis=0)


def with_middles(points: np.ndarray) -> np.ndarray:
    return np.stack([points, (points + np.roll(points, -1, axis=0)) / 2], axis=1).reshape(-1, 3)


COPIES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "the same": lambda points: points,
    "from another corner": lambda points: rotated(points, 2),
    "in the other direction": lambda points: points[::-1],
    "from another corner in the other direction": lambda points: rotated(points[::-1], 1),
    "with a corner twice": lambda points: np.concatenate([points[:2], points[1:]]),
    "closed": lambda points: np.concatenate([points, points[:1]]),
    "with middles": with_middles,
    "rounded": lambda points: np.round(points + 0.013, 1),
    "shifted": lambda points: points + np.array([0.1, -0.1, 0]),
    "larger": lambda points: points + 0.1 * np.sign(points - points.mean(axis=0)),
}


@pytest.mark.parametrize("kind", COPIES)
@pytest.mark.parametrize("slices", [range(2, 10), range(4, 6)])
def test_copies_on_a_slice_count_once(tmp_path, kind, slices):
    ct = CT(tmp_path)
    once = boxes(ct, range(2, 10), 10, 19, 8, 15)
    copies = [(P, COPIES[kind](ct.box(k, 10, 19, 8, 15))) for k in slices]
    found, notes = convert_all(bladder_of(tmp_path, [*once, *copies, *copies[:1]], ct), tmp_path)
    assert np.array_equal(found["bladder"], filled(*BLADDER))
    assert f"“Bladder” has {len(copies) + 1} copies of other contours on their slices" in notes


def test_a_ring_with_its_copies_stays_a_ring(tmp_path):
    ct = CT(tmp_path)
    outer, inner = boxes(ct, range(2, 10), 8, 19, 8, 19), boxes(ct, range(2, 10), 11, 16, 11, 16)
    found, _ = convert_all(bladder_of(tmp_path, [*outer, *inner, *inner, *outer], ct), tmp_path)
    assert found["bladder"].sum() == 8 * (144 - 36)


def disc(x: float, y: float, z: float, radius: float, corners: int = 40) -> np.ndarray:
    angle = np.linspace(0, 2 * np.pi, corners, endpoint=False)
    return np.stack([x + radius * np.cos(angle), y + radius * np.sin(angle), np.full(corners, z)], axis=1)


def test_the_volume_of_doubled_discs_is_that_of_the_discs(tmp_path):
    ct = CT(tmp_path)
    discs = [(P, disc(0.3, 0.2, -18 + 3 * k, 8)) for k in range(2, 9)]
    found, _ = convert_all(bladder_of(tmp_path, [*discs, *discs[2:4]], ct), tmp_path)
    assert found["bladder"].sum() * 3 == pytest.approx(7 * 3 * np.pi * 64, rel=0.03)


@pytest.mark.parametrize("step", [2.5, 3.0, 5.0])
@pytest.mark.parametrize("height", [0.01, 0.04, 0.05, 0.06, 0.1])
def test_copies_at_another_height_of_a_slice_count_once(tmp_path, step, height):
    """Contours within 0.05 slices are on one plane; others of a slice are omitted with a note."""
    ct = CT(tmp_path, step=step)
    once = boxes(ct, range(2, 10), 10, 19, 8, 15)
    copies = [(P, points + np.array([0, 0, height * step])) for _, points in once]
    found, notes = convert_all(bladder_of(tmp_path, [*once, *copies], ct), tmp_path)
    assert np.array_equal(found["bladder"], filled(*BLADDER))
    assert "“Bladder” has " in notes


@pytest.mark.parametrize("times", [2, 3, 4, 6])
def test_a_contour_that_leads_round_several_times_counts_once(tmp_path, times):
    ct = CT(tmp_path)
    wound = [(P, np.concatenate([points] * times)) for _, points in boxes(ct, range(2, 10), 10, 19, 8, 15)]
    found, _ = convert_all(bladder_of(tmp_path, wound, ct), tmp_path)
    assert np.array_equal(found["bladder"], filled(*BLADDER))


@pytest.mark.parametrize("corners", [3, 4])
def test_a_line_drawn_back_and_forth_is_left_out(tmp_path, corners):
    """It encloses nothing, although its corners aren't on a straight line; a figure of eight encloses something."""
    ct = CT(tmp_path)
    once = boxes(ct, range(2, 10), 10, 19, 8, 15)
    line = ct.box(5, 10, 19, 8, 15)[:corners]
    retraced = (P, np.concatenate([line, line[::-1]]))
    found, notes = convert_all(bladder_of(tmp_path, [*once[:3], retraced, *once[4:]], ct), tmp_path)
    assert np.array_equal(found["bladder"], filled(*BLADDER) & ~filled(slice(5, 6), slice(None), slice(None)))
    assert "1 of 8 contours with fewer than three points or without area" in notes
    eight = (P, ct.box(5, 10, 19, 8, 15)[[0, 2, 1, 3]])
    found, notes = convert_all(bladder_of(tmp_path / "eight", [eight], CT(tmp_path / "eight")), tmp_path / "eight")
    assert found["bladder"].sum() == pytest.approx(40, abs=6)
    assert not notes


@pytest.mark.parametrize("keyword", ["ROINumber", "ReferencedROINumber", "NumberOfContourPoints"])
@pytest.mark.parametrize("form", ["0{}", "00{}", "+{}", " {}"])
def test_integers_count_as_numbers_however_they_are_written(tmp_path, keyword, form):
    ct = CT(tmp_path)

    def rewrite(dataset: Dataset) -> None:
        for element in dataset:
            if element.VR == "SQ":
                for item in element.value:
                    rewrite(item)
        if keyword in dataset:
            text = form.format(dataset[keyword].value).encode()
            tag = dataset[keyword].tag
            dataset.set_original_encoding(True, True, default_encoding)
            dataset[tag] = RawDataElement(
                tag, "IS", len(text) + len(text) % 2, text + b" " * (len(text) % 2), 0, True, True
            )

    rois = [
        (0, "Rectum", boxes(ct, range(2, 10), 25, 30, 8, 15)),
        (7, "Bladder", boxes(ct, range(2, 10), 10, 19, 8, 15)),
    ]
    rtstruct(tmp_path / "RS.dcm", ct, rois, change=rewrite)
    found, _ = convert_all(tmp_path, tmp_path)
    assert np.array_equal(found["bladder"], filled(*BLADDER))
    assert np.array_equal(found["rectum"], filled(*RECTUM))
    assert read_reference(tmp_path / "RS.dcm").frame_of_reference_uid == ct.frame


# ---------------------------------------------------------------- what XOR would take away
@pytest.mark.parametrize(
    ("shift", "slices"), [(0.6, range(2, 10)), (3.0, range(2, 10)), (0.6, range(4, 6)), (2.0, range(4, 6))]
)
def test_contours_that_take_each_other_away_are_refused(tmp_path, shift, slices):
    ct = CT(tmp_path)
    once = boxes(ct, range(2, 10), 10, 19, 8, 15)
    shifted = [(P, ct.box(k, 10, 19, 8, 15) + np.array([shift, shift / 2, 0])) for k in slices]
    sentence = refusal(bladder_of(tmp_path, [*once, *shifted], ct), tmp_path)
    assert "“Bladder” in" in sentence
    assert f"on {len(slices)} slices, most on slice {slices[0] + 1} of 12" in sentence
    assert "would be lost" in sentence


def test_contours_within_one_another_without_a_wall_are_no_ring(tmp_path):
    ct = CT(tmp_path)
    once = boxes(ct, range(2, 10), 10, 19, 8, 15)
    smaller = [(P, points + 0.3 * np.sign(points.mean(axis=0) - points) * [1, 1, 0]) for _, points in once]
    assert "no voxel centre of the CT is inside" in refusal(bladder_of(tmp_path, [*once, *smaller], ct), tmp_path)


def test_a_small_overlap_of_islands_is_reported(tmp_path):
    ct = CT(tmp_path)
    islands = [*boxes(ct, range(2, 10), 10, 19, 8, 15), *boxes(ct, range(4, 6), 19, 22, 15, 18)]
    found, notes = convert_all(bladder_of(tmp_path, islands, ct), tmp_path)
    assert found["bladder"].sum() == 640 + 2 * (16 - 2)
    assert "cross others on their slice" in notes
    assert "0.01 cm³ inside two of them count as a hole" in notes


def test_a_structure_between_the_voxel_centres_is_refused(tmp_path):
    ct = CT(tmp_path)
    tiny = [(P, disc(-6.5, -7.5, ct.origin[2] + ct.zs[k], 0.4)) for k in (4, 5)]  # at a corner of four voxels
    sentence = refusal(bladder_of(tmp_path, tiny, ct), tmp_path)
    assert "“Bladder” in" in sentence
    assert "no voxel centre of the CT is inside" in sentence
    found, notes = convert_all(bladder_of(tmp_path, [*tiny, *boxes(ct, range(2, 10), 10, 19, 8, 15)], ct), tmp_path)
    assert found["bladder"].sum() == 640
    assert not notes


@pytest.mark.parametrize(
    "nothing",
    [
        lambda box: box[:0],
        lambda box: box[:1],
        lambda box: box[:2],
        lambda box: box[[0, 0, 0, 0]],
        lambda box: box[[0, 1, 0, 1]],
        lambda box: np.linspace(box[0], box[2], 5),
    ],
)
def test_contours_without_area_are_left_out_and_a_roi_of_nothing_else_is_refused(tmp_path, nothing):
    ct = CT(tmp_path)
    whole = boxes(ct, range(2, 10), 10, 19, 8, 15)
    lines = [(P, nothing(ct.box(k, 12, 14, 9, 11))) for k in (4, 11)]
    found, notes = convert_all(bladder_of(tmp_path, [lines[0], *whole, lines[1]], ct), tmp_path)
    assert np.array_equal(found["bladder"], filled(*BLADDER))
    assert "“Bladder” has 2 of 10 contours with fewer than three points or without area" in notes
    (tmp_path / "labels.nii.gz").unlink()
    assert "has 2 contours, and none encloses an area" in refusal(bladder_of(tmp_path, lines, ct), tmp_path)


# ---------------------------------------------------------------- between slices
@pytest.mark.parametrize("rounding", [0.0, 1e-4, 0.02, 0.05])
@pytest.mark.parametrize(
    ("slices", "off", "first"), [(range(2, 10), 1.5, 2), (range(2, 10), -1.5, 1), (range(8), -1.5, 0)]
)
def test_contours_half_a_slice_off_move_the_same_way(tmp_path, rounding, slices, off, first):
    """Down, unless they would leave the scan, independently of the rounding of their positions."""
    ct = CT(tmp_path)
    noise = np.random.default_rng(0).uniform(-rounding, rounding, len(slices))
    contours = [(P, ct.box(("mm", ct.zs[k] + off + e), 10, 19, 8, 15)) for k, e in zip(slices, noise, strict=True)]
    found, notes = convert_all(bladder_of(tmp_path, contours, ct), tmp_path)
    assert np.array_equal(found["bladder"], filled(slice(first, first + 8), *BLADDER[1:]))
    assert "All contours are 1.5" in notes
    assert ("moved up" if slices[0] == 0 else "moved down") in notes


def test_structures_half_a_slice_off_move_together(tmp_path):
    ct = CT(tmp_path)
    low = [(P, ct.box(("mm", ct.zs[k] - 1.5), 10, 19, 8, 15)) for k in range(4)]
    high = [(P, ct.box(("mm", ct.zs[k] - 1.5), 25, 30, 8, 15)) for k in range(4, 8)]
    rtstruct(tmp_path / "RS.dcm", ct, [(1, "Bladder", low), (2, "Rectum", high)])
    found, _ = convert_all(tmp_path, tmp_path)
    assert np.flatnonzero(found["bladder"].any(axis=(1, 2))).tolist() == [0, 1, 2, 3]
    assert np.flatnonzero(found["rectum"].any(axis=(1, 2))).tolist() == [4, 5, 6, 7]


@pytest.mark.parametrize("off", [-1.4, -0.7, 0.3, 1.4])
def test_contours_off_by_one_distance_go_to_the_nearest_slices(tmp_path, off):
    ct = CT(tmp_path)
    contours = [(P, ct.box(("mm", ct.zs[k] + off), 10, 19, 8, 15)) for k in range(2, 10)]
    found, notes = convert_all(bladder_of(tmp_path, contours, ct), tmp_path)
    assert np.array_equal(found["bladder"], filled(*BLADDER))
    assert f"All contours are {abs(off):.2f} mm off the CT's slices" in notes


@pytest.mark.parametrize("step", [2, 3, 4])
def test_a_cone_drawn_on_every_nth_slice_has_its_volume(tmp_path, step):
    ct = CT(tmp_path)
    radius = np.linspace(4, 13, 12)
    contours = [(P, disc(0, 0, ct.origin[2] + ct.zs[k], radius[k])) for k in range(0, 12, step)]
    found, _ = convert_all(bladder_of(tmp_path, contours, ct), tmp_path)
    last = range(0, 12, step)[-1]
    expected = sum(np.pi * radius[k] ** 2 for k in range(last + 1))
    assert found["bladder"].sum() == pytest.approx(expected, rel=0.03)
    assert np.flatnonzero(found["bladder"].any(axis=(1, 2))).tolist() == list(range(last + 1))


def test_a_structure_drawn_on_every_fifth_slice_is_refused(tmp_path):
    ct = CT(tmp_path, n=24)
    sentence = refusal(bladder_of(tmp_path, boxes(ct, range(2, 24, 5), 10, 19, 8, 15), ct), tmp_path)
    assert "“Bladder” in" in sentence
    assert "has contours on every 5th slice only" in sentence


@pytest.mark.parametrize(
    ("slices", "shift"), [([2, 9, 16], 7), ([2, 3, 9, 10, 16, 17], 7), ([2, 3, 9, 10, 16, 17], 0), ([1, 8, 15, 22], -9)]
)
def test_nodes_far_apart_are_no_sparse_drawing(tmp_path, slices, shift):
    """Islands at other positions of their slices, or on several slices each, are separate; nothing is between them."""
    ct = CT(tmp_path, n=24)
    left = {k: 12 + shift * (n * 3 // len(slices) % 2) for n, k in enumerate(slices)}
    nodes = [(P, ct.box(k, 10, 13, left[k], left[k] + 3)) for k in slices]
    found, notes = convert_all(bladder_of(tmp_path, nodes, ct), tmp_path)
    expected = np.zeros((24, 40, 32), bool)
    for k in slices:
        expected[k, 10:14, left[k] : left[k] + 4] = True
    assert np.array_equal(found["bladder"], expected)
    assert "slices without a contour between slices that have one" in notes


def test_two_parts_of_a_structure_stay_apart(tmp_path):
    ct = CT(tmp_path)
    parts = boxes(ct, [1, 2, 3, 4, 7, 8, 9], 10, 19, 8, 15)
    found, notes = convert_all(bladder_of(tmp_path, parts, ct), tmp_path)
    assert np.flatnonzero(found["bladder"].any(axis=(1, 2))).tolist() == [1, 2, 3, 4, 7, 8, 9]
    assert notes == "“Bladder” has 2 slices without a contour between slices that have one."


# ---------------------------------------------------------------- which ROI, which frame
def test_rois_of_one_number_are_refused_with_both_names(tmp_path):
    folder = build("roi_number_twice", tmp_path / "in")
    for wanted in (None, ("bladder",), ("rectum",)):
        sentence = refusal(folder, tmp_path, structures=wanted)
        assert "2 ROIs with the number 19: “Bladder” and “Rectum”" in sentence


def test_a_roi_listed_twice_is_one_and_rois_of_one_number_that_nobody_wants_do_not_matter(tmp_path):
    ct = CT(tmp_path)
    box, other = boxes(ct, range(2, 10), 10, 19, 8, 15), boxes(ct, range(2, 10), 25, 30, 8, 15)
    rtstruct(
        tmp_path / "RS.dcm", ct, [(1, "Bladder", box), (1, "Bladder", box), (7, "Couch", other), (7, "Skin", other)]
    )
    found, _ = convert_all(tmp_path, tmp_path)
    assert np.array_equal(found["bladder"], filled(*BLADDER))


def test_a_roi_over_several_items_is_joined(tmp_path):
    ct = CT(tmp_path)
    parts = [contour_item(3, boxes(ct, [k], 10, 19, 8, 15)) for k in range(2, 10)]
    rtstruct(tmp_path / "RS.dcm", ct, [(3, "Bladder", None)], parts)
    found, _ = convert_all(tmp_path, tmp_path)
    assert np.array_equal(found["bladder"], filled(*BLADDER))


@pytest.mark.parametrize("structures", [None, ("bladder", "rectum")])
def test_a_roi_without_contours_is_given_to_have_none(tmp_path, structures):
    ct = CT(tmp_path)
    box = boxes(ct, range(2, 10), 10, 19, 8, 15)
    rtstruct(
        tmp_path / "RS.dcm",
        ct,
        [(1, "Bladder", box), (2, "Rectum", [])],
        change=lambda file: file.ROIContourSequence[1].__delattr__("ContourSequence"),
    )
    _, notes = convert_all(tmp_path, tmp_path, structures=structures)
    assert notes.startswith("“Rectum” has no contours.")
    assert "unknown" not in notes
    (tmp_path / "labels.nii.gz").unlink()
    assert "“Rectum” has no contours." in refusal(tmp_path, tmp_path, structures=("rectum",))


def mr(dataset, _):
    dataset.Modality = "MR"
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = MR_CLASS


def with_mr_first(file: pydicom.Dataset) -> None:
    """List an MR before the CT that the ROIs were drawn on."""
    listed, image, series, study = (pydicom.Dataset() for _ in range(4))
    image.ReferencedSOPClassUID, image.ReferencedSOPInstanceUID = MR_CLASS, uid("mr image")
    series.SeriesInstanceUID, series.ContourImageSequence = uid("mr"), [image]
    study.ReferencedSOPClassUID, study.ReferencedSOPInstanceUID = "1.2.840.10008.3.1.2.3.1", uid("mr study")
    study.RTReferencedSeriesSequence = [series]
    listed.FrameOfReferenceUID, listed.RTReferencedStudySequence = uid("mr frame"), [study]
    file.ReferencedFrameOfReferenceSequence.insert(0, listed)


def test_the_frame_of_the_rois_decides_and_not_the_first_one(tmp_path):
    ct, box = CT(tmp_path / "in"), (10, 19, 8, 15)
    folder = bladder_of(tmp_path / "in", boxes(ct, range(2, 10), *box), ct, change=with_mr_first)
    reference = read_reference(folder / "RS.dcm")
    assert (reference.frame_of_reference_uid, reference.series_uid) == (ct.frame, ct.series)
    assert reference.listed_frames == (uid("mr frame"), ct.frame)
    found, notes = convert_all(folder, tmp_path)
    assert np.array_equal(found["bladder"], filled(*BLADDER))
    assert not notes
    (case,) = ingest(folder, tmp_path / "cohort", structures=("bladder",)).cohort.cases
    assert np.array_equal(read_volume(case.labels).array == 1, filled(*BLADDER))


def test_a_roi_drawn_on_the_mr_is_left_out_with_a_note(tmp_path):
    """HR-CTV on MR, organs on CT, in one structure set: the contours are at the same coordinates of another frame."""
    ct = CT(tmp_path)

    def change(file):
        with_mr_first(file)
        file.StructureSetROISequence[1].ReferencedFrameOfReferenceUID = uid("mr frame")

    box = boxes(ct, range(2, 10), 10, 19, 8, 15)
    rtstruct(tmp_path / "RS.dcm", ct, [(1, "Bladder", box), (2, "HR-CTV", box), (3, "Rectum", [])], change=change)
    reference = read_reference(tmp_path / "RS.dcm")
    assert (reference.frame_of_reference_uid, reference.series_uid) == (ct.frame, ct.series)
    found, notes = convert_all(tmp_path, tmp_path)
    assert set(found) == {"bladder"}
    assert f"“HR-CTV” is drawn in the frame of reference {uid('mr frame')} instead of the CT's, {ct.frame}." in notes
    (tmp_path / "labels.nii.gz").unlink()
    assert "is drawn in the frame of reference" in refusal(tmp_path, tmp_path, structures=("hr_ctv",))


def test_of_two_rois_for_a_structure_that_in_the_frame_of_the_ct_counts(tmp_path):
    ct = CT(tmp_path)

    def change(file):
        with_mr_first(file)
        file.StructureSetROISequence[0].ReferencedFrameOfReferenceUID = uid("mr frame")

    box, other = boxes(ct, range(2, 10), 10, 19, 8, 15), boxes(ct, range(2, 10), 25, 30, 8, 15)
    rtstruct(tmp_path / "RS.dcm", ct, [(1, "HR-CTV", other), (2, "HR_CTV", box)], change=change)
    found, _ = convert_all(tmp_path, tmp_path)
    assert np.array_equal(found["hr_ctv"], filled(*BLADDER))


@pytest.mark.parametrize("refers", ["images", "nothing", "other images"])
def test_rois_without_a_frame_take_the_listed_one(tmp_path, refers):
    """If two are listed, the images of the contours decide."""
    ct = CT(tmp_path)

    def change(file):
        with_mr_first(file)
        for roi in file.StructureSetROISequence:
            del roi.ReferencedFrameOfReferenceUID
        for contour in file.ROIContourSequence[0].ContourSequence:
            image = pydicom.Dataset()
            image.ReferencedSOPClassUID = MR_CLASS
            image.ReferencedSOPInstanceUID = ct.sop[3] if refers == "images" else uid("mr image")
            if refers != "nothing":
                contour.ContourImageSequence = [image]

    folder = bladder_of(tmp_path, boxes(ct, range(2, 10), 10, 19, 8, 15), ct, change=change)
    if refers == "other images":
        assert "is drawn in the frame of reference" in refusal(folder, tmp_path)
    else:
        assert np.array_equal(convert_all(folder, tmp_path)[0]["bladder"], filled(*BLADDER))


OPTIONAL: dict[str, Callable[[pydicom.Dataset], object]] = {
    "observations": lambda file: file.pop("RTROIObservationsSequence"),
    "empty observations": lambda file: setattr(file, "RTROIObservationsSequence", []),
    "colours": lambda file: [item.pop("ROIDisplayColor") for item in file.ROIContourSequence],
    "listed frames": lambda file: file.pop("ReferencedFrameOfReferenceSequence"),
    "studies": lambda file: file.ReferencedFrameOfReferenceSequence[0].pop("RTReferencedStudySequence"),
    "frames of ROIs": lambda file: [roi.pop("ReferencedFrameOfReferenceUID") for roi in file.StructureSetROISequence],
    "numbers of points": lambda file: [
        one.pop("NumberOfContourPoints") for item in file.ROIContourSequence for one in item.ContourSequence
    ],
    "algorithms": lambda file: [roi.pop("ROIGenerationAlgorithm") for roi in file.StructureSetROISequence],
    "label": lambda file: [file.pop(name) for name in ("StructureSetLabel", "StructureSetDate", "StructureSetTime")],
}


@pytest.mark.parametrize("missing", OPTIONAL)
def test_what_is_optional_may_be_missing(tmp_path, missing):
    ct = CT(tmp_path)
    folder = bladder_of(tmp_path, boxes(ct, range(2, 10), 10, 19, 8, 15), ct, change=OPTIONAL[missing])
    found, notes = convert_all(folder, tmp_path)
    assert np.array_equal(found["bladder"], filled(*BLADDER))
    assert not notes


def test_with_an_mr_and_its_structures_next_to_it_the_ct_is_chosen(tmp_path):
    """The larger CT is another one: only the structure set on a CT identifies it."""
    ct = CT(tmp_path / "in" / "ct")
    CT(tmp_path / "in" / "large", series="large", n=15)
    bladder_of(tmp_path / "in" / "ct", boxes(ct, range(2, 10), 10, 19, 8, 15), ct)
    scan = CT(tmp_path / "in" / "mr", series="mr", frame="mr frame", change=mr)
    rtstruct(tmp_path / "in" / "mr" / "RS.dcm", scan, [(1, "HR-CTV", boxes(scan, range(2, 10), 10, 19, 8, 15))])
    assert read_ct_series(tmp_path / "in").series_uid == ct.series


def test_notes_of_reading_reach_the_report(tmp_path):
    ct = CT(tmp_path)
    box = boxes(ct, range(2, 10), 10, 19, 8, 15)
    rtstruct(tmp_path / "RS.dcm", ct, [(1, "Bladder", [*box, *box]), (2, "Rectum", [])])
    _, report = read_rtstruct(
        tmp_path / "RS.dcm", read_ct_series(tmp_path), ("bladder", "rectum"), StructureNames.load()
    )
    assert report.missing == ("rectum",)
    assert report.notes == (
        "“Rectum” has no contours.",
        "“Bladder” has 8 copies of other contours on their slices; each contour counts once.",
    )


# ---------------------------------------------------------------- labels as floating point numbers
@pytest.mark.parametrize(("scale", "rest"), [(1, 1e-7), (0.9999, 0), (1, -9e-4), (1.0002, 5e-4)])
def test_labels_that_are_almost_whole_are_rounded(tmp_path, scale, rest):
    labels = np.zeros((20, 22, 15))
    labels[5:10, 5:10, 4:8], labels[10:14, 5:10, 4:8] = 1, 2
    nib.save(nib.Nifti1Image(labels * scale + rest * (labels > 0), np.diag([-1.0, -1, 2, 1])), tmp_path / "l.nii.gz")
    convert([tmp_path / "l.nii.gz"], tmp_path / "out.nii.gz", Conversion(structures=("bladder", "rectum")))
    found = read_volume(tmp_path / "out.nii.gz").array
    assert np.bincount(found.ravel()).tolist() == [20 * 22 * 15 - 180, 100, 80]


def test_labels_that_are_not_whole_are_refused_with_a_value(tmp_path):
    labels = np.zeros((20, 22, 15))
    labels[5:10, 5:10, 4:8] = 0.75
    nib.save(nib.Nifti1Image(labels, np.diag([-1.0, -1, 2, 1])), tmp_path / "l.nii.gz")
    with pytest.raises(BadInput, match=r"has values that are not whole numbers \(0\.75\), 100 of 6600"):
        convert([tmp_path / "l.nii.gz"], tmp_path / "out.nii.gz", Conversion(structures=("bladder", "rectum")))
