"""Fractions and kind of treatment in DICOM RTPLANs."""

from dataclasses import dataclass
from pathlib import Path

from gynbtnet.imaging.dicom.objects import code_value, dicom_errors_as_bad_input, integer_value, read_object, uid_value


@dataclass(frozen=True)
class PlannedTreatment:
    """Prescription of an RTPLAN.

    Attributes:
        path: its file.
        uid: its SOPInstanceUID.
        fractions: number of planned fractions of all fraction groups; 0 if it gives none.
        brachy_type: DICOM's BrachyTreatmentType, such as "HDR", "MDR", "LDR" or "PDR"; empty if it gives none.
    """

    path: Path
    uid: str
    fractions: int
    brachy_type: str


def read_rtplan(path: Path) -> PlannedTreatment:
    """Read what an RTPLAN prescribes.

    Args:
        path: the RTPLAN.

    Returns:
        Number of fractions and kind of treatment.

    Raises:
        BadInput: If the file is not a DICOM object, or was cut short.
    """
    with dicom_errors_as_bad_input(path):
        plan = read_object(path, "an RTPLAN")  # whole, so that an early end is noticed: a type of PDR may be cut off
        groups = plan.get("FractionGroupSequence") or ()
        counts = [integer_value(group, "NumberOfFractionsPlanned") for group in groups]
        return PlannedTreatment(
            path,
            uid_value(plan, "SOPInstanceUID"),
            sum(int(count) for count in counts if count.isdecimal()),
            code_value(plan, "BrachyTreatmentType").upper(),
        )
