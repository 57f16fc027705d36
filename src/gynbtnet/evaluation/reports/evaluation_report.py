"""Report page of one evaluation, and the tables that it shows."""

from pathlib import Path

from gynbtnet.datasets.cohort import Cohort
from gynbtnet.evaluation.cohorts.cohort_overview import cohort_pictures, cohort_table
from gynbtnet.evaluation.cohorts.metal_artefacts import cases_with_metal
from gynbtnet.evaluation.metrics.evaluation import Evaluation
from gynbtnet.evaluation.readers.rating_study import RatingStudy
from gynbtnet.evaluation.readers.reader_study import ReaderStudy
from gynbtnet.evaluation.reports.case_isodoses import DrawIsodoses, no_isodoses
from gynbtnet.evaluation.reports.example_cases import example_cases, other_viewers
from gynbtnet.evaluation.reports.model_results import model_results
from gynbtnet.evaluation.reports.report import ReportContent, write_report
from gynbtnet.evaluation.reports.sections.review_paragraph import review_command
from gynbtnet.imaging.structure_names import StructureNames
from gynbtnet.runtime.json_files import sha256_of


def report_evaluation(
    cohort: Cohort,
    predictions: Path,
    evaluation: Evaluation,
    out: Path,
    names: StructureNames | None = None,
    *,
    review_share: float = 0.2,
    readers: ReaderStudy | None = None,
    ratings: RatingStudy | None = None,
    isodoses: DrawIsodoses = no_isodoses,
) -> Path:
    """Write ``report.html`` and the tables that it shows.

    These are ``subgroups.csv``, ``consistency.csv``, ``flags.csv`` if the predictions have flags, and ``triage.csv`` if
    they have a predicted DSC. With several readers or with ratings, there are also their tables.

    Viewers of cases that the page can't hold are pages in ``viewer``.

    Args:
        cohort: the cases that were scored.
        predictions: folder of the predictions that were scored, ``<case id>/labels.nii.gz``.
        evaluation: the scores.
        out: the folder of the evaluation.
        names: names and colours of the structures; None: the built-in table.
        review_share: share of the cases to review, for the triage.
        readers: agreement of several readers; None without them.
        ratings: ratings of the predicted contours; None without them.
        isodoses: isodoses of a case for its viewer, see :func:`gynbtnet.evaluation.dose.isodoses.isodoses_of_cases`;
            default: none.

    Returns:
        The path of the page.

    Raises:
        BadInput: If a prediction is absent or damaged.
    """
    names = names or StructureNames.load()
    results = model_results("", cohort, evaluation, predictions, cases_with_metal(cohort), review_share)
    results.save(out)
    for study in (readers, ratings):
        if study:
            study.save(out)
    groups = {"scored": cohort}
    shown = {"prediction": evaluation}, {"prediction": predictions}, names
    examples = example_cases(cohort, *shown, isodoses)
    content = ReportContent(
        title=f"Evaluation: {cohort.name}",
        synthetic=cohort.synthetic,
        names=names,
        cohort=cohort_table(groups, names),
        cohort_pictures=cohort_pictures(groups, names),
        notes=cohort.notes,
        results=(results,),
        readers=readers,
        ratings=ratings,
        examples=examples,
        viewers=other_viewers(cohort, *shown, out, examples.case_ids, isodoses),
        review_command=review_command(predictions, cohort),
        provenance=(("scores (SHA-256)", sha256_of(out / "scores.csv")),),
    )
    write_report(content, out / "report.html")
    return out / "report.html"
