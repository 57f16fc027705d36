"""Segmentations for 3D Slicer, read back by SimpleITK."""

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from gynbtnet.imaging.files.slicer_segmentation import (
    assign_layers,
    read_slicer_segmentation,
    write_slicer_segmentation,
)
from gynbtnet.imaging.geometry import Geometry
from gynbtnet.imaging.label_map import paint_label_map
from gynbtnet.imaging.structure_names import StructureNames
from gynbtnet.imaging.volume import Segmentation
from gynbtnet.runtime import BadInput

TURNED = (0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
NAMES = StructureNames.load()


def drawn(geometry: Geometry, *, overlapping: bool) -> Segmentation:
    masks = {name: np.zeros(geometry.shape, bool) for name in ("hr_ctv", "bladder", "uterus", "ovary")}
    masks["hr_ctv"][1:4, 2:5, 2:4] = True
    masks["bladder"][1:4, 2:5, 4:6] = True
    masks["uterus"][2:5, 2:5, 2 : 4 if overlapping else 0] = True
    return paint_label_map(masks, tuple(masks), geometry)[0]


@pytest.mark.parametrize("direction", [Geometry((1, 1, 1)).direction, TURNED])
@pytest.mark.parametrize("overlapping", [True, False])
def test_simpleitk_reads_masks_positions_and_segments(
    tmp_path: Path, direction: tuple[float, ...], overlapping: bool
) -> None:
    geometry = Geometry((5, 6, 7), (3.0, 1.0, 1.5), (10.0, -20.0, 30.5), direction)
    segmentation = drawn(geometry, overlapping=overlapping)
    path = tmp_path / "contours.seg.nrrd"
    write_slicer_segmentation(segmentation, path, NAMES)
    image = sitk.ReadImage(str(path))
    assert image.GetSpacing() == pytest.approx(geometry.spacing[::-1])
    assert image.GetOrigin() == pytest.approx(geometry.origin)
    assert image.GetDirection() == pytest.approx(direction)
    layers = sitk.GetArrayFromImage(image).reshape(*geometry.shape, -1)
    assert layers.shape[-1] == 1 + overlapping
    for number, structure in enumerate(segmentation.structures):
        key = f"Segment{number}_"
        layer, label = (int(image.GetMetaData(key + name)) for name in ("Layer", "LabelValue"))
        np.testing.assert_array_equal(layers[..., layer] == label, segmentation.mask(structure))
        assert image.GetMetaData(key + "ID") == structure
        assert image.GetMetaData(key + "Name") == NAMES.tg263(structure)
        red = float(image.GetMetaData(key + "Color").split()[0])
        assert red == pytest.approx(NAMES.colour(structure)[0] / 255, abs=1e-5)
    assert image.GetMetaData("Segment0_Extent") == "2 3 2 4 1 3"
    assert image.GetMetaData("Segment3_Extent") == "0 -1 0 -1 0 -1"


def test_structures_of_a_layer_share_no_voxel() -> None:
    random = np.random.default_rng(0)
    geometry = Geometry((6, 6, 6))
    masks = {f"s{i}": random.random(geometry.shape) < 0.01 for i in range(12)}
    segmentation = paint_label_map(masks, tuple(masks), geometry)[0]
    layers = assign_layers(segmentation)
    for layer in set(layers.values()):
        members = [masks[name] for name, own in layers.items() if own == layer]
        assert np.sum(members, axis=0).max() <= 1
    assert len(set(layers.values())) < len(masks)


def test_the_same_segmentation_gives_the_same_bytes(tmp_path: Path) -> None:
    segmentation = drawn(Geometry((5, 6, 7)), overlapping=True)
    paths = [tmp_path / name for name in ("a.seg.nrrd", "b.seg.nrrd")]
    for path in paths:
        write_slicer_segmentation(segmentation, path, NAMES)
    assert paths[0].read_bytes() == paths[1].read_bytes()


@pytest.mark.parametrize("direction", [Geometry((1, 1, 1)).direction, TURNED])
@pytest.mark.parametrize("overlapping", [True, False])
def test_a_written_segmentation_is_read_back(tmp_path: Path, direction: tuple[float, ...], overlapping: bool) -> None:
    geometry = Geometry((5, 6, 7), (3.0, 1.0, 1.5), (10.0, -20.0, 30.5), direction)
    segmentation = drawn(geometry, overlapping=overlapping)
    path = tmp_path / "contours.seg.nrrd"
    write_slicer_segmentation(segmentation, path, NAMES)
    again = read_slicer_segmentation(path, NAMES)
    assert again.structures == segmentation.structures
    assert again.labels.geometry.is_same(geometry)
    for structure in segmentation.structures:
        np.testing.assert_array_equal(again.mask(structure), segmentation.mask(structure))


def test_segments_of_other_programs_are_known_by_name_then_by_id_else_keep_their_name(tmp_path: Path) -> None:
    path = tmp_path / "other.seg.nrrd"
    image = sitk.GetImageFromArray(np.array([[[0, 5, 9, 7]]], np.uint8))
    for number, (name, identity, label) in enumerate(
        [("Urinary Bladder", "Segment_1", 5), ("my segment", "hr_ctv", 9), ("Mesh", "Segment_3", 7)]
    ):
        image.SetMetaData(f"Segment{number}_Name", name)
        image.SetMetaData(f"Segment{number}_ID", identity)
        image.SetMetaData(f"Segment{number}_Layer", "0")
        image.SetMetaData(f"Segment{number}_LabelValue", str(label))
    sitk.WriteImage(image, str(path))
    segmentation = read_slicer_segmentation(path, NAMES)
    assert segmentation.structures == ("bladder", "hr_ctv", "Mesh")
    assert [int(segmentation.mask(name).argmax()) for name in segmentation.structures] == [1, 2, 3]


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("Segment1_LabelValue:=2\n", "", "no layer and label for the segment .*Bladder.* open it in 3D"),
        ("Segment1_Layer:=0", "Segment1_Layer:=7", "no layer and label for the segment"),
        ("Segment1_Name:=Bladder", "Segment1_Name:=HR-CTV", "two segments for hr_ctv; rename"),
        ("sizes: 2 7 6 5", "sizes: 3 7 6 5", "bytes of voxels"),
        ("kinds: list domain", "kinds: vector domain", "4 dimensions"),
        ("type: uint8", "type: float", "bytes|type"),
        ("_ID:=", "_IDS:=", "0 segments"),
    ],
)
def test_a_changed_header_gives_one_sentence(tmp_path: Path, old: str, new: str, sentence: str) -> None:
    path = tmp_path / "contours.seg.nrrd"
    write_slicer_segmentation(drawn(Geometry((5, 6, 7)), overlapping=True), path, NAMES)
    content = path.read_bytes()
    assert old.encode() in content
    path.write_bytes(content.replace(old.encode(), new.encode()))
    with pytest.raises(BadInput, match=sentence) as error:
        read_slicer_segmentation(path, NAMES)
    assert "\n" not in str(error.value)
