"""A case with its contours and isodoses for the viewer."""

from collections.abc import Sequence

from gynbtnet.datasets.case import Case
from gynbtnet.evaluation.dose.isodoses import isodose_masks
from gynbtnet.evaluation.reports.compared_case import ComparedCase
from gynbtnet.evaluation.reports.example_cases import structure_styles
from gynbtnet.imaging.files.volume_files import read_volume
from gynbtnet.imaging.structure_names import StructureNames
from gynbtnet.imaging.volume import Segmentation, Volume
from gynbtnet.pages.slice_drawing import REFERENCE
from gynbtnet.pages.slice_viewer import ViewedCase
from gynbtnet.pictures.planes import as_displayed

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
