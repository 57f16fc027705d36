"""A case with its truth and the predictions of several models, as a page shows it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gynbtnet.datasets.cohort import Cohort
from gynbtnet.evaluation.metrics.evaluation import read_prediction, read_truth
from gynbtnet.evaluation.reports.slice_stack import SliceStack, slice_stack
from gynbtnet.imaging.files.volume_files import read_volume
from gynbtnet.imaging.mask_measures import union_of_boxes
from gynbtnet.imaging.volume import Segmentation, Volume
from gynbtnet.pictures.overlays import MARGIN_MM
from gynbtnet.pictures.planes import PLANES, as_displayed
from gynbtnet.runtime.array_types import Mask

TRUTH = "truth"
STRUCTURE_MARGIN_MM = 25.0
_AXIS = {name: axis for axis, name in enumerate(PLANES)}


@dataclass(frozen=True)
class ComparedCase:
    """A scan and several segmentations of it, reoriented to anatomical axes.

    Attributes:
        case_id: id of the case.
        image: the scan in HU.
        segmentations: the truth first, then the prediction of each model, by model; all on the grid of ``image``, with
            the structures of the cohort in its order.
    """

    case_id: str
    image: Volume
    segmentations: Mapping[str, Segmentation]

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the models, without the truth."""
        return tuple(self.segmentations)[1:]

    def cropped(self, structure: str | None = None) -> "ComparedCase":
        """Return the part around all contours, or around those of one structure; everything if there are none."""
        boxes = [
            box
            for segmentation in self.segmentations.values()
            for name, box in segmentation.boxes().items()
            if structure in (None, name)
        ]
        margin = MARGIN_MM if structure is None else STRUCTURE_MARGIN_MM
        box = self.image.geometry.cube_around(union_of_boxes(boxes), margin)
        parts = {name: segmentation.cropped(box) for name, segmentation in self.segmentations.items()}
        return ComparedCase(self.case_id, self.image.cropped(box), parts)

    def stacks(self) -> tuple[SliceStack, ...]:
        """Return the slices of the three planes.

        The slice shown first is through the centre of the truth. If the truth is empty, the first prediction with a
        contour takes its role; if all are empty, the centre of the scan.
        """
        covered = (segmentation.covered() for segmentation in self.segmentations.values())
        shown = next((mask for mask in covered if mask.any()), None)
        shape = self.image.array.shape
        middle = (np.asarray(shape) - 1) / 2 if shown is None else np.mean(np.argwhere(shown), axis=0)
        return tuple(slice_stack(self.image, self.segmentations, name, float(middle[_AXIS[name]])) for name in PLANES)

    def worst_slice(self, structure: str | None = None) -> SliceStack:
        """Return the axial slice with the most wrong voxels, summed over the models.

        If no voxel is wrong, it is the slice with the largest area of the truth.

        Args:
            structure: the only structure to compare; None: all.
        """
        truth = self.segmentations[TRUTH]
        wrong = sum(
            (_wrong_voxels(truth, self.segmentations[model], structure) for model in self.models),
            np.zeros(len(self.image.array), int),
        )
        if not wrong.any():
            wrong = (truth.covered() if structure is None else truth.mask(structure)).sum(axis=(1, 2))
        index = int(np.argmax(wrong))
        return slice_stack(self.image, self.segmentations, "axial", index, slice(index, index + 1))


def read_compared_case(cohort: Cohort, case_id: str, predictions: Mapping[str, Path]) -> ComparedCase:
    """Read a case of a cohort and its prediction by each model.

    Args:
        cohort: the cohort of the case.
        case_id: id of the case.
        predictions: folder of predictions, by model.

    Returns:
        The scan, its reference contours, and the prediction and metrics of each model.

    Raises:
        BadInput: If a prediction is absent or damaged, see :func:`gynbtnet.evaluation.metrics.evaluation.evaluate`.
    """
    case = cohort.case(case_id)
    segmentations = {TRUTH: read_truth(case, cohort.structures)}
    segmentations |= {
        model: read_prediction(case, folder, cohort.structures).relabelled(cohort.structures)
        for model, folder in predictions.items()
    }
    return ComparedCase(
        case_id=case_id,
        image=as_displayed(read_volume(case.image)),
        segmentations={name: segmentation.mapped(as_displayed) for name, segmentation in segmentations.items()},
    )


def _wrong_voxels(truth: Segmentation, model: Segmentation, structure: str | None) -> npt.NDArray[np.int64]:
    """Count the voxels of each slice in which truth and prediction differ in a structure, or in any of them."""
    differ: Mask = np.zeros(truth.labels.array.shape, bool)
    for name in truth.structures if structure is None else (structure,):
        differ |= truth.mask(name) != model.mask(name)
    counts: npt.NDArray[np.int64] = differ.sum(axis=(1, 2))
    return counts
