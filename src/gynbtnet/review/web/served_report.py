"""Report of an evaluation, served next to the review page: each case has a link to its review."""

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, Response
from starlette.routing import Route

from gynbtnet.evaluation.reports.sections.review_paragraph import read_review_command, with_review_links
from gynbtnet.pages.html_elements import Link
from gynbtnet.review.worklist import WorklistItem
from gynbtnet.runtime.errors import BadInput

REPORT_FILE = "report.html"
"""Name of the page in the folder of an evaluation."""
_NEXT_TO_IT = (".html", ".csv")
"""Endings of the files that a report links to."""


@dataclass(frozen=True)
class ReportedEvaluation:
    """An evaluation whose cases can be reviewed.

    Attributes:
        page: path of its report.
        predictions: folder of the predictions.
        cohort: cohort with the reference contours.
    """

    page: Path
    predictions: Path
    cohort: Path


def find_report(path: Path) -> ReportedEvaluation | None:
    """Return the evaluation in a folder; None if the folder has no report.

    Args:
        path: folder of an evaluation or an experiment.

    Raises:
        BadInput: If the report names no predictions to review, or they are no longer there.
    """
    page = path / REPORT_FILE
    if not page.is_file():
        return None
    folders = read_review_command(page.read_text(encoding="utf-8"))
    if folders is None:
        raise BadInput(
            f"{page} names no predictions that can be reviewed; expected a report of `gynbtnet evaluate` or `gynbtnet "
            "run`. Give the folder of the predictions."
        )
    for folder in (folders.predictions, folders.cohort):
        if not folder.is_dir():
            raise BadInput(
                f"{page} is about {folder}, which isn't there. Run the command in the folder in which the report was "
                "made, or give the folder of the predictions and `--reference`."
            )
    return ReportedEvaluation(page, folders.predictions, folders.cohort)


def make_report_app(page: Path, items: Sequence[WorklistItem]) -> Starlette:
    """Return the application that serves a report.

    Args:
        page: path of the report.
        items: the worklist that the page's links open.
    """
    links = [Link(item.name, f"/#case={number}") for number, item in enumerate(items) if not item.problem]
    policy = {"Content-Security-Policy": _policy()}

    def report(_: Request) -> Response:
        return HTMLResponse(with_review_links(page.read_text(encoding="utf-8"), links), headers=policy)

    def next_to_it(request: Request) -> Response:
        root = page.parent.resolve()
        file = (root / request.path_params["path"]).resolve()
        if not (file.is_relative_to(root) and file.suffix in _NEXT_TO_IT and file.is_file()):
            return Response(status_code=404)
        return FileResponse(file, headers=policy)

    return Starlette(routes=[Route("/", report), Route("/{path:path}", next_to_it)])


def _policy() -> str:
    """Return the policy of report pages: no script but the one that this version puts into them, and nothing loaded."""
    script = files("gynbtnet.pages").joinpath("page.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(f"\n{script}".encode()).digest()).decode()
    return (
        f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'"
    )
