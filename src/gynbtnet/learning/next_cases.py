"""The cases to contour next, as they were chosen and are stored for the page."""

import datetime
from collections.abc import Sequence
from dataclasses import dataclass

from gynbtnet.learning.case_selection import ChosenCase, choose_cases
from gynbtnet.learning.learning_folder import LearningFolder
from gynbtnet.learning.worklist_candidates import Worklist
from gynbtnet.runtime.json_files import read_json

_UNKNOWN = "–"


@dataclass(frozen=True)
class NextCases:
    """Content of ``next_cases.json``.

    Attributes:
        time: when they were chosen, ISO 8601 with time zone.
        champion: SHA-256 of the weights that were the champion then.
        chosen: the cases, the most useful first.
        candidates: number of predictions that they were chosen from.
        reviewed: number of predictions with a review.
        frozen: number of predictions of frozen test patients.
        in_cohort: number of predictions of scans that the cohort has with contours.
        left_out: name and reason of each prediction that can't be used.
    """

    time: str
    champion: str
    chosen: tuple[ChosenCase, ...]
    candidates: int
    reviewed: int
    frozen: int
    in_cohort: int
    left_out: tuple[tuple[str, str], ...]

    @property
    def of_other_models(self) -> int:
        """Number of chosen cases that another model than the champion predicted."""
        return sum(case.candidate.model != self.champion for case in self.chosen)


def choose_next(worklist: Worklist, number: int, seed: int, champion: str) -> NextCases:
    """Choose cases to contour next, see :func:`~gynbtnet.learning.case_selection.choose_cases`.

    Args:
        worklist: predictions without a review.
        number: number of cases.
        seed: seed of the random choice.
        champion: SHA-256 of the champion's weights.
    """
    return NextCases(
        time=datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
        champion=champion,
        chosen=choose_cases(worklist.candidates, number, seed),
        candidates=len(worklist.candidates),
        reviewed=worklist.reviewed,
        frozen=worklist.frozen,
        in_cohort=worklist.in_cohort,
        left_out=worklist.left_out,
    )


def read_next_cases(folders: LearningFolder) -> NextCases | None:
    """Return the cases that were chosen last; None if none ever were."""
    if not folders.next_cases.is_file():
        return None
    return read_json(NextCases, folders.next_cases, "delete it")


def next_table(chosen: Sequence[ChosenCase]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Return heads and rows of a table of chosen cases; a sign that no case has gets no column."""
    columns = {
        "next": [str(number) for number in range(1, len(chosen) + 1)],
        "prediction": [case.candidate.name for case in chosen],
        "DSC from": [_number(case.candidate.lowest_dsc) for case in chosen],
        "agreement": [_number(case.candidate.lowest_agreement) for case in chosen],
        "flagged": [str(case.candidate.structures_flagged) for case in chosen],
        "distance (SD)": [_number(case.candidate.distance, 1) for case in chosen],
        "chosen by": [case.reason for case in chosen],
    }
    shown = {head: cells for head, cells in columns.items() if set(cells) != {_UNKNOWN}}
    return tuple(shown), list(zip(*shown.values(), strict=True))


def _number(value: float | None, digits: int = 2) -> str:
    return _UNKNOWN if value is None else f"{value:.{digits}f}"
