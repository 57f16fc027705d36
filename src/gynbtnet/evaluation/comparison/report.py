"""The page of a comparison: the models' figures, tests, pictures and contours side by side."""

from collections.abc import Iterator
from pathlib import Path

from gynbtnet.evaluation.cohorts.cohort_overview import cohort_pictures, cohort_table
from gynbtnet.evaluation.cohorts.metal_artefacts import cases_with_metal
from gynbtnet.evaluation.comparison.comparison import Comparison
from gynbtnet.evaluation.comparison.folder import PAGE
from gynbtnet.evaluation.comparison.tables import (
    effects_table,
    model_table,
    pretraining_table,
    tests_of_all,
    tests_of_pairs,
)
from gynbtnet.evaluation.metrics.score_table import METRICS
from gynbtnet.evaluation.reports.example_cases import example_cases
from gynbtnet.evaluation.reports.grouped_table import GroupedTable
from gynbtnet.evaluation.reports.model_results import model_results
from gynbtnet.evaluation.reports.report import ReportContent, write_report
from gynbtnet.imaging.structure_names import StructureNames
from gynbtnet.pictures.picture import Picture


def report_comparison(comparison: Comparison, out: Path, names: StructureNames | None = None) -> Path:
    """Write ``report.html`` into the folder that :func:`gynbtnet.evaluation.comparison.compare.compare` wrote.

    Args:
        comparison: what was compared.
        out: the comparison's folder, whose pictures are shown.
        names: for the structures' colours; None: our own table.

    Returns:
        The path of the page.

    Raises:
        BadInput: where a prediction is absent or damaged.
    """
    cohort, predictions = comparison.cohort, comparison.predictions
    with_metal = cases_with_metal(cohort)
    groups = {"scored": cohort}
    drawn = {name: one for name, one in comparison.evaluations.items() if name in predictions}
    content = ReportContent(
        title=f"Comparison: {cohort.name}",
        synthetic=cohort.synthetic,
        description=f"{', '.join(comparison.evaluations)} on the same cases.",
        cohort=cohort_table(groups),
        cohort_pictures=cohort_pictures(groups),
        notes=cohort.notes,
        results=tuple(
            model_results(name, cohort, one, predictions.get(name), with_metal)
            for name, one in comparison.evaluations.items()
        ),
        tables=tuple(_tables(comparison)),
        figures=tuple(_figures(comparison, out)),
        warnings=comparison.notes,
        shown=example_cases(cohort, drawn, predictions, names or StructureNames.load()) if drawn else None,
    )
    write_report(content, out / PAGE)
    return out / PAGE


def _tables(comparison: Comparison) -> Iterator[tuple[str, GroupedTable]]:
    first, second = model_table(comparison), pretraining_table(comparison)
    if first:
        yield "The models", first
    if second:
        yield "Pretraining", second
    yield "By how much models differ", effects_table(comparison)
    yield "Which models differ: every test of pairs", tests_of_pairs(comparison)
    yield "Whether any model differs", tests_of_all(comparison)


def _figures(comparison: Comparison, out: Path) -> Iterator[Picture]:
    """The pictures in the folder, with the data that lie beside them."""
    told = {f"box_{metric}": f"{METRICS[metric]} of each model, by structure" for metric in comparison.settings.metrics}
    told |= {"bland_altman_volume": "Automatic minus manual volume against their mean, by structure and model"}
    for name, description in told.items():
        yield Picture(
            (out / f"{name}.png").read_bytes(), description, (out / f"{name}.csv").read_text(encoding="utf-8")
        )
