import numpy as np
import pytest

from gynbtnet.imaging.geometry import Geometry
from gynbtnet.imaging.volume import Segmentation, Volume


def test_a_segmentation_knows_its_structures_by_name():
    labels = np.zeros((2, 5, 10), np.uint8)
    labels[0], labels[1, 0] = 1, 2
    segmentation = Segmentation(Volume(labels, Geometry((2, 5, 10), (2, 5, 10))), ("bladder", "rectum", "uterus"))
    assert np.array_equal(segmentation.mask("rectum"), labels == 2)
    assert segmentation.volume_cm3("bladder") == pytest.approx(50 * 0.1)
    assert segmentation.volume_cm3("uterus") == 0


def test_a_label_without_a_name_is_refused():
    with pytest.raises(ValueError, match="label 2 has no name"):
        Segmentation(Volume(np.full((1, 1, 1), 2, np.uint8), Geometry((1, 1, 1))), ("bladder",))


def test_an_array_off_its_grid_is_refused():
    with pytest.raises(ValueError, match="does not lie"):
        Volume(np.zeros((1, 2, 3)), Geometry((3, 2, 1)))
