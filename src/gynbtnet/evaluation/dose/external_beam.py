"""External beam radiotherapy of the patients, given before or with the brachytherapy."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from gynbtnet.evaluation.dose.eqd2 import to_eqd2
from gynbtnet.runtime.csv_rows import read_csv_rows
from gynbtnet.runtime.errors import BadInput

_COURSE = re.compile(r"\s*([0-9]{1,6}(?:\.[0-9]{1,20})?)\s*/\s*([0-9]{1,6})\s*")
_COLUMNS = ("patient", "dose_gy", "fractions")


@dataclass(frozen=True)
class ExternalBeam:
    """External beam radiotherapy; every structure is assumed to receive the whole dose.

    Attributes:
        dose_gy: total dose in Gy.
        fractions: number of fractions.
    """

    dose_gy: float
    fractions: int

    def eqd2(self, alpha_beta_gy: float) -> float:
        """Return the EQD2 in Gy for an α/β in Gy."""
        return to_eqd2(self.dose_gy / self.fractions, alpha_beta_gy, self.fractions)


def parse_external_beam(
    text: str,
    patients: Iterable[str],
    study_ids: Mapping[str, str] | None = None,
    known: Iterable[str] = (),
) -> Mapping[str, ExternalBeam]:
    """Parse the external beam radiotherapy of patients.

    Args:
        text: Gy/fractions for all patients, such as "45/25", or the path of a CSV file. Its columns are patient,
            dose_gy and fractions, separated by commas or semicolons.
        patients: study IDs.
        study_ids: study ID by the patient's identifier in the source, which a file may contain instead.
        known: study IDs of other patients that a file may list.

    Returns:
        External beam by patient, without patients that the file does not list.

    Raises:
        BadInput: If ``text`` is neither, or the file lists no patient, a patient twice or an unknown one. Also
            if it names a patient by the study ID of another.
    """
    same_for_all = _COURSE.fullmatch(text)
    if same_for_all:
        return dict.fromkeys(patients, _external_beam(same_for_all[1], same_for_all[2], text))
    path = Path(text)
    if not path.is_file():
        raise BadInput(
            f"The external beam is given as {text!r}; expected Gy/fractions such as 45/25, or a CSV file with the "
            f"columns {', '.join(_COLUMNS)}."
        )
    patients = tuple(patients)
    allowed, identifiers = {*patients, *known}, study_ids or {}
    beams: dict[str, ExternalBeam] = {}
    table = read_csv_rows(path)
    if not set(_COLUMNS).issubset(table.columns) or len(set(table.columns)) < len(table.columns):
        raise BadInput(
            f"{path} has the columns {', '.join(table.columns) or 'of an empty file'}; expected a CSV file with the "
            f"columns {', '.join(_COLUMNS)}, each once."
        )
    for number, row in table.rows.items():
        written = row["patient"]
        patient = identifiers.get(written, written)
        if patient != written and written in identifiers.values():
            raise BadInput(
                f"Row {number} of {path} lists {written}, the study ID of one patient and the PatientID of another, "
                f"{patient}. Expected a name of only one patient: use {patient}, or the PatientID of the first."
            )
        if patient not in allowed:
            raise BadInput(
                f"Row {number} of {path} lists a patient who is not in the cohort. Expected study IDs such as "
                f"{min(allowed, default='patient-001')}, or the PatientIDs that were ingested: correct the row."
            )
        if patient in beams:
            raise BadInput(f"{path} lists a patient in two rows; expected one row per patient.")
        dose_gy = row["dose_gy"].replace(",", ".") if table.delimiter == ";" else row["dose_gy"]  # a decimal comma
        beams[patient] = _external_beam(dose_gy, row["fractions"], f"Row {number} of {path}")
    if not beams:
        raise BadInput(f"{path} lists no patient; expected one row per patient below {','.join(_COLUMNS)}.")
    return {patient: beams[patient] for patient in patients if patient in beams}


def _external_beam(dose_gy: str, fractions: str, source: str) -> ExternalBeam:
    course = _COURSE.fullmatch(f"{dose_gy}/{fractions}")
    beam = ExternalBeam(float(course[1]), int(course[2])) if course else None
    if beam is None or not beam.dose_gy <= 200 or not 1 <= beam.fractions <= 100:
        raise BadInput(
            f"{source} gives {dose_gy or '(nothing)'} Gy in {fractions or '(no)'} fractions of external beam. "
            "Expected: 0 to 200 Gy in 1 to 100 fractions, such as 45/25, or 0/1 if there was none."
        )
    return beam
