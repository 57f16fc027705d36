"""Number of times that the dose of each case is delivered, and whether it is the dose of one of them."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gynbtnet.datasets.case import Case
from gynbtnet.evaluation.dose.files import DoseFiles
from gynbtnet.evaluation.metrics.settings import DoseSettings
from gynbtnet.runtime.errors import BadInput


@dataclass(frozen=True)
class Delivery:
    """Delivery of the dose of one case.

    Attributes:
        fractions: number of times that the dose of a fraction is delivered.
        divisor: number by which the stored dose is divided to give that of a fraction.
        planned: number of fractions that the RTPLAN prescribes; 0 if it is unknown.
        note: doubt about the number of fractions; empty if there is none.
        problem: reason why the delivery is unknown, a sentence; empty if it is known.
    """

    fractions: int = 1
    divisor: int = 1
    planned: int = 0
    note: str = ""
    problem: str = ""


PLAN_UNKNOWN = "the dose refers to no RTPLAN that was found; its number of fractions is assumed"
"""Note of a dose next to RTPLANs to which it doesn't refer."""
ONCE = Delivery()
"""A dose that is delivered once."""


def plan_deliveries(
    cases: Sequence[Case], files: Mapping[str, DoseFiles], settings: DoseSettings
) -> dict[str, Delivery]:
    """Return the delivery of every case, or the reason why it is unknown.

    The number of fractions is that of ``fractions_per_plan``, or that of the RTPLAN if this is not given. DICOM defines
    the dose of a PLAN as that of its entire delivery (PS3.3 C.8.8.3), but planning systems also export the dose of one
    fraction. The data don't state which one it is, and EQD2 depends on it.

    Args:
        cases: the cases.
        files: dose files by case id.
        settings: ``fractions_per_plan`` and ``dose_is``.

    Returns:
        Deliveries by case id. One is unknown if a plan has several fractions, and the settings don't determine what its
        dose is or how often it was delivered. The same is true if the dose may be that of such a plan. A total dose
        whose number of fractions is unknown has no known delivery either.
    """
    scans_of = Counter(case.patient for case in cases if files[case.id].paths)
    deliveries = {}
    for case in cases:
        try:
            deliveries[case.id] = _delivery(files[case.id], scans_of[case.patient], settings)
        except BadInput as error:
            deliveries[case.id] = Delivery(problem=str(error))
    return deliveries


def _delivery(files: DoseFiles, scans: int, settings: DoseSettings) -> Delivery:
    plan, given = files.plan, settings.fractions_per_plan
    planned = plan.fractions
    if plan.doubt and not planned and plan.possible_fractions > 1 and None in (given, settings.dose_is):
        raise BadInput(
            f"{files.paths[0]} {plan.doubt}, and the plan {plan.path} of the same scan has {plan.possible_fractions} "
            "fractions. Is the dose that of one fraction or of several, and how often was it delivered? Add its RTPLAN "
            "to the folder, or give --dose-is and --fractions-per-plan."
        )
    if planned > 1 and settings.dose_is is None:
        beginning = (
            f"{files.paths[0]} {plan.doubt}; the only one of its scan is {plan.path}"
            if plan.doubt
            else f"{files.paths[0]} is a dose of the plan {plan.path}"
        )
        other = " If the dose is of another plan, give --fractions-per-plan too." if plan.doubt else ""
        raise BadInput(
            f"{beginning}, which has {planned} fractions. Planning systems export the dose of all of them or that of "
            f"one. Check a point in the planning system, and give --dose-is total or --dose-is fraction.{other}"
        )
    if files.paths and not planned and settings.dose_is == "total" and given is None:
        raise BadInput(
            f"{files.paths[0]} {plan.doubt or 'has no RTPLAN'}, and --dose-is total was given: the number of fractions "
            "of this total is not known. Add its RTPLAN to the folder, or give --fractions-per-plan."
        )
    if planned > 1 and given is None and scans > 1:
        raise BadInput(
            f"The plan {plan.path} has {planned} fractions, and its patient has {scans} scans with a dose. How often "
            "was the dose of each scan delivered? Give --fractions-per-plan, for example 1 if each fraction has a scan."
        )
    fractions = given if given is not None else max(planned, 1)
    divisor = (planned or fractions) if settings.dose_is == "total" else 1
    note = PLAN_UNKNOWN if plan.doubt and given is None else ""
    return Delivery(fractions, divisor, planned, note)
