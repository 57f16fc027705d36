"""Report page of a comparison: scores, tests, plots and contours of the models side by side."""

from collections.abc import Iterator
from pathlib import Path

from gynbtnet.evaluation.cohorts.cohort_overview import cohort_pictures, cohort_table
from gynbtnet.evaluation.cohorts.metal_artefacts import cases_with_metal
from gynbtnet.evaluation.comparison.comparison import Comparison
from gynbtnet.evaluation.comparison.folder import PAGE
from gynbtnet.evaluation.comparison.tables.effects import effects_table
from gynbtnet.evaluation.comparison.tables.model_tables import model_table, pretraining_table
from gynbtnet.evaluation.comparison.tables.non_inferiority_table import non_inferiority_table
from gynbtnet.evaluation.comparison.tables.p_values import overall_tests_table, pairwise_tests_table
from gynbtnet.evaluation.metrics.score_table import METRICS
from gynbtnet.evaluation.reports.case_isodoses import DrawIsodoses, no_isodoses
from gynbtnet.evaluation.reports.case_viewers import CaseViewers
from gynbtnet.evaluation.reports.example_cases import example_cases, other_viewers
from gynbtnet.evaluation.reports.grouped_table import GroupedTable
from gynbtnet.evaluation.reports.model_results import model_results
from gynbtnet.evaluation.reports.report import ReportContent, write_report
from gynbtnet.imaging.structure_names import StructureNames
from gynbtnet.pictures.picture import Picture
from gynbtnet.runtime.phrases import enumeration


def report_comparison(
    comparison: Comparison,
    out: Path,
    names: StructureNames | None = None,
    isodoses: DrawIsodoses = no_isodoses,
) -> Path:
    """Write ``report.html`` into the folder that :func:`gynbtnet.evaluation.comparison.compare.compare` wrote.

    Args:
        comparison: the comparison.
        out: the folder of the comparison, whose plots are shown.
        names: names and colours of the structures; None: those of the comparison.
        isodoses: isodoses of a case for its viewer, see :func:`gynbtnet.evaluation.dose.isodoses.isodoses_of_cases`;
            default: none.

    Returns:
        The path of the page.

    Raises:
        BadInput: If a prediction is absent or damaged.
    """
    cohort, predictions = comparison.cohort, comparison.predictions
    names = names or comparison.names
    with_metal = cases_with_metal(cohort)
    groups = {"scored": cohort}
    visible = {model: scores for model, scores in comparison.evaluations.items() if model in predictions}
    examples, viewers = None, CaseViewers()
    if visible:
        examples = example_cases(cohort, visible, predictions, names, isodoses)
        viewers = other_viewers(cohort, visible, predictions, names, out, examples.case_ids, isodoses)
    content = ReportContent(
        title=f"Comparison: {cohort.name}",
        synthetic=cohort.synthetic,
        names=names,
        description=f"{enumeration(tuple(comparison.evaluations))} on the same cases.",
        cohort=cohort_table(groups, names),
        cohort_pictures=cohort_pictures(groups, names),
        notes=cohort.notes,
        results=tuple(
            model_results(model, cohort, evaluation, predictions.get(model), with_metal)
            for model, evaluation in comparison.evaluations.items()
        ),
        tables=tuple(_tables(comparison)),
        figures=tuple(_figures(comparison, out)),
        warnings=comparison.notes,
        examples=examples,
        viewers=viewers,
    )
    write_report(content, out / PAGE)
    return out / PAGE


def _tables(comparison: Comparison) -> Iterator[tuple[str, GroupedTable]]:
    first, second = model_table(comparison), pretraining_table(comparison)
    if first:
        yield "Models", first
    if second:
        yield "Pretraining", second
    yield "Effect sizes", effects_table(comparison)
    margin = non_inferiority_table(comparison)
    if margin:
        yield "Non-inferiority", margin[0]
    yield "Tests of pairs of models", pairwise_tests_table(comparison)
    yield "Tests of all models together", overall_tests_table(comparison)


def _figures(comparison: Comparison, out: Path) -> Iterator[Picture]:
    """Yield the plots in the folder, with their data."""
    descriptions = {
        f"box_{metric}": f"{METRICS[metric]} of each model, by structure" for metric in comparison.settings.metrics
    }
    descriptions |= {"bland_altman_volume": "Predicted minus reference volume against their mean, of each model"}
    for name, description in descriptions.items():
        yield Picture(
            (out / f"{name}.png").read_bytes(), description, (out / f"{name}.csv").read_text(encoding="utf-8")
        )
