"""The report of an evaluation with a link from each case to its review."""

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gynbtnet.evaluation import review_command, review_paragraph
from gynbtnet.pages import html_page
from gynbtnet.review.web.served_report import find_report
from gynbtnet.runtime import BadInput

from .conftest import ingest_scan
from .served_page import Served, needs_chromium


def write_report(folder: Path, predictions: Path, cohort: Path) -> Path:
    """Write a report as `gynbtnet evaluate` does, with a page and a table next to it."""
    cases = [SimpleNamespace(id=path.name) for path in predictions.iterdir()]
    scored: Any = SimpleNamespace(cases=cases, folder=cohort)
    command = review_command(predictions, scored)
    (folder / "viewer").mkdir(parents=True)
    page = html_page("Evaluation", [("Cases", iter([review_paragraph(command)]))], synthetic=True)
    (folder / "report.html").write_text(page)
    (folder / "viewer" / "other.html").write_text(html_page("Other", [], synthetic=True))
    (folder / "secret.txt").write_text("secret")
    return folder


@pytest.mark.slow
@needs_chromium
def test_the_served_report_links_each_case(
    make_prediction: Callable[..., Path], serve: Callable[..., Served], tmp_path: Path
) -> None:
    other, predicted = (make_prediction(name, dicom=False, flags=()) for name in ("a & <b>", "scored"))
    cohort, case = ingest_scan(tmp_path / "scans" / "scored.nii.gz", predicted / "labels.nii.gz", tmp_path)
    predicted.rename(predicted.with_name(case))
    folder = write_report(tmp_path / "the evaluation", other.parent, cohort)
    written = (folder / "report.html").read_text()
    assert "href=" not in re.sub(r"<nav>.*?</nav>", "", written) and "gynbtnet review" in written
    served = serve(folder)
    page = served.page
    assert page.url == f"{served.address}report/"
    assert page.locator("section a").all_inner_texts() == ["a & <b>", case]
    assert "gynbtnet review" not in page.inner_text("body")
    # Only the script of our pages runs.
    hashed = page.request.get(page.url).headers["content-security-policy"]
    assert "script-src 'sha256-" in hashed and "script-src 'unsafe-inline'" not in hashed
    page.evaluate("document.body.insertAdjacentHTML('beforeend', '<a id=x onclick=\"document.title=1\">x</a>')")
    page.click("#x")
    assert page.title() == "Evaluation"
    assert any("Content Security Policy" in error for error in served.errors) and len(served.errors) == 1
    served.errors.clear()
    for path, code in (("viewer/other.html", 200), ("secret.txt", 404), ("../secret.txt", 404), ("%2e%2e/x.html", 404)):
        assert page.request.get(f"{served.address}report/{path}").status == code, path
    page.click(f"text={case}")
    page.wait_for_selector("body[data-ready]")
    assert page.inner_text("#title") == case
    assert page.evaluate("gynbtnetReview.page.case.structures[0].has_reference")
    page.click("#to-report")
    page.wait_for_selector("section a")
    assert page.url == f"{served.address}report/"


def test_what_is_no_report_of_predictions(tmp_path: Path) -> None:
    assert find_report(tmp_path) is None
    (tmp_path / "report.html").write_text(html_page("Dose", [], synthetic=True))
    with pytest.raises(BadInput, match="names no predictions that can be reviewed"):
        find_report(tmp_path)
    absent = tmp_path / "it's gone"
    command = shlex.join(["gynbtnet", "review", str(absent), "--reference", str(tmp_path)])
    (tmp_path / "report.html").write_text(review_paragraph(command))
    with pytest.raises(BadInput, match=re.escape(f"is about {absent}, which isn't there")):
        find_report(tmp_path)
