"""Added path length: cases worked by hand, and platipy's definition written with SimpleITK's filters."""

import math

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st

from gynbtnet.evaluation import ScoringSettings, score_case
from gynbtnet.evaluation.metrics.added_path_length import added_path_length, slice_contours
from gynbtnet.imaging import Geometry, Segmentation, Volume

SPACING = (3.0, 0.8, 1.2)  # 1 mm per contour voxel


def square(side: int, at: tuple[int, int] = (3, 3), slices: tuple[int, int] = (1, 3)) -> np.ndarray:
    mask = np.zeros((4, 16, 16), bool)
    mask[slices[0] : slices[1], at[0] : at[0] + side, at[1] : at[1] + side] = True
    return mask


@pytest.mark.parametrize(
    ("before", "after", "tolerance", "added", "total"),
    [
        (square(5), square(5), 0, 0, 2 * 16),
        (
            square(5),
            square(5, (3, 4)),
            0,
            2 * 8,
            2 * 16,
        ),  # of 16 voxels, four of the top and four of the bottom row agree
        (square(5), square(5, (3, 4)), 1, 0, 2 * 16),
        (square(5), square(7, (2, 2)), 0, 2 * 24, 2 * 24),  # one voxel larger all around
        (square(5), square(7, (2, 2)), 1, 0, 2 * 24),
        (square(5), square(9, (1, 1)), 1, 2 * 32, 2 * 32),
        (square(5), square(5, slices=(1, 4)), 1, 16, 3 * 16),  # a slice was added
        (square(5), square(5, slices=(1, 2)), 0, 0, 16),  # a slice was deleted: nothing to draw
        (square(5), square(5) & False, 0, 0, 0),
        (square(5) & False, square(1), 0, 2, 2),
    ],
)
def test_cases_by_hand(before, after, tolerance, added, total) -> None:
    length = added_path_length(before, after, SPACING, tolerance)
    assert (length.added_mm, length.total_mm) == pytest.approx((added, total))
    assert length.share == pytest.approx(added / total if total else math.nan, nan_ok=True)


def test_a_hole_has_a_contour() -> None:
    ring = square(5)
    ring[:, 5, 5] = False
    # Eight voxels around the hole were contour-free; its four face neighbours become contour voxels.
    assert added_path_length(square(5), ring, SPACING).added_mm == pytest.approx(2 * 4)


def test_the_edge_of_the_image_is_a_contour() -> None:
    assert slice_contours(np.ones((2, 4, 5), bool)).sum() == 2 * (4 * 5 - 2 * 3)


def as_platipy(before: np.ndarray, after: np.ndarray, voxels: int) -> float:
    """Return the number of added voxels by the filters that platipy 0.7's ``compute_apl`` applies to each slice."""
    added = 0
    for old, new in zip(before, after, strict=True):
        old_contour, new_contour = (
            sitk.LabelContour(sitk.GetImageFromArray(mask.astype(np.uint8))) for mask in (old, new)
        )
        if voxels:
            old_contour = sitk.BinaryDilate(old_contour, [voxels, voxels])
        added += int(sitk.GetArrayFromImage(sitk.MaskNegated(new_contour, old_contour)).sum())
    return added


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), density=st.floats(0.2, 0.9), voxels=st.sampled_from((0, 1)))
def test_it_is_platipys(seed: int, density: float, voxels: int) -> None:
    masks = np.zeros((2, 2, 12, 14), bool)
    masks[:, :, 1:-1, 1:-1] = np.random.default_rng(seed).random((2, 2, 10, 12)) < density
    before, after = masks
    assert added_path_length(before, after, (3.0, 1.0, 1.0), voxels).added_mm == as_platipy(before, after, voxels)


def test_scores_of_a_missed_and_a_false_structure() -> None:
    def segmentation(mask: np.ndarray) -> Segmentation:
        return Segmentation(Volume(mask.astype(np.uint8), Geometry(mask.shape, SPACING)), ("bladder",))

    drawn, nothing = segmentation(square(5)), segmentation(square(5) & False)
    for truth, prediction in ((drawn, nothing), (nothing, drawn)):
        for policy in ("worst", "diagonal"):
            chosen = ScoringSettings(missing_structure_policy=policy)
            (score,) = score_case(truth, prediction, case="c", patient="p", settings=chosen)
            assert score.added_path_length_mm == score.added_path_length_1_voxel_mm == pytest.approx(32)
            assert score.added_path_length_share == score.added_path_length_1_voxel_share == 1
    (score,) = score_case(drawn, segmentation(square(5, (3, 4))), case="c", patient="p")
    assert score.added_path_length_mm == pytest.approx(16)
    assert (score.added_path_length_share, score.added_path_length_1_voxel_mm) == (pytest.approx(1 / 2), 0)
