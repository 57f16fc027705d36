"""Scores of a case, and of missing structures."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from gynbtnet.evaluation.metrics.metrics import dice, score_case
from gynbtnet.evaluation.metrics.score_table import METRICS
from gynbtnet.evaluation.metrics.settings import ScoringSettings
from gynbtnet.evaluation.metrics.surface_distance import surface_distances
from gynbtnet.imaging import Geometry, Segmentation, Volume

STRUCTURES = ("bladder", "rectum", "sigmoid")
SPACING = (3.0, 1.0, 1.0)


def segmentation(labels: np.ndarray, structures: tuple[str, ...] = STRUCTURES) -> Segmentation:
    return Segmentation(Volume(labels.astype(np.uint8), Geometry(labels.shape, SPACING)), structures)


def scored(truth: np.ndarray, prediction: np.ndarray, structures: tuple[str, ...] = STRUCTURES, **scoring):
    both = segmentation(truth), segmentation(prediction, structures)
    scores = score_case(*both, case="p1_f1", patient="p1", settings=ScoringSettings(**scoring))
    return {score.structure: score for score in scores}


def random_labels(seed: int) -> np.ndarray:
    """Return a label map of smooth regions in which a structure may be absent."""
    random = np.random.default_rng(seed)
    noise = ndimage.gaussian_filter(random.normal(size=(9, 15, 12)), 2)
    return np.digitize(noise / noise.std(), random.uniform(0, 2.5, size=3).cumsum())


def test_dice_by_hand():
    truth, prediction = np.zeros((2, 4, 4, 4))
    truth[0, 0, :4] = 1
    prediction[0, 0, 2:4] = 1
    prediction[0, 1, 2] = 1
    bladder = scored(truth, prediction)["bladder"]
    assert bladder.dsc == pytest.approx(2 * 2 / (4 + 3))
    assert (bladder.truth_cm3, bladder.prediction_cm3) == pytest.approx((4 * 0.003, 3 * 0.003))
    assert bladder.volume_difference_cm3 == pytest.approx(-0.003)
    # centroids (z, y, x): (0, 0, 1.5) and (0, 1/3, 7/3), of voxels of 3×1×1 mm
    assert bladder.centroid_shift_mm == pytest.approx(math.hypot(1 / 3, 7 / 3 - 1.5))
    assert bladder.hausdorff_mm == 2
    assert scored(truth, prediction, tolerance_mm=1)["bladder"].surface_dsc == pytest.approx((3 + 3) / 7)
    assert (bladder.case, bladder.patient, bladder.missing_in) == ("p1_f1", "p1", "none")


@given(seed=st.integers(0, 5000), other=st.integers(0, 5000))
@settings(max_examples=40, deadline=None)
def test_cropping_changes_nothing_and_dice_is_symmetric(seed, other):
    truth, prediction = random_labels(seed), random_labels(other)
    forward, back = scored(truth, prediction), scored(prediction, truth)
    for label, structure in enumerate(STRUCTURES, start=1):
        score, true, predicted = forward[structure], truth == label, prediction == label
        if score.missing_in == "both":
            assert all(math.isnan(getattr(score, metric)) for metric in METRICS)
            continue
        assert 0 <= score.dsc <= 1
        assert score.dsc == back[structure].dsc == dice(true, predicted)
        assert score.hd95_mm == pytest.approx(back[structure].hd95_mm)
        assert (score.dsc == 1) == (score.asd_mm == 0)
        assert score.volume_difference_cm3 == pytest.approx(-back[structure].volume_difference_cm3)
        if score.missing_in == "none":
            distances = surface_distances(true, predicted, SPACING)
            assert (score.hd95_mm, score.asd_mm) == pytest.approx((distances.hd95, distances.asd))
            assert (score.hausdorff_mm, score.surface_dsc) == pytest.approx(
                (distances.hausdorff, distances.surface_dsc(2))
            )
            centres = [np.multiply(ndimage.center_of_mass(mask), SPACING) for mask in (true, predicted)]
            assert score.centroid_shift_mm == pytest.approx(np.linalg.norm(np.subtract(*centres)))


def test_missed_structure_has_the_worst_distance():
    truth = np.zeros((4, 5, 6))
    truth[1, 1, 1] = 3
    missed = scored(truth, np.zeros_like(truth))["sigmoid"]
    assert missed.missing_in == "prediction"
    assert missed.dsc == 0
    assert missed.hd95_mm == missed.asd_mm == pytest.approx(math.sqrt(6**2 + 3**2 + 4**2))
    assert missed.hausdorff_mm == missed.centroid_shift_mm == pytest.approx(missed.hd95_mm)
    assert (missed.surface_dsc, missed.volume_difference_cm3) == (0, -0.003)


def test_false_structure_has_the_worst_distance():
    prediction = np.zeros((4, 5, 6))
    prediction[1, 1, 1] = 3
    false = scored(np.zeros_like(prediction), prediction)["sigmoid"]
    assert (false.missing_in, false.dsc) == ("truth", 0)
    assert false.hd95_mm == pytest.approx(math.sqrt(6**2 + 3**2 + 4**2))


@given(seed=st.integers(0, 5000))
@settings(max_examples=15, deadline=None)
def test_missed_structure_is_never_better_than_any_voxel(seed):
    truth = np.where(random_labels(seed) == 1, 1, 0)
    truth[4, 7, 6] = 1
    worst = scored(truth, np.zeros_like(truth))["bladder"]
    one_voxel = np.zeros_like(truth)
    one_voxel[tuple(np.random.default_rng(seed).integers(truth.shape))] = 1
    placed = scored(truth, one_voxel)["bladder"]
    assert worst.dsc <= placed.dsc
    assert worst.hd95_mm >= placed.hd95_mm
    assert worst.asd_mm >= placed.asd_mm
    assert worst.surface_dsc <= placed.surface_dsc
    assert worst.hausdorff_mm >= placed.hausdorff_mm
    assert worst.centroid_shift_mm >= placed.centroid_shift_mm


@pytest.mark.parametrize("side", ["prediction", "truth"])
def test_policies_by_hand(side):
    contoured, empty = np.zeros((2, 4, 5, 6))
    contoured[1, 1, 1] = 1
    both = (contoured, empty) if side == "prediction" else (empty, contoured)
    diagonal = scored(*both, missing_structure_policy="diagonal")["bladder"]
    assert diagonal.missing_in == side
    assert (diagonal.dsc, diagonal.surface_dsc) == (0, 0)
    for metric in ("hd95_mm", "asd_mm", "hausdorff_mm", "centroid_shift_mm"):
        assert getattr(diagonal, metric) == pytest.approx(math.sqrt(9**2 + 4**2 + 5**2))
    dropped = scored(*both, missing_structure_policy="drop")["bladder"]
    assert (dropped.missing_in, dropped.is_scored) == (side, False)
    assert all(math.isnan(getattr(dropped, metric)) for metric in METRICS)
    assert dropped.truth_cm3 + dropped.prediction_cm3 == pytest.approx(0.003)


def test_labels_are_matched_by_name():
    truth = np.zeros((4, 5, 6))
    truth[1:3, 1:3, 1:3] = 1
    prediction = np.where(truth == 1, 2, 0)
    matched = scored(truth, prediction, ("rectum", "bladder", "sigmoid", "uterus"))
    assert matched["bladder"].dsc == 1
    with pytest.raises(ValueError, match="sigmoid"):
        scored(truth, prediction, ("rectum", "bladder"))


def test_grids_must_match():
    with pytest.raises(ValueError, match="shapes differ"):
        scored(np.zeros((4, 5, 6)), np.zeros((4, 5, 7)))
