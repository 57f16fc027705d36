"""One case with its truth and what each model drew, as a page shows it."""

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

TRUTH = "truth"
STRUCTURE_MARGIN_MM = 25.0
_AXIS = {name: axis for axis, name in enumerate(PLANES)}


@dataclass(frozen=True)
class ComparedCase:
    """A scan and several contourings of it, in anatomical axes.

    Attributes:
        case_id: of the case.
        image: HU.
        drawn: by who drew them, truth first; all on the image's grid, with the cohort's structures in its order.
    """

    case_id: str
    image: Volume
    drawn: Mapping[str, Segmentation]

    @property
    def models(self) -> tuple[str, ...]:
        """Who drew, but for the truth."""
        return tuple(self.drawn)[1:]

    def cropped(self, structure: str | None = None) -> "ComparedCase":
        """The part around all that is drawn, or around one structure; all where nothing is drawn."""
        boxes = [one.boxes() for one in self.drawn.values()]
        shown = [box for each in boxes for name, box in each.items() if structure in (None, name)]
        margin = MARGIN_MM if structure is None else STRUCTURE_MARGIN_MM
        box = self.image.geometry.cube_around(union_of_boxes(shown), margin)
        drawn = {who: one.cropped(box) for who, one in self.drawn.items()}
        return ComparedCase(self.case_id, self.image.cropped(box), drawn)

    def stacks(self) -> tuple[SliceStack, ...]:
        """The slices of the three planes, beginning where the truth's middle lies, or the drawings' without a truth."""
        anything = next((one for one in self.drawn.values() if one.labels.array.any()), None)
        shape = self.image.array.shape
        middle = (
            np.mean(np.argwhere(anything.labels.array), axis=0) if anything is not None else (np.asarray(shape) - 1) / 2
        )
        return tuple(slice_stack(self.image, self.drawn, name, float(middle[_AXIS[name]])) for name in PLANES)

    def worst_slice(self, structure: str | None = None) -> SliceStack:
        """The axial slice with the most wrong voxels, all models together, of all structures or of one.

        Where nothing is wrong, that with most of the truth.
        """
        truth = self.drawn[TRUTH]
        wrong = sum(
            (_wrong(truth, self.drawn[model], structure) for model in self.models), np.zeros(len(self.image.array), int)
        )
        if not wrong.any():
            wrong = (truth.labels.array > 0 if structure is None else truth.mask(structure)).sum(axis=(1, 2))
        place = int(np.argmax(wrong))
        return slice_stack(self.image, self.drawn, "axial", place, slice(place, place + 1))


def compared_case(cohort: Cohort, case_id: str, predictions: Mapping[str, Path]) -> ComparedCase:
    """Read a case of ``cohort`` and its contours in each model's folder of ``predictions``.

    Raises:
        BadInput: as of :func:`gynbtnet.evaluation.metrics.evaluation.evaluate`.
    """
    case = cohort.case(case_id)
    drawn = {TRUTH: read_truth(case, cohort.structures)}
    drawn |= {
        model: read_prediction(case, folder, cohort.structures).relabelled(cohort.structures)
        for model, folder in predictions.items()
    }
    return ComparedCase(
        case_id=case_id,
        image=as_displayed(read_volume(case.image)),
        drawn={who: one.mapped(as_displayed) for who, one in drawn.items()},
    )


def _wrong(truth: Segmentation, model: Segmentation, structure: str | None) -> npt.NDArray[np.int64]:
    """Voxels of each slice in which one has what the other hasn't."""
    if structure is not None:
        differ = truth.mask(structure) != model.mask(structure)
    else:
        differ = truth.labels.array != model.labels.array
    counts: npt.NDArray[np.int64] = differ.sum(axis=(1, 2))
    return counts
