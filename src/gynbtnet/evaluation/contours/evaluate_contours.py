"""Evaluation of contours in any form: matched, scored and reported."""

import tempfile
from contextlib import ExitStack
from pathlib import Path

from gynbtnet.datasets.cohort import Cohort
from gynbtnet.datasets.reference_contours import refuse_automatic
from gynbtnet.evaluation.contours.matched_predictions import matched_predictions
from gynbtnet.evaluation.contours.second_reader import with_second_reader
from gynbtnet.evaluation.metrics.evaluation import Evaluation, evaluate
from gynbtnet.evaluation.metrics.settings import ScoringSettings
from gynbtnet.evaluation.reports.evaluation_report import report_evaluation
from gynbtnet.imaging.structure_names import StructureNames


def evaluate_contours(
    cohort: Cohort,
    predictions: Path,
    out: Path,
    settings: ScoringSettings | None = None,
    *,
    truth: Path | None = None,
    names: StructureNames | None = None,
    allow_automatic: bool = False,
    review_share: float = 0.2,
    jobs: int = 1,
    memory_gb: float | None = None,
) -> tuple[Evaluation, Cohort]:
    """Score contours of a model or a reader against those of a cohort or of another reader, and write the report page.

    Both may be predictions under any names, nnU-Net's label maps, folders of masks, or RTSTRUCTs, which are read onto
    the grids of the CTs.

    Args:
        cohort: the cases.
        predictions: see :func:`~gynbtnet.evaluation.contours.matched_predictions.matched_predictions`.
        out: folder of tables and page, see :func:`~gynbtnet.evaluation.metrics.evaluation.evaluate`.
        settings: policy for missing structures and tolerance of the surface DSC.
        truth: folder with the contours of a second reader, which replace those of the cohort; cases without them are
            left out. None: the contours of the cohort.
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
    with ExitStack() as stack:
        if truth is not None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gynbtnet-")))
            cohort = with_second_reader(cohort, truth, folder, names, allow_automatic=allow_automatic)
        elif not allow_automatic:
            refuse_automatic(cohort, "as reference")
        matched, by_case = stack.enter_context(matched_predictions(cohort, predictions, names))
        evaluation = evaluate(matched, by_case, out, settings, jobs=jobs, memory_gb=memory_gb)
        report_evaluation(matched, by_case, evaluation, out, names, review_share=review_share)
    return evaluation, matched
