"""Predictions without a review as candidates for the next contouring."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from gynbtnet.datasets.case import Case
from gynbtnet.learning.assignment import Assignment
from gynbtnet.learning.case_selection import Candidate
from gynbtnet.learning.scan_finder import ScanFinder
from gynbtnet.learning.scan_measures import ScanMeasures, distance_from, measure_scan, measure_training
from gynbtnet.review.case import open_case
from gynbtnet.review.prediction_record import read_prediction_record
from gynbtnet.review.worklist import WorklistItem, find_predictions
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.progress import track


@dataclass(frozen=True)
class Worklist:
    """Candidates in a folder of predictions.

    Attributes:
        candidates: predictions without a review.
        reviewed: number of predictions that have a review.
        frozen: number of predictions of frozen test patients, from which nothing may be learned.
        in_cohort: number of predictions of scans that the cohort has with contours.
        left_out: name and reason of each prediction that can't be used.
    """

    candidates: tuple[Candidate, ...]
    reviewed: int
    frozen: int
    in_cohort: int
    left_out: tuple[tuple[str, str], ...]


def find_candidates(
    source: Path, finder: ScanFinder, assignment: Assignment, reviewed: Sequence[Case], measures_file: Path
) -> Worklist:
    """Return the predictions below a folder that may be contoured next, with the signs that their choice needs.

    Args:
        source: folder of predictions.
        finder: finder of their scans, with the cohort of the training.
        assignment: group of each patient.
        reviewed: reviewed cases that are trained on.
        measures_file: file that keeps the measures of the training scans.

    Raises:
        BadInput: If the folder contains no prediction.
    """
    items = find_predictions(source)
    open_items = [item for item in items if not item.is_written]
    cohort = finder.cohort
    training = {case.patient for case in cohort.cases}.intersection(assignment.patients_of("training"))
    own = (case for case in cohort.cases if case.patient in training and case.labels is not None)
    renamed = (replace(case, id=f"reviewed-{number}") for number, case in enumerate(reviewed))
    contoured = replace(cohort, cases=(*own, *renamed))
    measured = measure_training(contoured, measures_file)
    candidates, left_out = [], []
    frozen = in_cohort = 0
    for item in track(open_items, "Reading the predictions"):
        try:
            if item.problem:
                raise BadInput(item.problem)
            record = read_prediction_record(item.folder)
            scan = finder.find(item.folder, record)
            case = finder.case_of(scan, record)
            if assignment.groups.get(finder.study_id(scan)) == "frozen test":
                frozen += 1
            elif case is not None and case.labels is not None:
                in_cohort += 1
            else:
                candidates.append(_candidate(item, scan.path, measured))
        except BadInput as error:
            left_out.append((item.name, str(error)))
    return Worklist(tuple(candidates), len(items) - len(open_items), frozen, in_cohort, tuple(left_out))


def _candidate(item: WorklistItem, scan: Path, training: tuple[ScanMeasures, ...]) -> Candidate:
    case = open_case(item.folder, scan=scan)
    record = case.record
    agreements = [value for value in record.agreement.values() if value is not None]
    flagged = {flag.structure for flag in record.flags}
    flagged |= {name for name in record.structures if not case.automatic.mask(name).any()}
    return Candidate(
        name=item.name,
        scan=record.input.sha256,
        model=record.model.sha256,
        lowest_dsc=item.lowest_dsc,
        lowest_agreement=min(agreements, default=None),
        structures_flagged=len(flagged),
        distance=distance_from(measure_scan(case.scan, case.automatic), training),
    )
