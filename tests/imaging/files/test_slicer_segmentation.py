"""Segmentations for 3D Slicer, read back by SimpleITK."""

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from gynbtnet.imaging.files.slicer_segmentation import assign_layers, write_slicer_segmentation
from gynbtnet.imaging.geometry import Geometry
from gynbtnet.imaging.label_map import paint_label_map
from gynbtnet.imaging.structure_names import StructureNames
from gynbtnet.imaging.volume import Segmentation

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
