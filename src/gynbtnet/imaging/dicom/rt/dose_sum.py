"""Sum of the doses of one or several plans.

The dose of a plan is its PLAN dose. If none was exported, it is the sum of its fraction groups (FRACTION doses), which
contain their beams. Without these it is the sum of its beams and brachytherapy setups (BEAM and BRACHY doses, PS3.3
C.8.8.3). A MULTI_PLAN dose counts only if none of its plans has its own dose, so that nothing counts twice. Two equal
PLAN doses of one plan are one dose that was exported twice. If they differ, such as doses of two algorithms, that is an
error. The same holds for two doses of one beam, setup or fraction group. Two equal doses of a plan that don't state
their beam are an error, since they may be copies.

Doses that don't state their plan, such as those from some anonymisers, are taken as doses of one plan. It is an error
if they can't be, or if other doses state their plan: then it is unknown whether one contains the other.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from gynbtnet.imaging.dicom.rt.rtdose_reader import Dose
from gynbtnet.imaging.geometry import Geometry
from gynbtnet.imaging.resample_to_grid import resample_dose
from gynbtnet.imaging.volume import Volume
from gynbtnet.runtime.errors import BadInput

_SUMMED = (("FRACTION",), ("BRACHY", "BEAM"))
"""Types whose doses are added, each only if a plan has none of the earlier ones, which contain them."""
_MAX_EXCESS = 0.01
"""Maximum excess of the parts of a plan over its PLAN dose, as a share of the maximum; both are rounded."""
_TYPES = ("PLAN", "FRACTION", "BRACHY", "BEAM", "MULTI_PLAN")


def group_doses_by_plan(doses: Sequence[Dose]) -> Mapping[tuple[str, ...], tuple[Dose, ...]]:
    """Group the doses to add up by the UIDs of their plans; copies of one RTDOSE count once.

    Raises:
        BadInput: If a dose has an unknown DoseSummationType, or physical and effective doses are mixed. Also if two
            PLAN doses of a plan, two MULTI_PLAN doses of a set of plans, or two doses of one beam differ. Also if two
            doses are equal and don't state their beam, or if it is unknown which doses belong to one plan.
    """
    distinct = list({dose.uid or str(id(dose)): dose for dose in doses}.values())
    types = sorted({dose.dose_type for dose in distinct})
    if len(types) > 1:
        raise BadInput(
            f"The doses have the types {', '.join(name or 'unknown' for name in types)}; only doses of one type can be "
            "added: choose the files of one type."
        )
    unknown = sorted({dose.summation_type for dose in distinct}.difference(_TYPES))
    if unknown:
        raise BadInput(
            f"A dose has the DoseSummationType “{unknown[0]}”; expected {', '.join(_TYPES)}: export "
            "the dose of the plan."
        )
    _check_plans_are_known(distinct)
    groups: dict[tuple[str, ...], tuple[Dose, ...]] = {}
    for accepted in (("PLAN",), *_SUMMED, ("MULTI_PLAN",)):
        covered = {plan for plans in groups for plan in plans or ("",)}
        for dose in distinct:
            if dose.summation_type in accepted and not covered.intersection(dose.plan_uids or ("",)):
                before = groups.get(dose.plan_uids, ())
                if not any(_is_copy(dose, other) for other in before):
                    groups[dose.plan_uids] = (*before, dose)
    return groups


def _check_plans_are_known(doses: Sequence[Dose]) -> None:
    """Check that doses without a plan reference can be doses of one plan, and that no other dose states its plan.

    Raises:
        BadInput: If they can't be, or if another dose states its plan.
    """
    unknown = [dose for dose in doses if not dose.plan_uids]
    known = [dose for dose in doses if dose.plan_uids]
    if unknown and known:
        raise BadInput(
            f"{_title(unknown[0])} doesn't state its plan (ReferencedRTPlanSequence), and {_title(known[0])} does. It "
            "is unknown whether one contains the other. Give only one of them, or export both with their plan."
        )
    plans = [dose for dose in unknown if dose.summation_type == "PLAN"]
    parts = [dose for dose in unknown if any(dose.summation_type in kinds for kinds in _SUMMED)]
    for plan in plans[:1]:
        largest = float(plan.grid.array.max()) * _MAX_EXCESS
        for part in parts:
            is_same_grid = part.grid.geometry.is_same(plan.grid.geometry)
            if is_same_grid and float((part.grid.array - plan.grid.array).max()) > largest:
                raise BadInput(
                    f"{_title(plan)} and {_title(part)} don't state their plan (ReferencedRTPlanSequence). The "
                    f"{part.summation_type} dose exceeds the PLAN dose, so that it is a dose of another plan. Expected "
                    "doses of one plan: remove the others."
                )


def _is_copy(dose: Dose, other: Dose) -> bool:
    """Return whether two doses of one plan and one kind are the same dose; False if they are doses of two parts.

    Raises:
        BadInput: If they should be the same and differ, or if it is unknown which parts they are doses of.
    """
    is_part = any(dose.summation_type in kinds for kinds in _SUMMED)
    titles = f"{_title(other)} and {_title(dose)}"
    if is_part and (dose.part != other.part or not dose.part):
        if dose.part == other.part and _has_equal_values(dose, other):
            of_plan = " of the same plan" if dose.plan_uids else ""
            raise BadInput(
                f"{titles} are equal {dose.summation_type} doses{of_plan} and don't state of which part of a plan. "
                "Expected doses of different parts: remove one if it is a copy, or export the dose of the plan."
            )
        return False
    if _has_equal_values(dose, other):
        return True
    whole = f" of the same {' and '.join(dose.part)}" if is_part else " of the same plan" if dose.plan_uids else ""
    unknown = "" if dose.plan_uids else " and don't state their plan (ReferencedRTPlanSequence)"
    raise BadInput(
        f"{titles} are different {dose.summation_type} doses{whole}{unknown}; expected one: remove the other one."
    )


def _has_equal_values(dose: Dose, other: Dose) -> bool:
    grid, other_grid = dose.grid, other.grid
    return grid.geometry.is_same(other_grid.geometry) and np.allclose(
        grid.array, other_grid.array, rtol=1e-4, atol=1e-4
    )


def _title(dose: Dose) -> str:
    return str(dose.path or f"The dose {dose.uid}")


def sum_doses(doses: Sequence[Dose], geometry: Geometry) -> Volume:
    """Sum doses on one grid.

    Args:
        doses: doses of one or several plans.
        geometry: grid of the sum, such as that of a scan.

    Returns:
        The sum in Gy, float32; 0 outside of the dose grids.

    Raises:
        BadInput: If there are no doses, or if they can't be summed, see :func:`group_doses_by_plan`.
    """
    if not doses:
        raise BadInput("There is no dose to sum; expected RTDOSE files.")
    frames = {dose.frame_of_reference_uid for dose in doses}
    if len(frames) > 1:
        raise BadInput(
            f"The doses have {len(frames)} frames of reference; expected one: register the scans before summing."
        )
    total = np.zeros(geometry.shape, np.float32)
    for parts in group_doses_by_plan(doses).values():
        for part in parts:
            total += resample_dose(part.grid, geometry).array
    return Volume(total, geometry)
