"""Evaluation of contours in any form: matched, scored and reported."""

import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from gynbtnet.datasets.cohort import Cohort
from gynbtnet.datasets.reference_contours import refuse_automatic
from gynbtnet.evaluation.contours.matched_predictions import matched_predictions
from gynbtnet.evaluation.contours.reader_contours import reader_cohorts
from gynbtnet.evaluation.contours.second_reader import with_second_reader
from gynbtnet.evaluation.dose.isodoses import isodoses_of_cases
from gynbtnet.evaluation.metrics.evaluation import Evaluation, check_evaluation_folder, evaluate
from gynbtnet.evaluation.metrics.settings import ScoringSettings
from gynbtnet.evaluation.readers.rating_sheet import read_ratings
from gynbtnet.evaluation.readers.rating_study import study_ratings
from gynbtnet.evaluation.readers.reader_study import study_readers
from gynbtnet.evaluation.reports.evaluation_report import report_evaluation
from gynbtnet.imaging.structure_names import StructureNames
from gynbtnet.runtime.atomic_files import atomic_write
from gynbtnet.runtime.errors import BadInput


def evaluate_contours(
    cohort: Cohort,
    predictions: Path,
    out: Path,
    settings: ScoringSettings | None = None,
    *,
    truth: Path | None = None,
    readers: Mapping[str, Path] | None = None,
    ratings: Path | None = None,
    doses: Path | None = None,
    names: StructureNames | None = None,
    allow_automatic: bool = False,
    review_share: float = 0.2,
    jobs: int = 1,
    memory_gb: float | None = None,
) -> tuple[Evaluation, Cohort]:
    """Score contours against those of a cohort or of other readers, and write the report page.

    Both may be predictions under any names, nnU-Net's label maps, folders of masks, or RTSTRUCTs, which are read onto
    the grids of the CTs.

    Args:
        cohort: the cases.
        predictions: see :func:`~gynbtnet.evaluation.contours.matched_predictions.matched_predictions`.
        out: folder of tables and page, see :func:`~gynbtnet.evaluation.metrics.evaluation.evaluate`.
        settings: policy for missing structures and tolerance of the surface DSC.
        truth: folder with the contours of a second reader, which replace those of the cohort; cases without them are
            left out. None: the contours of the cohort.
        readers: folder of each of several readers by name, who are compared with each other and with the predictions;
            see :func:`~gynbtnet.evaluation.contours.reader_contours.reader_cohorts`.
        ratings: CSV file with ratings of the predicted contours, see
            :func:`~gynbtnet.evaluation.readers.rating_sheet.read_ratings`.
        doses: folder with the doses of the cases, whose isodoses the viewers show. None: RTDOSEs in the folders that
            the cases were ingested from, if there are any.
        names: meaning of names of ROIs, labels and masks; None: the built-in table.
        allow_automatic: accept predictions that nobody has approved as reference.
        review_share: share of the cases to review, for the triage by predicted DSC.
        jobs: number of cases evaluated at once, each in a separate process.
        memory_gb: memory limit of all processes together.

    Returns:
        The scores, and the cohort that was scored with its notes.

    Raises:
        BadInput: See the functions that are named above.

    Example:
        >>> for case in cohort.cases:
        ...     write_volume(read_volume(case.labels), folder / "reader" / case.id / "labels.nii.gz")
        >>> evaluation, scored = evaluate_contours(cohort, folder / "reader", folder / "scores")
        >>> {score.dsc for score in evaluation.scores}, len(scored.cases) == len(cohort.cases)
        ({1.0}, True)
    """
    settings = settings or ScoringSettings()
    check_evaluation_folder(out)
    _check_not_itself(predictions, {"--truth": truth} if truth else {}, readers or {})
    with ExitStack() as stack:
        own = cohort
        if truth is not None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gynbtnet-")))
            cohort = with_second_reader(cohort, truth, folder, names, allow_automatic=allow_automatic)
        elif not allow_automatic:
            refuse_automatic(cohort, "as reference")
        isodoses = isodoses_of_cases(cohort.cases, doses)
        sheet = read_ratings(ratings, cohort, names) if ratings else ()
        predicted, by_case = stack.enter_context(matched_predictions(_with_all_structures(cohort), predictions, names))
        matched = replace(cohort, notes=predicted.notes)
        unpredicted = {case.id: case.missing for case in predicted.cases}
        by_reader = {}
        scored = {case.id for case in cohort.cases}
        shared = replace(own, cases=tuple(case for case in own.cases if case.id in scored))
        if readers:
            by_reader = stack.enter_context(reader_cohorts(shared, readers, names, allow_automatic=allow_automatic))
        partial = stack.enter_context(atomic_write(out))  # tables and page together
        evaluation = evaluate(
            matched,
            by_case,
            partial,
            settings,
            unpredicted=unpredicted,
            recorded=shared,
            jobs=jobs,
            memory_gb=memory_gb,
        )
        study = (
            study_readers(predicted, by_case, by_reader, settings, jobs=jobs, memory_gb=memory_gb)
            if by_reader
            else None
        )
        copies = study.copies if study else ()
        matched = replace(matched, notes=(*matched.notes, *(_copies_note(*pair) for pair in copies)))
        rated = study_ratings(sheet, evaluation.scores) if sheet else None
        report_evaluation(
            matched,
            by_case,
            evaluation,
            partial,
            names,
            review_share=review_share,
            readers=study,
            ratings=rated,
            isodoses=isodoses,
        )
    return evaluation, matched


def _check_not_itself(predictions: Path, truth: Mapping[str, Path], readers: Mapping[str, Path]) -> None:
    """Check that the predictions aren't also given as contours of a reader, with which they would agree perfectly."""
    for name, folder in {**truth, **{f"--reader {name}": own for name, own in readers.items()}}.items():
        if Path(folder).resolve() == Path(predictions).resolve():
            raise BadInput(
                f"{name} has the folder of the predictions, {folder}, which would be compared with itself; "
                "give contours of another person."
            )


def _copies_note(one: str, other: str) -> str:
    return f"The contours of {one} and {other} are equal in every case that both have; check that none is a copy."


def _with_all_structures(cohort: Cohort) -> Cohort:
    """Return the cohort as if each case had all structures; those that a prediction lacks are then the missing ones."""
    return replace(cohort, cases=tuple(replace(case, missing=()) for case in cohort.cases))
