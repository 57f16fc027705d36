"""Isodoses of the cases of a cohort, from the dose files that belong to them."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from gynbtnet.datasets.case import Case
from gynbtnet.evaluation.dose.files import DoseFiles, find_doses, read_dose, search_doses
from gynbtnet.evaluation.reports.case_isodoses import CaseIsodoses, DrawIsodoses
from gynbtnet.imaging.resample_to_grid import resample_dose
from gynbtnet.imaging.volume import Volume
from gynbtnet.runtime.array_types import Mask
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.progress import console

ISODOSES_GY = (2.0, 3.5, 5.0, 7.0, 10.0, 15.0)
"""Levels of the isodoses of one fraction in Gy."""


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


def isodoses_of_cases(cases: Sequence[Case], folder: Path | None = None) -> DrawIsodoses:
    """Find the doses of cases, and return the function that draws their isodoses.

    A dose is shown as it is stored. A dose that cannot be used leaves only its own case without isodoses.

    Args:
        cases: cases to find doses for.
        folder: folder with doses, see :func:`gynbtnet.evaluation.dose.files.find_doses`. None: RTDOSEs in the folders
            that the cases were ingested from; cases without one have no isodoses.

    Raises:
        BadInput: If a given folder does not exist, or has no dose of any case that can be used.
    """
    files = find_doses(cases, folder) if folder else _ingested_doses(cases)

    def draw(case_id: str, image: Volume) -> CaseIsodoses:
        dose = files.get(case_id, DoseFiles())
        if not dose.paths and not dose.problem:
            return CaseIsodoses()
        try:
            if dose.problem:
                raise BadInput(dose.problem)
            masks = isodose_masks(read_dose(dose.paths), image)
        except BadInput as error:
            console.print(f"{case_id} has no isodoses. {error}")
            return CaseIsodoses(note="No isodoses: the dose of this case cannot be used.")
        plan = f", of a plan of {dose.planned_fractions} fractions" if dose.planned_fractions > 1 else ""
        return CaseIsodoses(masks, f"Isodoses: the dose as it is stored{plan}.")

    return draw


def _ingested_doses(cases: Sequence[Case]) -> Mapping[str, DoseFiles]:
    """Return the doses in the folders that cases were ingested from."""
    return search_doses([case for case in cases if case.source.ct_folder and case.source.ct_folder.is_dir()])
