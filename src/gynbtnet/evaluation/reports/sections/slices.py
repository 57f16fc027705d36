"""Section of a report with typical and worst slices of cases and structures."""

from collections.abc import Iterator

from gynbtnet.evaluation.reports.example_cases import ExampleCases, PanelRow
from gynbtnet.evaluation.reports.sections.viewed_cases import ranking_rule
from gynbtnet.pages import html_elements as html
from gynbtnet.pages.html_slices import HATCH_LEGEND, panels


def slices_section(examples: ExampleCases, *, several_models: bool) -> Iterator[str]:
    """Yield the slices of the selected cases, then those of each structure.

    Args:
        examples: cases that were selected.
        several_models: whether the page compares models.
    """
    over_models = ", summed over the models" if several_models else ""
    yield html.paragraph(
        "Over-segmentation: in the prediction, not in the reference. Under-segmentation: in the reference, not in the "
        "prediction. Typical slice: the one whose DSC is nearest to that of its case. It is among those with the most "
        "structures and at least half of the reference's largest area. Worst slice: the one with the most wrong "
        f"voxels{over_models}. Cases: best, median and worst by {ranking_rule(several_models=several_models)}.",
        "note",
    )
    yield HATCH_LEGEND
    yield html.legend((style.name, style.colour) for style in examples.viewed[0].styles.values())
    cases = (
        html.keep_together(
            html.heading(row.title, 3),
            html.paragraph(row.caption) if row.caption else "",
            panels(row.panels, f"slices{number}"),
        )
        for number, row in enumerate(examples.cases)
    )
    yield html.many_panels(cases) if several_models else html.pairwise(cases)
    yield html.heading("Each structure", 3)
    shown = "Median and worst case" if several_models else "Best, median and worst case"
    yield html.paragraph(
        f"{shown} of each structure by its DSC"
        f"{', averaged over the models' if several_models else ''}; a missed or false structure counts as 0. Filled: "
        "reference. Line: prediction. All values are in the table of every case and structure.",
        "note",
    )
    models = len(examples.viewed[0].models)
    structures = (
        _structure_row(row, 2 * models if several_models else len(row.panels), f"structure{number}")
        for number, row in enumerate(examples.structures)
    )
    yield html.many_panels(structures) if several_models else html.pairwise(structures)


def _structure_row(row: PanelRow, width: int, key: str) -> str:
    """Return the panels of a structure, ``width`` of them per line."""
    lines = [row.panels[start : start + width] for start in range(0, len(row.panels), width)]
    rendered = (panels(line, f"{key}-{number}") for number, line in enumerate(lines))
    return html.keep_together(html.heading(row.title, 4), *rendered)
