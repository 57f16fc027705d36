"""Record of the cohort that an evaluation was made on, stored next to its scores."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from gynbtnet.datasets.cohort import Cohort
from gynbtnet.runtime.json_files import read_json

COHORT_FILE = "evaluation.json"


@dataclass(frozen=True)
class EvaluatedCohort:
    """Identity of the evaluated cases.

    Attributes:
        name: name of the cohort.
        synthetic: whether any case is synthetic.
        digest: SHA-256 of the cases' ids, patients, grids and contoured volumes.
    """

    name: str
    synthetic: bool
    digest: str

    @classmethod
    def of(cls, cohort: Cohort) -> "EvaluatedCohort":
        """Return the record of a cohort with the evaluated cases and no others."""
        cases = [
            (
                *(case.id, case.patient, case.fraction, sorted(case.missing)),
                *(case.geometry.shape, case.geometry.spacing, case.geometry.origin, case.geometry.direction),
                {name: round(volume, 3) for name, volume in case.volumes_cm3.items()},
            )
            for case in sorted(cohort.cases, key=lambda case: case.id)
        ]
        text = json.dumps(cases, sort_keys=True)
        return cls(cohort.name, cohort.synthetic, hashlib.sha256(text.encode()).hexdigest())

    @classmethod
    def load(cls, folder: Path) -> "EvaluatedCohort | None":
        """Read the record in the folder of an evaluation; None if an older version wrote the folder.

        Raises:
            BadInput: If the record is damaged.
        """
        path = Path(folder) / COHORT_FILE
        return read_json(cls, path, "run `gynbtnet evaluate` again") if path.is_file() else None
