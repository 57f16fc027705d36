"""Study IDs of patients, and the key file that maps them to patient identifiers."""

import csv
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from gynbtnet.imaging.printed_names import unicode_composed
from gynbtnet.runtime.atomic_files import atomic_write
from gynbtnet.runtime.errors import BadInput

KEY = "patients.csv"
_COLUMNS = ["study_id", "patient"]


@dataclass(frozen=True)
class PatientKey:
    """Map from patient identifiers to study IDs ``patient-001``, … in a CSV file that only its owner can read.

    A PatientID never becomes part of a file name. Patients keep their study IDs when others are added.

    Attributes:
        path: path of the file.
        separate: True if the key is stored separately from the cohort. The cohort then contains nothing that leads to
            patients: names of image files are replaced too, and the paths of sources are not recorded.
        study_ids: study ID by the patient's identifier in the source.
    """

    path: Path
    separate: bool = False
    study_ids: Mapping[str, str] = field(default_factory=dict, hash=False)

    @classmethod
    def load(cls, path: Path, *, separate: bool = False) -> "PatientKey":
        """Read a key, or return an empty one if the file is absent.

        Raises:
            BadInput: If the file is not a key.
        """
        path = Path(path).absolute()
        if not path.exists():
            return cls(path, separate)
        problem = BadInput(
            f"{path} is not a key of patients. Expected a CSV file with the columns {', '.join(_COLUMNS)}, as written "
            "by an earlier call, or a file that doesn't exist."
        )
        try:
            with path.open(newline="", encoding="utf-8") as stream:
                header, *rows = [row for row in csv.reader(stream) if row]
        except (OSError, UnicodeDecodeError, ValueError, csv.Error) as error:
            raise problem from error
        study_ids = {unicode_composed(row[1]): row[0] for row in rows if len(row) == 2}
        if header != _COLUMNS or len(study_ids) < len(rows) or len(set(study_ids.values())) < len(rows):
            raise problem
        return cls(path, separate, study_ids)

    @classmethod
    def of_cohort(cls, folder: Path) -> "PatientKey":
        """Read the key in the folder of a cohort; for a cohort of ``gynbtnet run``, that of its experiment.

        Args:
            folder: folder of the cohort, such as ``EXPERIMENT/cohorts/task``.

        Raises:
            BadInput: If the file is not a key.
        """
        own = Path(folder).absolute() / KEY
        shared = own.parents[2] / KEY if own.parents[1].name == "cohorts" else own
        return cls.load(own if own.exists() else shared)

    def with_patients(self, patients: Iterable[str]) -> "PatientKey":
        """Return the key with the next study IDs for new patients, in the order of their identifiers.

        An identifier in a source can look like the study ID of another patient; it gets a separate study ID.
        """
        names = {unicode_composed(patient) for patient in patients}
        new = sorted(names.difference(self.study_ids), key=_natural_order)
        matches = (re.fullmatch(r"patient-(\d{1,9})", study_id) for study_id in self.study_ids.values())
        last = max((int(match[1]) for match in matches if match), default=0)
        added = {patient: f"patient-{number:03d}" for number, patient in enumerate(new, start=last + 1)}
        return replace(self, study_ids={**self.study_ids, **added})

    def save(self) -> None:
        """Write the key atomically, readable only for its owner."""
        with atomic_write(self.path) as partial:
            partial.touch(mode=0o600)
            with partial.open("w", newline="", encoding="utf-8") as stream:
                writer = csv.writer(stream)
                writer.writerow(_COLUMNS)
                writer.writerows([study_id, patient] for patient, study_id in self.study_ids.items())

    def study_id(self, patient: str) -> str:
        """Return the study ID of a patient; a name without one is returned unchanged, since it can be a study ID."""
        return self.study_ids.get(unicode_composed(patient), patient)

    def find(self, name: str) -> str:
        """Return the study ID of a patient whom a user names by study ID or by the identifier in the source.

        Raises:
            BadInput: If the name is the study ID of one patient and the identifier of another.
        """
        study_id = self.study_id(name)
        if study_id != name and name in self.study_ids.values():
            raise BadInput(
                f"{name} is the study ID of one patient and the PatientID of another, {study_id}. Expected a name of "
                f"only one patient: name the other {study_id}, or the first by the PatientID in {self.path}."
            )
        return study_id


def _natural_order(name: str) -> list[tuple[int, int | str]]:
    return [(0, int(part)) if part.isdecimal() else (1, part) for part in re.split(r"(\d+)", name) if part]
