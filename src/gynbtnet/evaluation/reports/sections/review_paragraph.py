"""Paragraph of a report that leads to the review page.

A file can't start a server, so that the paragraph in it is a command. `gynbtnet review` reads the command, serves the
report, and replaces the command by a link for each case.
"""

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape, unescape
from pathlib import Path

from gynbtnet.datasets.cohort import Cohort
from gynbtnet.inference.manifest import MANIFEST
from gynbtnet.pages import html_elements as html

_SENTENCE = "To go through every case in three planes, with the reference next to the prediction: "
_PARAGRAPH = re.compile(rf'<p class="note">{re.escape(escape(_SENTENCE))}([^<]*)</p>')
_COMMAND, _OPTION = ["gynbtnet", "review"], "--reference"


@dataclass(frozen=True)
class ReportedFolders:
    """Folders that a report is about.

    Attributes:
        predictions: folder of the predictions.
        cohort: cohort with the reference contours.
    """

    predictions: Path
    cohort: Path


def review_command(predictions: Path, cohort: Cohort) -> str:
    """Return the command that shows predictions next to the reference.

    Args:
        predictions: folder of the predictions.
        cohort: cohort with the reference contours.

    Returns:
        The command; empty if no prediction has a ``prediction.json``.
    """
    if not any((predictions / case.id / MANIFEST).is_file() for case in cohort.cases):
        return ""
    return shlex.join([*_COMMAND, str(predictions), _OPTION, str(cohort.folder)])


def review_paragraph(command: str) -> str:
    """Write the paragraph of a report that names the command.

    Args:
        command: see :func:`review_command`.

    Returns:
        The paragraph as HTML.
    """
    return html.paragraph(_SENTENCE + command, "note")


def read_review_command(page: str) -> ReportedFolders | None:
    """Return the folders in the command of a report page; None if it has no such command."""
    paragraph = _PARAGRAPH.search(page)
    parts = shlex.split(unescape(paragraph[1])) if paragraph else []
    if len(parts) != 5 or parts[:2] != _COMMAND or parts[3] != _OPTION:
        return None
    return ReportedFolders(Path(parts[2]), Path(parts[4]))


def with_review_links(page: str, links: Sequence[html.Link]) -> str:
    """Return a report page with a link for each case in place of the command."""
    listed = ", ".join(f'<a href="{escape(link.address)}">{escape(link.text)}</a>' for link in links)
    return _PARAGRAPH.sub(lambda _: f'<p class="note">{escape(_SENTENCE)}{listed}.</p>', page)
