"""Description of the scans that a model was trained on, stored with its weights."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field

from gynbtnet.preparation.store import PreparedCase
from gynbtnet.runtime.json_files import read_json, write_changed_json
from gynbtnet.runtime.phrases import counted

TRAINING_DATA = "training_data.json"
"""Name of the file in a run folder."""


@dataclass(frozen=True)
class TrainingData:
    """Scans that a model was trained on.

    Attributes:
        scans: number of scans.
        patients: number of patients.
        synthetic: True if no real patient was scanned.
    """

    scans: Annotated[int, Field(ge=1)]
    patients: Annotated[int, Field(ge=1)]
    synthetic: bool

    @classmethod
    def of_cases(cls, cases: Sequence[PreparedCase], *, synthetic: bool) -> "TrainingData":
        """Return the description of the prepared scans that a run trains on."""
        return cls(len(cases), len({case.patient for case in cases}), synthetic)

    @classmethod
    def of_folds(cls, folds: Iterable["TrainingData | None"]) -> "TrainingData | None":
        """Return the description for an ensemble: the largest fold's; None if it is unknown for any fold."""
        known = list(folds)
        if not known or None in known:
            return None
        largest = max((fold for fold in known if fold), key=lambda fold: fold.scans)
        return cls(largest.scans, largest.patients, any(fold.synthetic for fold in known if fold))

    @property
    def sentence(self) -> str:
        """A sentence for readers of a result."""
        kind = "synthetic patient" if self.synthetic else "patient"
        return f"The model was trained on {counted(self.scans, 'scan')} of {counted(self.patients, kind)}."

    def save(self, folder: Path) -> None:
        """Write the file into a run folder, atomically, unless it has the same content."""
        write_changed_json(self, Path(folder) / TRAINING_DATA)

    @classmethod
    def load(cls, folder: Path) -> "TrainingData | None":
        """Read the file of a run folder; None for a run from before there was one.

        Raises:
            BadInput: If the file is damaged.
        """
        path = Path(folder) / TRAINING_DATA
        return read_json(cls, path, "delete it to predict without it") if path.is_file() else None
