"""Reference contours of evaluated cases, shown next to the predicted ones."""

from dataclasses import dataclass
from pathlib import Path

from gynbtnet.datasets.case import Case
from gynbtnet.datasets.case_contours import read_contours
from gynbtnet.datasets.cohort import Cohort
from gynbtnet.imaging.geometry import Geometry
from gynbtnet.imaging.volume import Segmentation
from gynbtnet.review.prediction_record import PredictionRecord
from gynbtnet.runtime.errors import BadInput


@dataclass(frozen=True)
class References:
    """Reference contours of a cohort.

    Attributes:
        cohort: cohort with contours.
    """

    cohort: Cohort

    def of(self, name: str, record: PredictionRecord, geometry: Geometry) -> Segmentation:
        """Return the reference contours of a prediction, with the structures of the prediction.

        Args:
            name: name of the prediction's folder.
            record: record of the prediction.
            geometry: grid of the scan.

        Raises:
            BadInput: If the cohort has no contours of this scan, or they are on another grid.
        """
        case = self.case(name, record)
        if case is None or case.labels is None:
            raise BadInput(
                f"The cohort {self.cohort.folder} has no contours of the scan of {name}; give the cohort that the "
                "prediction was evaluated on."
            )
        contours = read_contours(case, self.cohort.structures)
        if not contours.labels.geometry.is_same(geometry):
            raise BadInput(f"The contours of {case.id} in {self.cohort.folder} aren't on the grid of the scan.")
        return contours

    def case(self, name: str, record: PredictionRecord) -> Case | None:
        """Return the case of a prediction, by the series that was predicted or by the name of its folder."""
        uid = record.input.series_uid
        by_series = [case for case in self.cohort.cases if uid and case.source.series_uid == uid]
        return next(iter([*by_series, *(case for case in self.cohort.cases if case.id == name)]), None)


def read_references(cohort: Path | None) -> References | None:
    """Read the cohort with the reference contours; None if none is given.

    Raises:
        BadInput: If it isn't a cohort.
    """
    return None if cohort is None else References(Cohort.load(cohort))
