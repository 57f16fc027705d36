"""Section of a report on the training stages."""

from collections.abc import Iterator, Sequence

from gynbtnet.evaluation.reports.stage_report import StageReport
from gynbtnet.pages import html_elements as html


def training_section(stages: Sequence[StageReport]) -> Iterator[str]:
    """Yield facts, curves, pictures and settings of each stage.

    Args:
        stages: the stages in their order.
    """
    for stage in stages:
        yield html.heading(stage.name, 3)
        if stage.transfer:
            yield html.paragraph(stage.transfer)
        yield html.definition_list(stage.facts)
        yield html.figure(stage.curves, "")
        for picture in stage.pictures:
            yield html.figure([picture], picture.description)
        yield html.details(f"Settings ({len(stage.settings)})", html.definition_list(stage.settings))
