"""What a patient got from outside, beside the brachytherapy."""

import csv
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from gynbtnet.evaluation.dose.eqd2 import eqd2
from gynbtnet.runtime.errors import BadInput

_COURSE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*/\s*(\d+)\s*")
_COLUMNS = ("patient", "dose_gy", "fractions")


@dataclass(frozen=True)
class ExternalBeam:
    """External beam radiotherapy, of which every structure is taken to get the whole dose."""

    dose_gy: float
    fractions: int

    def eqd2(self, alpha_beta_gy: float) -> float:
        """In Gy."""
        return eqd2(self.dose_gy / self.fractions, alpha_beta_gy, self.fractions)


def parse_external_beam(told: str, patients: Iterable[str]) -> Mapping[str, ExternalBeam]:
    """By patient, from "45/25" (Gy in fractions, for all) or a CSV file with patient, dose_gy and fractions.

    Patients who aren't in the file are left out.

    Raises:
        BadInput: where it is neither, or the file names a patient twice.
    """
    for_all = _COURSE.fullmatch(told)
    if for_all:
        return dict.fromkeys(patients, _course(for_all[1], for_all[2], told))
    path = Path(told)
    if not path.is_file():
        raise BadInput(
            f"The external beam is given as {told!r}; expected Gy/fractions such as 45/25, or a CSV file with the "
            f"columns {', '.join(_COLUMNS)}."
        )
    found: dict[str, ExternalBeam] = {}
    try:
        with path.open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                patient = row["patient"].strip()
                if patient in found:
                    raise BadInput(f"{path} names a patient in two rows; expected one row a patient.")
                found[patient] = _course(row["dose_gy"], row["fractions"], str(path))
    except (KeyError, AttributeError, UnicodeDecodeError, csv.Error) as error:
        raise BadInput(f"{path} can't be read; expected a CSV file with the columns {', '.join(_COLUMNS)}.") from error
    return {patient: found[patient] for patient in patients if patient in found}


def _course(dose_gy: str, fractions: str, where: str) -> ExternalBeam:
    try:
        course = ExternalBeam(float(dose_gy), int(fractions))
    except (ValueError, TypeError):  # TypeError: a row of the file ends early
        course = None
    if course is None or not 0 <= course.dose_gy <= 200 or not 1 <= course.fractions <= 100:
        raise BadInput(
            f"{where} gives {dose_gy} Gy in {fractions} fractions of external beam; expected 0 to 200 Gy in 1 to 100 "
            "fractions, such as 45/25, and 0/1 where there was none."
        )
    return course
