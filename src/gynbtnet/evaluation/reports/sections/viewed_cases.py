"""Section of a report with cases in viewers, reference next to prediction."""

from collections.abc import Iterator

from gynbtnet.evaluation.reports.case_selection import RANKING_RULE
from gynbtnet.evaluation.reports.case_viewers import CaseViewers, viewer_list
from gynbtnet.evaluation.reports.example_cases import ExampleCases
from gynbtnet.evaluation.reports.sections.review_paragraph import review_paragraph
from gynbtnet.pages import html_elements as html
from gynbtnet.pages.slice_drawing import HATCH_LEGEND, isodose_legend
from gynbtnet.pages.slice_viewer import viewer


def viewed_cases_section(
    examples: ExampleCases, viewers: CaseViewers, review_command: str, *, several_models: bool
) -> Iterator[str]:
    """Yield the viewers of the best, the median and the worst case, of which the median is open, then all others.

    If no case could be scored, all cases are in one list.

    Args:
        examples: cases that were selected; none if no case could be scored.
        viewers: all other cases.
        review_command: command that opens the review page; empty if there is none.
        several_models: whether the page compares models.
    """
    yield html.paragraph(
        f"{_selection(examples, several_models=several_models)} Move through the slices with "
        "the sliders, the arrow keys or the mouse wheel. A click into a plane moves the other two to the same point. "
        "Slices are at least 1 mm (axial) or 3 mm apart and are compressed for this page. At first, the window has "
        "level 40 HU and width 400 HU; z, y and x are patient coordinates (LPS).",
        "note",
    )
    if review_command:
        yield review_paragraph(review_command)
    for case in (*examples.viewed, *viewers.inside)[:1]:
        yield html.legend((style.name, style.colour) for style in case.styles.values())
    yield HATCH_LEGEND
    for number, case in enumerate(examples.viewed):
        content = html.paragraph(case.caption) + isodose_legend(case.isodoses) + viewer(case, f"case{number}")
        if number == len(examples.viewed) // 2:
            yield html.keep_together(html.heading(case.title, 3), content)
        else:
            is_printed = number > 0 or not several_models
            yield html.details(case.title, content, on_paper=is_printed)
    if viewers.inside or viewers.links:
        others = len(viewers.inside) + len(viewers.links)
        which = "All other cases" if examples.viewed else "All cases"
        yield html.details(f"{which} ({others})", viewer_list(viewers))


def _selection(examples: ExampleCases, *, several_models: bool) -> str:
    """Return the sentence on which cases are shown."""
    if not examples.viewed:
        return "No case could be scored, so none is the best, the median or the worst."
    return f"Best, median and worst case by {ranking_rule(several_models=several_models)}."


def ranking_rule(*, several_models: bool) -> str:
    """Return the rule by which the cases were selected, in words."""
    return RANKING_RULE.format(models=" and models" if several_models else "")
