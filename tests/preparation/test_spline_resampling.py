import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from gynbtnet.imaging import Geometry, Volume, to_sitk
from gynbtnet.preparation.planning.anisotropy import separate_axis
from gynbtnet.preparation.spline_resampling import resample, resample_labels

GRID = Geometry((12, 20, 24), (3.0, 1.0, 1.25), (-20.0, 35.0, 7.0))
FLIPPED = (-1.0, 0, 0, 0, -1.0, 0, 0, 0, 1.0)
FINER, COARSER, MIXED = (1.5, 0.8, 0.7), (4.0, 2.5, 2.0), (1.0, 1.0, 2.0)


def smooth_noise(geometry: Geometry, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(0, 100, geometry.shape)
    return ndimage.gaussian_filter(noise, 1.5).astype(np.float32)


@pytest.mark.parametrize("spacing", [FINER, COARSER, MIXED])
@pytest.mark.parametrize("order", [1, 3])
def test_as_scipy_zooms(spacing: tuple[float, float, float], order: int) -> None:
    array, target = smooth_noise(GRID), GRID.with_spacing(spacing)
    zoom = np.asarray(target.shape) / GRID.shape
    expected = ndimage.zoom(array, zoom, order=order, mode="nearest", grid_mode=True).clip(array.min(), array.max())
    np.testing.assert_allclose(resample(array, GRID, target, order), expected, atol=1e-3)


@pytest.mark.parametrize("spacing", [FINER, COARSER, MIXED])
@pytest.mark.parametrize(("order", "interpolator"), [(1, sitk.sitkLinear), (3, sitk.sitkBSpline)])
def test_the_same_world_points_as_simpleitk(spacing: tuple[float, float, float], order: int, interpolator: int) -> None:
    """Only inner voxels are compared: SimpleITK has no values at the edge, and reflects its cubic spline near it."""
    source = Geometry(GRID.shape, GRID.spacing, GRID.origin, FLIPPED)
    target = GRID.with_spacing(spacing)
    target = Geometry(target.shape, target.spacing, tuple(source.with_spacing(spacing).to_world((0, 0, 0))), FLIPPED)
    array = smooth_noise(source)
    expected = sitk.GetArrayFromImage(
        sitk.Resample(
            to_sitk(Volume(array, source)),
            to_sitk(Volume(np.zeros(target.shape, np.float32), target)),
            sitk.Transform(),
            interpolator,
        )
    )
    index = source.to_index(target.to_world(np.indices(target.shape).reshape(3, -1).T))
    margin = 0 if order == 1 else 3
    inside = ((index >= margin) & (index <= np.asarray(source.shape) - 1 - margin)).all(1).reshape(target.shape)
    assert inside.sum() > 100
    ours = resample(array, source, target, order)
    assert np.abs(ours - expected)[inside].max() < 0.01 * array.std()


@settings(max_examples=40, deadline=None)
@given(
    shape=st.tuples(*[st.integers(1, 12)] * 3),
    spacing=st.tuples(*[st.floats(0.3, 4)] * 3),
    target_spacing=st.tuples(*[st.floats(0.3, 4)] * 3),
    order=st.sampled_from([0, 1, 3]),
)
def test_constants_stay_and_the_box_is_covered(
    shape: tuple[int, int, int],
    spacing: tuple[float, float, float],
    target_spacing: tuple[float, float, float],
    order: int,
) -> None:
    source = Geometry(shape, spacing, (1.0, 2.0, 3.0))
    target = source.with_spacing(target_spacing)
    corners = [(-0.5,) * 3, tuple(n - 0.5 for n in target.shape)]
    np.testing.assert_allclose(
        source.to_index(target.to_world(corners)), np.stack([np.full(3, -0.5), np.asarray(shape) - 0.5]), atol=1e-9
    )
    resampled = resample(np.full(shape, 7.0, np.float32), source, target, order)
    np.testing.assert_allclose(resampled, np.full(target.shape, 7.0), rtol=1e-4)


def test_a_reoriented_target_gets_reoriented_values() -> None:
    """World positions decide, for any order and direction of the axes."""
    linear = np.einsum(
        "i,i...->...", [2.0, -3.0, 5.0], np.moveaxis(GRID.to_world(np.moveaxis(np.indices(GRID.shape), 0, -1)), -1, 0)
    )
    direction = (0.0, 0, -1.0, 1.0, 0, 0, 0, -1.0, 0)
    target = Geometry((10, 8, 6), (1.0, 1.0, 2.0), tuple(GRID.to_world((8.0, 4.0, 20.0))), direction)
    points = target.to_world(np.moveaxis(np.indices(target.shape), 0, -1))
    index = GRID.to_index(points)
    assert ((index >= 0) & (index <= np.asarray(GRID.shape) - 1)).all()
    ours = resample(linear, GRID, target, order=1)
    np.testing.assert_allclose(ours, points @ [2.0, -3.0, 5.0], atol=1e-3)


def test_leading_axes_are_kept() -> None:
    target = GRID.with_spacing(MIXED)
    arrays = np.stack([smooth_noise(GRID, seed) for seed in range(3)])
    ours = resample(arrays, GRID, target, 3)
    assert ours.shape == (3, *target.shape)
    np.testing.assert_allclose(ours[1], resample(arrays[1], GRID, target, 3), atol=1e-4)


def test_an_array_that_does_not_fit_the_grid_is_refused() -> None:
    with pytest.raises(ValueError, match="does not fit a grid"):
        resample(np.zeros((2, 2, 2), np.float32), GRID, GRID, 1)


@pytest.mark.parametrize("spacing", [FINER, COARSER, MIXED])
def test_labels_are_the_highest_of_all_interpolated_masks(spacing: tuple[float, float, float]) -> None:
    field = smooth_noise(GRID)
    labels = np.digitize(field, [0.5 * field.std(), field.std()]).astype(np.uint8)
    labels[labels == 2] = 9  # labels in between don't occur
    target = GRID.with_spacing(spacing)
    zoom = np.asarray(target.shape) / GRID.shape
    masks = np.stack(
        [ndimage.zoom((labels == k).astype(float), zoom, order=1, mode="nearest", grid_mode=True) for k in (0, 1, 9)]
    )
    second, highest = np.sort(masks, axis=0)[-2:]
    clear = highest - second > 1e-4
    ours = resample_labels(labels, GRID, target)
    np.testing.assert_array_equal(ours[clear], np.array([0, 1, 9])[masks.argmax(0)][clear])
    assert ours.dtype == np.uint8


def test_the_nearest_voxel_settles_a_tie_and_the_same_grid_changes_nothing() -> None:
    source = Geometry((1, 1, 4))
    labels = np.array([[[0, 3, 3, 0]]], np.uint8)
    assert resample_labels(labels, source, source.with_shape((1, 1, 2))).tolist() == [[[3, 0]]]  # at 0.5 and 2.5
    np.testing.assert_array_equal(resample_labels(labels, source, source), labels)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_label_between_the_voxel_centres_of_the_target_vanishes(axis: int) -> None:
    """Every third plane is sampled, so that the linear weights of the one between two of them are 0."""
    source = Geometry((9, 9, 9))
    labels = np.zeros(source.shape, np.uint8)
    labels[2:8, 2:8, 2:8] = 2
    box: list[slice] = [slice(3, 6)] * 3
    box[axis] = slice(5, 6)  # sampled are 1, 4 and 7
    alone = resample_labels(labels, source, source.with_shape((3, 3, 3)))
    labels[tuple(box)] = 1
    resampled = resample_labels(labels, source, source.with_shape((3, 3, 3)))
    assert set(np.unique(alone)) == {0, 2}
    np.testing.assert_array_equal(resampled, alone)
    only = np.where(labels == 1, labels, 0)
    assert not resample_labels(only, source, source.with_shape((3, 3, 3))).any()


def test_label_volumes_are_kept_on_a_finer_grid_and_back() -> None:
    centre = np.asarray(GRID.shape) / 2
    ball = (((np.indices(GRID.shape).T - centre) * GRID.spacing) ** 2).sum(-1).T < 8**2
    fine = GRID.with_spacing((1.0, 0.5, 0.5))
    finer = resample_labels(ball.astype(np.uint8), GRID, fine)
    assert finer.sum() * fine.voxel_volume == pytest.approx(ball.sum() * GRID.voxel_volume, rel=0.03)
    back = resample_labels(finer, fine, GRID)
    assert (back > 0).sum() == pytest.approx(ball.sum(), rel=0.02)


ISOTROPIC, THICK, THIN_AXIS = (2.0, 2.0, 2.0), (5.0, 1.0, 1.25), (1.0, 4.0, 1.1)


@pytest.mark.parametrize("kind", ["image", "labels"])
@pytest.mark.parametrize(
    ("spacing", "target_spacing", "axis"),
    [
        (ISOTROPIC, (1.3, 1.1, 1.7), None),
        (ISOTROPIC, (3.0, 4.0, 2.5), None),
        (ISOTROPIC, (3.1, 1.0, 1.0), 0),
        (THICK, (1.5, 1.5, 1.5), 0),
        (THICK, (7.0, 0.8, 1.0), 0),
        (THICK, (5.0, 1.5, 1.5), 0),
        (THIN_AXIS, (1.5, 1.5, 1.5), 1),
        ((0.5, 2.0, 2.0), (1.0, 1.0, 1.0), None),
        ((2.0, 0.5, 2.0), (4.0, 1.0, 1.0), None),
    ],
)
def test_as_nnunet_resamples(
    spacing: tuple[float, float, float], target_spacing: tuple[float, float, float], axis: int | None, kind: str
) -> None:
    """Compare with nnU-Net's own function: the separate axis, values, clipping and the labels of each slice."""
    nnunet = pytest.importorskip("nnunetv2.preprocessing.resampling.default_resampling")
    source = Geometry((14, 19, 23), spacing)
    target, field = source.with_spacing(target_spacing), smooth_noise(source)
    assert tuple(nnunet.compute_new_shape(source.shape, spacing, target_spacing)) == target.shape
    assert separate_axis(spacing, target_spacing) == axis
    labels = np.digitize(field, [0.5 * field.std(), field.std()]).astype(np.uint8)
    array = field if kind == "image" else labels
    expected = nnunet.resample_data_or_seg_to_shape(
        array[np.newaxis],
        target.shape,
        spacing,
        target_spacing,
        is_seg=kind == "labels",
        order=3 if kind == "image" else 1,
        order_z=0,
        force_separate_z=None,
    )[0]
    if kind == "image":
        ours = resample(field, source, target, 3, separate=axis)
        np.testing.assert_allclose(ours, expected, atol=2e-3 * field.std())
    else:
        for label in (1, 2):
            ours, theirs = resample_labels(labels, source, target, separate=axis) == label, expected == label
            assert 2 * (ours & theirs).sum() / (ours.sum() + theirs.sum()) >= 0.995


@settings(max_examples=200, deadline=None)
@given(
    spacing=st.tuples(*[st.sampled_from([0.5, 1.0, 1.4, 1.5, 3.0, 3.1, 5.0])] * 3),
    target_spacing=st.tuples(*[st.sampled_from([0.5, 1.0, 1.5, 3.0, 5.0])] * 3),
)
def test_the_separate_axis_is_nnunets(
    spacing: tuple[float, float, float], target_spacing: tuple[float, float, float]
) -> None:
    nnunet = pytest.importorskip("nnunetv2.preprocessing.resampling.default_resampling")
    assert (
        separate_axis(spacing, target_spacing) == nnunet.determine_do_sep_z_and_axis(None, spacing, target_spacing)[1]
    )


def test_a_separate_axis_is_found_in_any_axis_order() -> None:
    """The same voxels with permuted axes give the same scan."""
    source = Geometry((6, 18, 22), THICK)
    array, target = smooth_noise(source), source.with_spacing((1.5, 1.5, 1.5))
    stored = Geometry((22, 6, 18), (1.25, 5.0, 1.0), direction=(0.0, 0, 1.0, 1.0, 0, 0, 0, 1.0, 0))
    np.testing.assert_allclose(
        resample(array.transpose(2, 0, 1), stored, target, 3, separate=0),
        resample(array, source, target, 3, separate=0),
        atol=1e-4,
    )
