"""The page of one evaluation, and the tables that it shows."""

from pathlib import Path

from gynbtnet.datasets.cohort import Cohort
from gynbtnet.evaluation.cohorts.cohort_overview import cohort_pictures, cohort_table
from gynbtnet.evaluation.cohorts.metal_artefacts import cases_with_metal
from gynbtnet.evaluation.metrics.evaluation import Evaluation
from gynbtnet.evaluation.reports.example_cases import example_cases
from gynbtnet.evaluation.reports.model_results import model_results
from gynbtnet.evaluation.reports.report import ReportContent, write_report
from gynbtnet.imaging.structure_names import StructureNames
from gynbtnet.runtime.json_files import sha256_of


def report_evaluation(
    cohort: Cohort, predictions: Path, evaluation: Evaluation, out: Path, names: StructureNames | None = None
) -> Path:
    """Write ``report.html`` and what it shows: ``strata.csv``, ``consistency.csv`` and, with flags, ``flags.csv``.

    Args:
        cohort: the cases that were scored.
        predictions: what was scored, ``<case id>/labels.nii.gz``.
        evaluation: the scores.
        out: the evaluation's folder.
        names: for the structures' colours; None: our own table.

    Returns:
        The path of the page.

    Raises:
        BadInput: where a prediction is absent or damaged.
    """
    results = model_results("", cohort, evaluation, predictions, cases_with_metal(cohort))
    results.save(out)
    groups = {"scored": cohort}
    content = ReportContent(
        title=f"Evaluation: {cohort.name}",
        synthetic=cohort.synthetic,
        cohort=cohort_table(groups),
        cohort_pictures=cohort_pictures(groups),
        notes=cohort.notes,
        results=(results,),
        shown=example_cases(
            cohort, {"prediction": evaluation}, {"prediction": predictions}, names or StructureNames.load()
        ),
        provenance=(("scores (SHA-256)", sha256_of(out / "scores.csv")),),
    )
    write_report(content, out / "report.html")
    return out / "report.html"
