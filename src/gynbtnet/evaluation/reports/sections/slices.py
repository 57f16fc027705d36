"""Section of a report with typical and worst slices of cases and structures."""

from collections.abc import Iterator

from gynbtnet.evaluation.reports.example_cases import ExampleCases, PanelRow
from gynbtnet.evaluation.reports.sections.viewed_cases import ranking_rule
from gynbtnet.pages import html_elements as html
from gynbtnet.pages.slice_drawing import HATCH_LEGEND
from gynbtnet.pages.slice_panels import panels


def slices_section(examples: ExampleCases, *, several_models: bool) -> Iterator[str]:
    """Yield the slices of the selected cases, of which the median is open, then those of each structure.

    Args:
        examples: cases that were selected, at least one.
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
    opened = len(examples.viewed) // 2
    cases = (
        _case_row(row, f"slices{number}", is_open=number == opened, on_paper=number > 0 or not several_models)
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
        _structure_row(row, _panels_per_line(models) if several_models else len(row.panels), f"structure{number}")
        for number, row in enumerate(examples.structures)
    )
    yield html.many_panels(structures) if several_models else html.pairwise(structures)


def _panels_per_line(models: int) -> int:
    """Return the panels of a line: those of both slices of a structure if eight are enough, otherwise of one."""
    return 2 * models if models <= 4 else models


def _case_row(row: PanelRow, key: str, *, is_open: bool, on_paper: bool) -> str:
    """Return the panels of a case; they open on a click unless they are open."""
    content = (html.paragraph(row.caption) if row.caption else "") + panels(row.panels, key)
    if is_open:
        return html.keep_together(html.heading(row.title, 3), content)
    return html.details(row.title, content, on_paper=on_paper)


def _structure_row(row: PanelRow, width: int, key: str) -> str:
    """Return the panels of a structure, ``width`` of them per line, which open on a click."""
    lines = [row.panels[start : start + width] for start in range(0, len(row.panels), width)]
    rendered = (panels(line, f"{key}-{number}") for number, line in enumerate(lines))
    return html.details(row.title, "".join(rendered), on_paper=True)
