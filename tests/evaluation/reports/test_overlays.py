"""Contours in pictures: position, colour, proportion and caption."""

import io

import numpy as np
import pytest
from matplotlib.image import imread

from gynbtnet.evaluation.reports.case_overlay import prediction_overlay
from gynbtnet.imaging import Geometry, Segmentation, StructureNames, Volume
from gynbtnet.pictures import MARGIN_MM, PlaneName, make_view, overlay_figure, render_picture, visible_colour

NAMES = StructureNames.load()
SPACING = (5.0, 2.0, 2.0)
# First axis runs to the feet, second to anterior: any reorientation on the way to a picture is visible.
DIRECTION = (1, 0, 0, 0, -1, 0, 0, 0, -1)


def scan(*boxes: tuple[slice, ...]) -> tuple[Volume, Segmentation]:
    geometry = Geometry((30, 100, 120), SPACING, (-100, 80, 300), DIRECTION)
    labels = np.zeros(geometry.shape, np.uint8)
    for label, box in enumerate(boxes, start=1):
        labels[box] = label
    structures = ("bladder", "sigmoid", "rectum")[: len(boxes)]
    return Volume(np.zeros(geometry.shape, np.int16), geometry), Segmentation(Volume(labels, geometry), structures)


def pixels(figure) -> np.ndarray:
    return imread(io.BytesIO(render_picture(figure, "").png))[..., :3]


def test_the_view_holds_all_contours_with_a_margin_and_looks_at_their_middle():
    image, truth = scan(np.s_[10:14, 40:50, 60:70])
    _, prediction = scan(np.s_[11:15, 40:50, 80:84])
    seen = make_view(image, prediction, truth)
    np.testing.assert_allclose(seen.point, image.geometry.to_world((11.5, 44.5, 64.5)))
    np.testing.assert_allclose(make_view(image, prediction).point, image.geometry.to_world((12.5, 44.5, 81.5)))
    for name in ("truth", "prediction"):
        whole, cropped = {"truth": truth, "prediction": prediction}[name], getattr(seen, name)
        assert cropped.mask("bladder").sum() == whole.mask("bladder").sum()
    lower, upper = np.argwhere(seen.truth.labels.array | seen.prediction.labels.array).T[:, [0, -1]].T
    shape = np.array(seen.image.geometry.shape)
    assert (shape < image.geometry.shape).any()
    sides = (np.minimum(lower, shape - 1 - upper) * seen.image.geometry.spacing)[1:]
    assert (sides >= MARGIN_MM - 2).all()


def test_a_scan_without_contours_is_shown_whole():
    image, empty = scan(np.s_[0:0, 0:0, 0:0])
    seen = make_view(image, empty, empty)
    assert seen.image.geometry.shape == image.geometry.shape
    assert pixels(overlay_figure(seen, NAMES)).max() > 0.9  # the letters at the edges


def test_image_and_contours_must_share_a_grid():
    image, truth = scan(np.s_[10:14, 40:50, 60:70])
    other = Volume(image.array[1:], Geometry((29, 100, 120), SPACING))
    with pytest.raises(ValueError, match="one grid"):
        make_view(other, truth)


def test_a_contour_has_the_position_and_colour_of_its_structure():
    """Show a structure at the patient's left and anterior side in the upper right of the axial picture."""
    image, prediction = scan(np.s_[10:14, 40:50, 40:50], np.s_[10:14, 60:70, 60:70])
    axial = pixels(overlay_figure(make_view(image, prediction), NAMES, ["axial"]))
    centres = []
    for structure in prediction.structures:
        rgb = np.array([int(visible_colour(structure, NAMES)[i : i + 2], 16) for i in (1, 3, 5)]) / 255
        indices = np.argwhere(np.abs(axial - rgb).max(axis=-1) < 0.05)
        assert len(indices) > 20
        centres.append(indices.mean(axis=0) / axial.shape[:2])
    bladder, sigmoid = centres
    assert sigmoid[0] < bladder[0] - 0.1
    assert sigmoid[1] > bladder[1] + 0.1


def test_pictures_are_in_true_proportion():
    image, empty = scan()
    proportions: dict[PlaneName, float] = {"axial": 200 / 240, "coronal": 150 / 240, "sagittal": 150 / 200}
    for name, proportion in proportions.items():
        height, width, _ = pixels(overlay_figure(make_view(image, empty), NAMES, [name])).shape
        assert height / width == pytest.approx(proportion, abs=0.01)


@pytest.mark.parametrize("structure", ["hr_ctv", "bladder", "rectum", "sigmoid", "uterus", "GTV_Mass_CT"])
def test_every_colour_can_be_seen_on_a_dark_scan(structure):
    red, green, blue = (int(visible_colour(structure, NAMES)[i : i + 2], 16) / 255 for i in (1, 3, 5))
    assert 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.39


def test_a_prediction_without_truth():
    image, prediction = scan(np.s_[10:14, 40:50, 40:50], np.s_[10:10, 0:0, 0:0])
    overlay = prediction_overlay("a pelvis", image, prediction, NAMES)
    assert "Bladder 8.0 cm³. Not found: Sigmoid." in overlay.caption
    assert [name for name, _ in overlay.legend] == ["Bladder"]
