"""Section of a report with predictions on scans without reference contours."""

from collections.abc import Iterator, Sequence

from gynbtnet.evaluation.reports.case_overlay import CaseOverlay
from gynbtnet.pages import html_elements as html


def unlabelled_section(overlays: Sequence[CaseOverlay]) -> Iterator[str]:
    """Yield each scan with its contours on three planes.

    Args:
        overlays: the scans.
    """
    legend = dict(entry for overlay in overlays for entry in overlay.legend)
    yield html.legend(legend.items())
    for overlay in overlays:
        yield html.heading(overlay.title, 3)
        yield html.figure(overlay.panels, overlay.caption)
