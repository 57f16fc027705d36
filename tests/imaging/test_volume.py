"""Operations of volumes and segmentations, compared with NumPy, SciPy and SimpleITK."""

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from gynbtnet.imaging.files.library_images import to_sitk
from gynbtnet.imaging.geometry import Geometry
from gynbtnet.imaging.label_map import paint_label_map
from gynbtnet.imaging.structure_masks import OverlappingSegmentation, StructureMasks
from gynbtnet.imaging.volume import Segmentation, Volume, label_type

STRUCTURES = ("bladder", "rectum", "uterus", "sigmoid")
OBLIQUE = (0.0, -1.0, 0.0, 0.8, 0.0, -0.6, 0.6, 0.0, 0.8)


@st.composite
def boxed_label_maps(draw: st.DrawFn) -> tuple[Segmentation, tuple[slice, ...]]:
    """Random label maps on oblique grids, and a box with at least one voxel; the last structure may be absent."""
    shape = draw(st.tuples(*[st.integers(1, 9)] * 3))
    spacing = draw(st.tuples(*[st.floats(0.2, 5)] * 3))
    origin = draw(st.tuples(*[st.floats(-300, 300)] * 3))
    seed = draw(st.integers(0, 2**32 - 1))
    labels = np.random.default_rng(seed).integers(0, draw(st.integers(1, 5)), shape).astype(np.uint8)
    lower = [draw(st.integers(0, n - 1)) for n in shape]
    box = tuple(slice(low, draw(st.integers(low + 1, n))) for low, n in zip(lower, shape, strict=True))
    return Segmentation(Volume(labels, Geometry(shape, spacing, origin, OBLIQUE)), STRUCTURES), box


@settings(max_examples=60, deadline=None)
@given(boxed_label_maps())
def test_a_cropped_volume_is_the_region_of_interest_of_simpleitk(example) -> None:
    segmentation, box = example
    cropped = segmentation.cropped(box)
    expected = sitk.RegionOfInterest(
        to_sitk(segmentation.labels), [s.stop - s.start for s in box[::-1]], [s.start for s in box[::-1]]
    )
    np.testing.assert_array_equal(cropped.labels.array, sitk.GetArrayFromImage(expected))
    assert cropped.labels.geometry.shape == expected.GetSize()[::-1]
    np.testing.assert_allclose(cropped.labels.geometry.origin, expected.GetOrigin(), atol=1e-9)
    assert cropped.labels.geometry.spacing == segmentation.labels.geometry.spacing
    assert cropped.structures == segmentation.structures


@settings(max_examples=60, deadline=None)
@given(boxed_label_maps())
def test_boxes_centroids_and_volumes_are_those_of_simpleitk(example) -> None:
    segmentation, _ = example
    measured = sitk.LabelShapeStatisticsImageFilter()
    measured.Execute(to_sitk(segmentation.labels))
    for label, name in enumerate(STRUCTURES, start=1):
        assert segmentation.label_of(name) == label
        if label not in measured.GetLabels():
            assert segmentation.box(name) is None
            assert segmentation.centroid_mm(name) is None
            assert segmentation.volume_cm3(name) == segmentation.volumes_cm3()[name] == 0
            continue
        x, y, z, *size = measured.GetBoundingBox(label)
        assert segmentation.box(name) == tuple(
            slice(low, low + n) for low, n in zip((z, y, x), size[::-1], strict=True)
        )
        np.testing.assert_allclose(segmentation.centroid_mm(name), measured.GetCentroid(label), atol=1e-6)
        assert segmentation.volume_cm3(name) == pytest.approx(measured.GetPhysicalSize(label) / 1000)
        assert segmentation.volumes_cm3()[name] == pytest.approx(measured.GetPhysicalSize(label) / 1000)


@settings(max_examples=60, deadline=None)
@given(boxed_label_maps(), st.permutations([*STRUCTURES, "vagina"]), st.integers(1, 5))
def test_relabelling_changes_labels_and_no_mask(example, order, kept) -> None:
    segmentation, _ = example
    relabelled = segmentation.relabelled(order[:kept])
    assert relabelled.structures == tuple(order[:kept])
    for label, name in enumerate(order[:kept], start=1):
        expected = segmentation.mask(name) if name in STRUCTURES else np.zeros(relabelled.labels.array.shape, bool)
        np.testing.assert_array_equal(relabelled.labels.array == label, expected)
    assert segmentation.relabelled(STRUCTURES) is segmentation


def test_overlapping_masks_are_boxed_measured_and_relabelled_uncut() -> None:
    masks = {name: np.zeros((6, 7, 8), bool) for name in STRUCTURES}
    masks["bladder"][1:5, 2:6, 1:7] = masks["rectum"][2:6, 3:7, 4:8] = masks["uterus"][0, 0, 0] = True
    geometry = Geometry((6, 7, 8), (2.0, 1.0, 0.5), (5.0, -4.0, 3.0))
    segmentation, overlaps = paint_label_map(masks, STRUCTURES, geometry)
    assert overlaps
    assert isinstance(segmentation, OverlappingSegmentation)
    relabelled = segmentation.relabelled(("uterus", "bladder"))
    cropped = segmentation.cropped((slice(1, 6), slice(2, 7), slice(1, 8)))
    for name, mask in masks.items():
        assert segmentation.box(name) == ndimage.find_objects(mask.astype(int), 1)[0]
        assert segmentation.volumes_cm3()[name] == pytest.approx(mask.sum() / 1000)
        np.testing.assert_array_equal(cropped.mask(name), mask[1:6, 2:7, 1:8])
        if name in relabelled.structures:
            np.testing.assert_array_equal(relabelled.mask(name), mask)
    centre = segmentation.centroid_mm("bladder")
    np.testing.assert_allclose(centre, geometry.to_world(ndimage.center_of_mass(masks["bladder"])))
    assert not isinstance(segmentation.relabelled(("uterus",)), OverlappingSegmentation)


def test_selected_masks_keep_their_voxels() -> None:
    random = np.random.default_rng(0)
    masks = {name: random.random((3, 4, 5)) < 0.5 for name in STRUCTURES}
    packed = StructureMasks.of(masks, Geometry((3, 4, 5)))
    selected = packed.selected(("vagina", "sigmoid", "bladder"))
    assert selected is not None
    assert selected.structures == ("bladder", "sigmoid")
    for name in selected.structures:
        np.testing.assert_array_equal(selected.mask(name), masks[name])
    assert packed.selected(("vagina",)) is None


def test_a_segmentation_knows_its_structures_by_name() -> None:
    labels = np.zeros((2, 5, 10), np.uint8)
    labels[0], labels[1, 0] = 1, 2
    segmentation = Segmentation(Volume(labels, Geometry((2, 5, 10), (2, 5, 10))), ("bladder", "rectum", "uterus"))
    assert np.array_equal(segmentation.mask("rectum"), labels == 2)
    assert segmentation.volume_cm3("bladder") == pytest.approx(50 * 0.1)
    assert segmentation.volume_cm3("uterus") == 0
    with pytest.raises(ValueError, match="there is no structure vagina, only bladder, rectum, uterus"):
        segmentation.mask("vagina")


def test_a_label_without_a_name_is_refused() -> None:
    with pytest.raises(ValueError, match="label 2 has no name"):
        Segmentation(Volume(np.full((1, 1, 1), 2, np.uint8), Geometry((1, 1, 1))), ("bladder",))


def test_an_array_that_does_not_fit_its_grid_is_refused() -> None:
    with pytest.raises(ValueError, match="does not fit"):
        Volume(np.zeros((1, 2, 3)), Geometry((3, 2, 1)))


def test_labels_of_many_structures_take_16_bits() -> None:
    assert label_type(255) is np.uint8
    assert label_type(256) is np.uint16
