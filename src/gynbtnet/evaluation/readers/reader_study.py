"""Study of several readers: agreement between readers and with the model, over all cases."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from gynbtnet.datasets.case import Case
from gynbtnet.datasets.cohort import Cohort
from gynbtnet.evaluation.metrics.evaluation import map_cases, read_matching_prediction, read_truth
from gynbtnet.evaluation.metrics.settings import ScoringSettings
from gynbtnet.evaluation.readers.pair_scores import Observation, PairScore, score_pairs
from gynbtnet.evaluation.readers.reader_summary import summarise_pairs
from gynbtnet.imaging.volume import Segmentation, Volume, label_type
from gynbtnet.runtime.atomic_files import atomic_write

SCORES_FILE = "reader_scores.csv"
SUMMARY_FILE = "reader_summary.csv"


@dataclass(frozen=True)
class ReaderStudy:
    """Agreement of readers and model.

    Attributes:
        readers: names of the readers.
        scores: one per case, structure and pair; also those that couldn't be scored, with the reason.
        settings: settings that they were computed with.
    """

    readers: tuple[str, ...]
    scores: tuple[PairScore, ...]
    settings: ScoringSettings

    @property
    def summary(self) -> pd.DataFrame:
        """Means with intervals, see :func:`gynbtnet.evaluation.readers.reader_summary.summarise_pairs`."""
        return summarise_pairs(self.scores, self.readers)

    @property
    def copies(self) -> tuple[tuple[str, str], ...]:
        """Pairs of observers whose contours are equal in every case and structure that both have."""
        dsc: dict[tuple[str, str], list[float]] = {}
        for score in self.scores:
            if score.is_scored and score.reference in self.readers:
                one, other = sorted((score.observer, score.reference))
                dsc.setdefault((one, other), []).append(score.dsc)
        return tuple(pair for pair, values in dsc.items() if min(values) == 1)

    def save(self, folder: Path) -> None:
        """Write ``reader_scores.csv`` and ``reader_summary.csv`` to a folder."""
        for name, table in ((SCORES_FILE, pd.DataFrame(self.scores)), (SUMMARY_FILE, self.summary)):
            with atomic_write(folder / name) as partial_file:
                table.to_csv(partial_file, index=False)


def study_readers(
    predicted: Cohort,
    predictions: Path,
    readers: Mapping[str, Cohort],
    settings: ScoringSettings,
    *,
    jobs: int = 1,
    memory_gb: float | None = None,
) -> ReaderStudy:
    """Compare readers with each other, and the model with each of them and with their consensus.

    Args:
        predicted: cases that were predicted; a structure that the predictions don't have is missing in its case.
        predictions: folder with the prediction of each case.
        readers: by name at least two readers: those of the cases that the reader contoured, with these contours.
        settings: policy for missing structures, kind of surface, tolerances.
        jobs: number of cases at once.
        memory_gb: memory limit of all processes together.

    Returns:
        The scores of all pairs.

    Raises:
        BadInput: If contours can't be read.
    """
    of_case = {
        case.id: {
            name: next((own for own in cohort.cases if own.id == case.id), None) for name, cohort in readers.items()
        }
        for case in predicted.cases
    }
    work = partial(_score, predicted.structures, predictions, of_case, settings)
    per_case = map_cases(work, predicted.cases, title="Compare readers", jobs=jobs, memory_gb=memory_gb)
    return ReaderStudy(tuple(readers), tuple(score for scores in per_case for score in scores), settings)


def _score(
    structures: tuple[str, ...],
    predictions: Path,
    readers: Mapping[str, Mapping[str, Case | None]],
    settings: ScoringSettings,
    case: Case,
) -> list[PairScore]:
    empty = _empty(case, structures)
    predicted = read_matching_prediction(case, predictions, empty)
    return score_pairs(
        Observation(predicted, dict.fromkeys(case.missing, "not in the predictions"), {}),
        {name: _observation(name, own, structures, empty) for name, own in readers[case.id].items()},
        structures,
        case=case.id,
        patient=case.patient,
        settings=settings,
    )


def _observation(reader: str, case: Case | None, structures: Sequence[str], empty: Segmentation) -> Observation:
    if case is None:
        return Observation(empty, dict.fromkeys(structures, f"case not contoured by {reader}"), {})
    unknown = dict.fromkeys(case.missing, f"not contoured by {reader}")
    return Observation(read_truth(case, structures), unknown, {})


def _empty(case: Case, structures: tuple[str, ...]) -> Segmentation:
    return Segmentation(Volume(np.zeros(case.geometry.shape, label_type(len(structures))), case.geometry), structures)
