"""The RTPLAN of a dose: that which the dose refers to, or those that it may belong to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gynbtnet.imaging.dicom.objects import dicom_errors_as_bad_input, read_header, uid_value
from gynbtnet.imaging.dicom.rt.rtplan_reader import PlannedTreatment
from gynbtnet.runtime.errors import BadInput

_PROTRACTED = ("PDR", "LDR", "MANUAL")
"""BrachyTreatmentTypes whose dose is given over hours or days."""


@dataclass(frozen=True)
class PlanOfDose:
    """Plan of a dose, or the plans that may be it.

    Attributes:
        path: the RTPLAN; of several possible ones, that with most fractions. None if there is none.
        fractions: number of fractions that it prescribes; 0 if it is unknown.
        doubt: reason why it may be another plan, as the end of a sentence about the dose. Empty if there is no doubt.
        possible_fractions: largest number of fractions of a plan that the dose may belong to.
    """

    path: Path | None = None
    fractions: int = 0
    doubt: str = ""
    possible_fractions: int = 0


def find_plan(
    doses: Sequence[Path], plans: Mapping[str, PlannedTreatment], candidates: Sequence[PlannedTreatment]
) -> PlanOfDose:
    """Return the plan of the doses of a scan.

    A dose belongs to the plan that it refers to. If it refers to none, as after some anonymisers, the only plan of the
    scan is assumed to be its own.

    Args:
        doses: RTDOSE files of the scan.
        plans: all RTPLANs by their SOPInstanceUIDs.
        candidates: RTPLANs in the frame of reference or the study of the scan.

    Raises:
        BadInput: If the plan, or one that may be it, is not one of acute fractions, for which EQD2 is computed.
    """
    uids = [uid for path in doses for uid in _plan_uids(path)]
    plan = next((plans[uid] for uid in uids if uid in plans), None)
    if plan is not None:
        _check_is_acute(plan, f"{doses[0]} refers to the plan {plan.path}, which is")
        return PlanOfDose(plan.path, plan.fractions)
    if not candidates or not doses:
        return PlanOfDose()
    doubt = "refers to an RTPLAN that was not found" if uids else "doesn't refer to an RTPLAN"
    for candidate in candidates:
        _check_is_acute(candidate, f"{doses[0]} {doubt}, and the plan {candidate.path} of the same scan is")
    largest = max(candidates, key=lambda candidate: candidate.fractions)
    is_only_one = len({candidate.uid for candidate in candidates}) == 1 and not uids
    return PlanOfDose(largest.path, largest.fractions if is_only_one else 0, doubt, largest.fractions)


def _plan_uids(dose: Path) -> list[str]:
    with dicom_errors_as_bad_input(dose):
        header = read_header(dose, "an RTDOSE", ["ReferencedRTPlanSequence"])
        uids = [uid_value(plan, "ReferencedSOPInstanceUID") for plan in header.get("ReferencedRTPlanSequence") or ()]
    return [uid for uid in uids if uid]


def _check_is_acute(plan: PlannedTreatment, beginning: str) -> None:
    if plan.brachy_type in _PROTRACTED:
        raise BadInput(
            f"{beginning} of type {plan.brachy_type}: its dose is given over hours. Expected HDR or external beams, "
            "since EQD2 is computed for acute fractions: leave this patient out."
        )
