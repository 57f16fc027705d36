"""A case with its contours and isodoses for the viewer."""

from collections.abc import Mapping, Sequence

import numpy as np

from gynbtnet.datasets.case import Case
from gynbtnet.evaluation.reports.compared_case import ComparedCase
from gynbtnet.evaluation.reports.example_cases import structure_styles
from gynbtnet.imaging.files.volume_files import read_volume
from gynbtnet.imaging.resample_to_grid import resample_dose
from gynbtnet.imaging.structure_names import StructureNames
from gynbtnet.imaging.volume import Segmentation, Volume
from gynbtnet.pages.html_slices import REFERENCE, ViewedCase
from gynbtnet.pictures.planes import as_displayed
from gynbtnet.runtime.array_types import Mask

ISODOSES_GY = (2.0, 3.5, 5.0, 7.0, 10.0, 15.0)
"""Levels of the isodoses of one fraction in Gy."""
PREDICTION = "prediction"


def viewed_dose(
    case: Case,
    doses: Sequence[Volume],
    manual: Segmentation,
    automatic: Segmentation | None,
    names: StructureNames,
    divisor: float = 1,
) -> ViewedCase:
    """Return a case with the isodoses of one fraction.

    Args:
        case: the case, whose image is read.
        doses: dose grids in Gy, which are summed.
        manual: reference contours.
        automatic: predicted contours on the same grid; None if there are none.
        names: names and colours of the structures.
        divisor: number by which the doses are divided.
    """
    segmentations = {REFERENCE: manual.mapped(as_displayed)}
    if automatic is not None:
        segmentations[PREDICTION] = automatic.relabelled(manual.structures).mapped(as_displayed)
    shown = ComparedCase(case.id, as_displayed(read_volume(case.image)), segmentations).cropped()
    isodoses = isodose_masks(doses, shown.image, divisor)
    return ViewedCase(
        title=f"Fraction {case.fraction}",
        caption=f"Filled: reference.{' Lines: prediction.' if automatic is not None else ''} Isodoses of one fraction.",
        stacks=shown.stacks(isodoses),
        models=shown.models,
        styles=structure_styles(manual.structures, names),
    )


def isodose_masks(doses: Sequence[Volume], image: Volume, divisor: float = 1) -> Mapping[str, Mask]:
    """Return the voxels of an image with at least each level of :data:`ISODOSES_GY`, without levels above the dose.

    Args:
        doses: dose grids in Gy, which are summed; a dose is 0 outside its grid.
        image: the image, whose grid the masks have.
        divisor: number by which the doses are divided.
    """
    total = np.zeros(image.array.shape, np.float32)
    for dose in doses:
        total += resample_dose(Volume(dose.array.astype(np.float32), dose.geometry), image.geometry).array / divisor
    return {f"{level:g} Gy": total >= level for level in ISODOSES_GY if (total >= level).any()}
