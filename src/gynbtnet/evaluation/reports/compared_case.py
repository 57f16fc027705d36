"""A case with its reference contours and the predictions of several models, as a page shows it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gynbtnet.datasets.cohort import Cohort
from gynbtnet.evaluation.metrics.evaluation import read_prediction, read_truth
from gynbtnet.imaging.files.volume_files import read_volume
from gynbtnet.imaging.mask_measures import bounding_box, union_of_boxes
from gynbtnet.imaging.volume import Segmentation, Volume
from gynbtnet.pages.slice_drawing import REFERENCE
from gynbtnet.pages.slice_stack import SliceStack, slice_stack
from gynbtnet.pictures.overlays import MARGIN_MM
from gynbtnet.pictures.planes import PLANES, as_displayed
from gynbtnet.runtime.array_types import Box, Mask

STRUCTURE_MARGIN_MM = 25.0
_AXIS = {name: axis for axis, name in enumerate(PLANES)}


@dataclass(frozen=True)
class ComparedCase:
    """A scan and several segmentations of it, reoriented to anatomical axes.

    Attributes:
        case_id: id of the case.
        image: the scan in HU.
        segmentations: the reference first, then the prediction of each model, by model; all on the grid of ``image``,
            with the structures of the cohort in its order.
    """

    case_id: str
    image: Volume
    segmentations: Mapping[str, Segmentation]

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the models, without the reference."""
        return tuple(self.segmentations)[1:]

    def cropped(self) -> "ComparedCase":
        """Return the part around all contours; everything if there are none."""
        boxes = [box for segmentation in self.segmentations.values() for box in segmentation.boxes().values()]
        box = self.image.geometry.cube_around(union_of_boxes(boxes), MARGIN_MM)
        parts = {name: segmentation.cropped(box) for name, segmentation in self.segmentations.items()}
        return ComparedCase(self.case_id, self.image.cropped(box), parts)

    def stacks(self, isodoses: Mapping[str, Mask] | None = None) -> tuple[SliceStack, ...]:
        """Return the slices of the three planes.

        The slice shown first is through the centre of the reference. If it is empty, the first prediction with a
        contour takes its role; if all are empty, the centre of the scan.

        Args:
            isodoses: see :func:`gynbtnet.pages.slice_stack.slice_stack`.
        """
        covered = (segmentation.covered() for segmentation in self.segmentations.values())
        shown = next((mask for mask in covered if mask.any()), None)
        shape = self.image.array.shape
        middle = (np.asarray(shape) - 1) / 2 if shown is None else np.mean(np.argwhere(shown), axis=0)
        return tuple(
            slice_stack(
                self.image, self.segmentations, name, float(middle[_AXIS[name]]), is_wide=True, isodoses=isodoses
            )
            for name in PLANES
        )

    def worst_slice(self, structure: str | None = None) -> SliceStack:
        """Return the axial slice with the most wrong voxels, summed over the models.

        If no voxel is wrong, it is the slice with the largest area of the reference.

        Args:
            structure: the only structure to compare; None: all.
        """
        truth = self.segmentations[REFERENCE]
        wrong = sum(
            (_wrong_voxels(truth, self.segmentations[model], structure) for model in self.models),
            np.zeros(len(self.image.array), np.int64),
        )
        areas = wrong if wrong.any() else self._areas(structure).reference
        return self._slice(int(np.argmax(areas)), structure)

    def typical_slice(self, structure: str | None = None) -> SliceStack:
        """Return the axial slice whose DSC is nearest to that of the whole case, over all models.

        Only slices with the most structures of the reference are eligible, and of these those with at least half of the
        largest area. It is therefore at none of the ends. Without a reference it is the slice with the largest area of
        the predictions.

        Args:
            structure: the only structure to compare; None: all.
        """
        areas = self._areas(structure)
        both = areas.reference + areas.predicted
        if not areas.reference.any():
            return self._slice(int(np.argmax(both)), structure)
        whole = 2 * areas.common.sum() / both.sum()
        fullest = areas.structures == areas.structures.max()
        eligible = fullest & (areas.reference >= areas.reference[fullest].max() / 2)
        distance = np.abs(2 * areas.common / np.maximum(both, 1) - whole)
        return self._slice(int(np.argmin(np.where(eligible, distance, np.inf))), structure)

    def _areas(self, structure: str | None) -> "_Areas":
        shape = len(self.models) or 1, len(self.image.array)
        reference, predicted, common = (np.zeros(shape, np.int64) for _ in range(3))
        structures = np.zeros(shape[1], np.int64)
        truth = self.segmentations[REFERENCE]
        for name in truth.structures if structure is None else (structure,):
            mask = truth.mask(name)
            structures += mask.any(axis=(1, 2))
            for row, model in enumerate(self.models):
                drawn = self.segmentations[model].mask(name)
                reference[row] += mask.sum(axis=(1, 2))
                predicted[row] += drawn.sum(axis=(1, 2))
                common[row] += (mask & drawn).sum(axis=(1, 2))
        return _Areas(reference.sum(axis=0), predicted.sum(axis=0), common.sum(axis=0), structures)

    def _slice(self, index: int, structure: str | None) -> SliceStack:
        """Return an axial slice with its contours, or those of one structure, in the middle."""
        covered: Mask = np.zeros(self.image.array.shape[1:], bool)
        for segmentation in self.segmentations.values():
            for name in segmentation.structures if structure is None else (structure,):
                covered |= segmentation.mask(name, (slice(index, index + 1),))[0]
        box = bounding_box(covered)
        margin = MARGIN_MM if structure is None else STRUCTURE_MARGIN_MM
        geometry = self.image.geometry
        sides = _square(box, geometry.shape[1:], geometry.spacing[1:], margin) if box else (slice(None), slice(None))
        part = (slice(index, index + 1), *sides)
        segmentations = {name: segmentation.cropped(part) for name, segmentation in self.segmentations.items()}
        return slice_stack(self.image.cropped(part), segmentations, "axial", 0)


@dataclass(frozen=True)
class _Areas:
    """Voxels of each slice, summed over models and structures.

    Attributes:
        reference: in the reference.
        predicted: in the predictions.
        common: in both.
        structures: number of structures of the reference in each slice, rather than of voxels.
    """

    reference: npt.NDArray[np.int64]
    predicted: npt.NDArray[np.int64]
    common: npt.NDArray[np.int64]
    structures: npt.NDArray[np.int64]


def _wrong_voxels(truth: Segmentation, model: Segmentation, structure: str | None) -> npt.NDArray[np.int64]:
    """Count the voxels of each slice in which reference and prediction differ in a structure, or in any of them."""
    differ: Mask = np.zeros(truth.labels.array.shape, bool)
    for name in truth.structures if structure is None else (structure,):
        differ |= truth.mask(name) != model.mask(name)
    counts: npt.NDArray[np.int64] = differ.sum(axis=(1, 2))
    return counts


def _square(box: Box, shape: Sequence[int], spacing: Sequence[float], margin_mm: float) -> Box:
    """Return a square around a box, with a margin, moved into the picture; smaller only if the picture is."""
    side_mm = max((side.stop - side.start) * s for side, s in zip(box, spacing, strict=True)) + 2 * margin_mm
    sides = []
    for side, length, s in zip(box, shape, spacing, strict=True):
        size = min(length, round(side_mm / s))
        start = min(max(0, (side.start + side.stop - size) // 2), length - size)
        sides.append(slice(start, start + size))
    return tuple(sides)


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
    segmentations = {REFERENCE: read_truth(case, cohort.structures)}
    segmentations |= {
        model: read_prediction(case, folder, cohort.structures).relabelled(cohort.structures)
        for model, folder in predictions.items()
    }
    return ComparedCase(
        case_id=case_id,
        image=as_displayed(read_volume(case.image)),
        segmentations={name: segmentation.mapped(as_displayed) for name, segmentation in segmentations.items()},
    )
