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
    """

    fractions: int = 1
    divisor: int = 1
    planned: int = 0


ONCE = Delivery()
"""A dose that is delivered once."""


def plan_deliveries(
    cases: Sequence[Case], files: Mapping[str, DoseFiles], settings: DoseSettings
) -> dict[str, Delivery]:
    """Return the delivery of every case.

    The number of fractions is that of ``fractions_per_plan``, or that of the RTPLAN if this is not given. DICOM defines
    the dose of a PLAN as that of its entire delivery (PS3.3 C.8.8.3), but planning systems also export the dose of one
    fraction. The data don't state which one it is, and EQD2 depends on it.

    Args:
        cases: the cases.
        files: dose files by case id.
        settings: ``fractions_per_plan`` and ``dose_is``.

    Raises:
        BadInput: If a plan has several fractions, and the settings don't determine what its dose is or how often it was
            delivered.
    """
    scans_of = Counter(case.patient for case in cases if files[case.id].paths)
    return {case.id: _delivery(files[case.id], scans_of[case.patient], settings) for case in cases}


def _delivery(files: DoseFiles, scans: int, settings: DoseSettings) -> Delivery:
    planned, given = files.planned_fractions, settings.fractions_per_plan
    if planned > 1 and settings.dose_is is None:
        raise BadInput(
            f"{files.paths[0]} is a dose of the plan {files.plan}, which has {planned} fractions. Planning systems "
            "export the dose of all of them or that of one. Check a point in the planning system, and give --dose-is "
            "total or --dose-is fraction."
        )
    if planned > 1 and given is None and scans > 1:
        raise BadInput(
            f"The plan {files.plan} has {planned} fractions, and its patient has {scans} scans with a dose. How often "
            "was the dose of each scan delivered? Give --fractions-per-plan, for example 1 if each fraction has a scan."
        )
    fractions = given if given is not None else max(planned, 1)
    divisor = (planned or fractions) if settings.dose_is == "total" else 1
    return Delivery(fractions, divisor, planned)
