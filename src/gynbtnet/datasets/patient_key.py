"""Study IDs instead of what identifies patients, and the key that leads back."""

import csv
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from gynbtnet.imaging.printed_names import unicode_composed
from gynbtnet.runtime.atomic_files import atomic_write
from gynbtnet.runtime.errors import BadInput

KEY = "patients.csv"
_COLUMNS = ["study_id", "patient"]


@dataclass
class PatientKey:
    """Which study ID stands for which patient: ``patient-001``, … in a CSV file that only its owner may read.

    A PatientID never becomes a file's name. A patient keeps the study ID when others are added.

    Attributes:
        path: of the file.
        apart: whether it is kept apart from the cohort, which then holds nothing that leads back to patients: names of
            image files are replaced too, and the places of sources are not recorded.
        study_ids: by the patient's identifier in the source.
    """

    path: Path
    apart: bool = False
    study_ids: dict[str, str] = field(default_factory=dict)

    @classmethod
    def load(cls, path: Path, *, apart: bool = False) -> "PatientKey":
        """Read a key, or begin one where the file is absent.

        Raises:
            BadInput: where the file is no key.
        """
        path = Path(path).absolute()
        if not path.exists():
            return cls(path, apart)
        problem = BadInput(
            f"{path} is no key of patients; expected a CSV file with the columns {', '.join(_COLUMNS)}, as written by "
            "an earlier call, or a file that does not exist yet."
        )
        try:
            with path.open(newline="", encoding="utf-8") as stream:
                header, *rows = [row for row in csv.reader(stream) if row]
        except (OSError, UnicodeDecodeError, ValueError, csv.Error) as error:
            raise problem from error
        ids = {unicode_composed(row[1]): row[0] for row in rows if len(row) == 2}
        if header != _COLUMNS or len(ids) < len(rows) or len(set(ids.values())) < len(rows):
            raise problem
        return cls(path, apart, ids)

    def add(self, patients: Iterable[str]) -> None:
        """Give every new patient the next study ID, in the order of their identifiers; :meth:`save` writes it."""
        named = {unicode_composed(one) for one in patients}
        new = sorted(named.difference(self.study_ids, self.study_ids.values()), key=_natural)
        numbers = [
            int(found[1]) for one in self.study_ids.values() if (found := re.fullmatch(r"patient-(\d{1,9})", one))
        ]
        for number, patient in enumerate(new, start=max(numbers, default=0) + 1):
            self.study_ids[patient] = f"patient-{number:03d}"

    def save(self) -> None:
        """Write the key, whole or not at all, for its owner's eyes only."""
        with atomic_write(self.path) as partial:
            partial.touch(mode=0o600)
            with partial.open("w", newline="", encoding="utf-8") as stream:
                writer = csv.writer(stream)
                writer.writerow(_COLUMNS)
                writer.writerows([study_id, patient] for patient, study_id in self.study_ids.items())

    def study_id(self, patient: str) -> str:
        """The study ID of a patient who was added; one that is a study ID already stands for itself."""
        return self.study_ids.get(unicode_composed(patient), patient)


def _natural(name: str) -> list[tuple[int, int | str]]:
    return [(0, int(part)) if part.isdigit() else (1, part) for part in re.split(r"(\d+)", name) if part]
