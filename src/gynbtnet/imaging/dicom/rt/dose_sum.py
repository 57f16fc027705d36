"""The dose of a plan, and of all plans together.

What counts for a plan is its PLAN dose; where none was exported, the sum of its parts (BRACHY, BEAM and FRACTION doses,
PS3.3 C.8.8.3). A MULTI_PLAN dose counts only where none of its plans has a dose of its own, so that nothing counts
twice. Two PLAN doses of one plan are one dose that was exported twice if they are equal, and an error if they differ,
such as doses of two algorithms.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from gynbtnet.imaging.dicom.rt.rtdose_reader import Dose
from gynbtnet.imaging.geometry import Geometry
from gynbtnet.imaging.resample_to_grid import resample_dose
from gynbtnet.imaging.volume import Volume
from gynbtnet.runtime.errors import BadInput

_PARTS = ("BRACHY", "BEAM", "FRACTION")


def group_doses_by_plan(doses: Sequence[Dose]) -> Mapping[tuple[str, ...], tuple[Dose, ...]]:
    """The doses to add up for each plan, by the UIDs of its plans; copies of one RTDOSE count once.

    Raises:
        BadInput: If a dose is of an unknown summation, physical and effective doses are mixed, or a plan has two PLAN
            doses, or a set of plans two MULTI_PLAN doses, that differ.
    """
    distinct = list({dose.uid or str(id(dose)): dose for dose in doses}.values())
    kinds = sorted({dose.kind for dose in distinct})
    if len(kinds) > 1:
        raise BadInput(
            f"The doses are of the types {', '.join(kind or 'unknown' for kind in kinds)}; expected one type, since "
            "only like is added to like: choose the files of one."
        )
    unknown = sorted({dose.summation for dose in distinct}.difference((*_PARTS, "PLAN", "MULTI_PLAN")))
    if unknown:
        raise BadInput(
            f"A dose is summed over “{unknown[0]}”; expected PLAN, MULTI_PLAN, {', '.join(_PARTS)}: export the plan's "
            "dose."
        )
    found: dict[tuple[str, ...], tuple[Dose, ...]] = {}
    for accepted in (("PLAN",), _PARTS, ("MULTI_PLAN",)):
        covered = {plan for plans in found for plan in plans}
        for dose in distinct:
            if dose.summation in accepted and not covered.intersection(dose.plan_uids):
                before = found.get(dose.plan_uids, ())
                if before and accepted != _PARTS:
                    _check_copy(before[0], dose)
                else:
                    found[dose.plan_uids] = (*before, dose)
    return found


def _check_copy(first: Dose, second: Dose) -> None:
    """Raise BadInput if two whole doses of one plan differ."""
    one, other = first.grid, second.grid
    if one.geometry.is_same(other.geometry) and np.allclose(one.array, other.array, rtol=1e-4, atol=1e-4):
        return
    raise BadInput(
        f"{_named(first)} and {_named(second)} are different {first.summation} doses of the same plan; expected one: "
        "take the other one out."
    )


def _named(dose: Dose) -> str:
    return str(dose.path or f"The dose {dose.uid}")


def sum_doses(doses: Sequence[Dose], geometry: Geometry) -> Volume:
    """The sum in Gy, float32, on a grid such as a scan's; 0 where a dose grid doesn't reach.

    Raises:
        BadInput: If there is none, or if they can't be summed; see :func:`group_doses_by_plan`.
    """
    if not doses:
        raise BadInput("There is no dose to sum; expected RTDOSE files.")
    frames = {dose.frame_of_reference_uid for dose in doses}
    if len(frames) > 1:
        raise BadInput(
            f"The doses lie in {len(frames)} frames of reference; expected one: register the scans before summing."
        )
    total = np.zeros(geometry.shape, np.float32)
    for parts in group_doses_by_plan(doses).values():
        for part in parts:
            total += resample_dose(part.grid, geometry).array
    return Volume(total, geometry)
