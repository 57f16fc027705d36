"""The page in Chromium: opened, sorted, scrolled, at narrow widths, and printed."""

import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gynbtnet.evaluation.dose.pages.patient_pages import CaseContours, PatientDose, write_patient_page
from gynbtnet.evaluation.dose.pages.report import dose_report
from gynbtnet.evaluation.dose.pages.viewed_dose import viewed_dose
from gynbtnet.evaluation.metrics.evaluation import evaluate, read_truth
from gynbtnet.evaluation.reports.evaluation_report import report_evaluation
from gynbtnet.imaging import StructureNames, Volume
from gynbtnet.pages import ViewedCase

NAMES = StructureNames.load()

_spec = importlib.util.spec_from_file_location("browser", Path(__file__).with_name("browser.py"))
assert _spec and _spec.loader
browser = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(browser)

pytestmark = pytest.mark.skipif(not browser.CHROMIUM, reason="there is no Chromium to look at the page with")


@pytest.fixture(scope="module")
def page(scanned, predicted, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("evaluation") / "out"
    return report_evaluation(scanned, predicted, evaluate(scanned, predicted, out), out)


@pytest.fixture(scope="module")
def chromium(tmp_path_factory) -> Iterator[Any]:
    opened = browser.Browser(tmp_path_factory.mktemp("profile"))
    yield opened
    opened.close()


@pytest.fixture
def desktop(chromium, page):
    chromium.open(page)
    yield chromium
    assert chromium.troubles() == []


def test_it_loads_without_errors_and_asks_for_nothing(desktop, page):
    assert desktop.asked_for() == [page.as_uri()]
    seen = "[...document.images].every(image => image.complete && image.naturalWidth > 0)"
    assert desktop.run(seen)
    assert desktop.run("document.images.length") == 3


@pytest.mark.parametrize("width", [1280, 375])
def test_the_page_of_doses(chromium, dose_content, tmp_path, width):
    path = tmp_path / "report.html"
    path.write_text(dose_report(dose_content), encoding="utf-8")
    chromium.open(path, width=width)
    assert chromium.asked_for() == [path.as_uri()]
    assert chromium.run("[...document.images].every(image => image.complete && image.naturalWidth > 0)")
    assert chromium.run("document.documentElement.scrollWidth <= window.innerWidth")
    chromium.run("document.querySelector('#one-fraction th:nth-child(3) button').click()")
    shown = (
        "[...document.querySelectorAll('#one-fraction table')[0].tBodies[0].rows].map(row => row.cells[0].innerText)"
    )
    assert chromium.run(shown) == ["Rectum", "HR-CTV", "Bladder"]
    assert chromium.troubles() == []


@pytest.mark.parametrize("width", [1400, 390])
def test_the_page_of_a_patient(chromium, scanned, dose_content, tmp_path, width):
    contours = read_truth(scanned.cases[0], scanned.structures)
    fractions = tuple(CaseContours(case, contours) for case in scanned.cases[:2])
    courses = [course for course in dose_content.courses if course.patient == "p1"]
    scores = [score for score in dose_content.scores if score.patient == "p1"]
    content = PatientDose("p1", fractions, scores, courses, "EMBRACE II", None, synthetic=True)

    def draw(fraction: CaseContours) -> ViewedCase:
        dose = Volume(np.full(contours.labels.array.shape, 6.0, np.float32), contours.labels.geometry)
        return viewed_dose(fraction.case, [dose], contours, None, NAMES)

    path = write_patient_page(content, NAMES, draw, tmp_path)
    chromium.open(path, width=width)
    assert chromium.asked_for() == [path.as_uri()]
    assert chromium.run("document.documentElement.scrollWidth <= window.innerWidth")
    assert chromium.run("document.querySelectorAll('details .viewer').length") == 1  # the first of two fractions
    badges = chromium.run("[...document.querySelectorAll('#dose-against-aims td .badge')].map(b => b.innerText)")
    assert [badge[:6] for badge in badges] == ["64.1 ✗", "71.2 ✓", "59.2 ✓"]
    assert len(re.findall(rb"/Type\s*/Page\b", chromium.pdf())) == 1
    assert chromium.troubles() == []


def test_its_policy_forbids_what_it_never_does(chromium, page):
    chromium.open(page)
    asked = "fetch('https://example.org/').then(() => 'came', () => 'forbidden')"
    assert chromium.run(asked) == "forbidden"
    assert any("Content Security Policy" in trouble for trouble in chromium.troubles())


def column(chromium, number: int) -> list[str]:
    cells = f"#results tbody tr td:nth-child({number})"
    return chromium.run(
        f"[...document.querySelector('#results table').querySelectorAll('{cells}')].map(c => c.innerText)"
    )


def test_a_table_sorts_by_number_and_back_and_the_mean_stays_last(desktop):
    assert column(desktop, 1) == ["Bladder", "Rectum", "mean over structures"]
    assert column(desktop, 2) == ["0", "0", "0"]  # missed structures come first
    assert [cell.split("\n")[0] for cell in column(desktop, 6)] == ["0.812 ± 0.161", "0.625 ± 0.323", "0.719"]
    head = "document.querySelectorAll('#results th')[5]"
    desktop.run(f"{head}.querySelector('button').focus()")
    for order, first in (("ascending", "Rectum"), ("descending", "Bladder")):
        desktop.press("Enter")
        assert desktop.run(f"{head}.getAttribute('aria-sort')") == order
        assert column(desktop, 1)[0] == first
        assert column(desktop, 1)[2] == "mean over structures"
    desktop.run("document.querySelectorAll('#results th')[0].querySelector('button').click()")
    assert column(desktop, 1)[:2] == ["Bladder", "Rectum"]
    assert desktop.run(f"{head}.getAttribute('aria-sort')") is None


def state(chromium) -> tuple[str, str, str]:
    """Return position, picture and outline of the true bladder in the axial plane of the open case."""
    plane = "document.querySelector('#case1 .plane')"
    return tuple(
        chromium.run(f"{plane}.{part}")
        for part in (
            "querySelector('output').innerText",
            "querySelector('image').getAttribute('href')",
            "querySelector('#case1-axial-0-0').getAttribute('d')",
        )
    )


def test_the_viewer_scrolls_by_keys_and_wheel(desktop):
    start = state(desktop)
    assert start[0] == "axial 6 of 12, z = 30 mm"
    assert start[2].startswith("M")
    desktop.run("document.querySelector('#case1 input[type=range]').focus()")
    desktop.press("ArrowRight")
    up = state(desktop)
    assert up[0] == "axial 7 of 12, z = 34 mm"
    assert up[1] != start[1]
    desktop.press("End")
    assert (state(desktop)[0], state(desktop)[2]) == ("axial 12 of 12, z = 54 mm", "")  # the bladder ends below
    desktop.press("Home")
    desktop.run("document.querySelector('#case1 svg').scrollIntoView({block: 'center'})")
    before = desktop.run("window.scrollY")
    desktop.wheel("#case1 svg", -50)
    assert state(desktop)[0] == "axial 2 of 12, z = 14 mm"
    assert desktop.run("window.scrollY") == before
    value_text = "document.querySelector('#case1 input[type=range]').getAttribute('aria-valuetext')"
    assert desktop.run(value_text) == "axial 2 of 12, z = 14 mm"


def test_a_click_moves_the_other_planes(desktop):
    """A click at a quarter of the axial picture of 72 by 60 mm: 18 mm and 15 mm from its corner."""
    labels = "[...document.querySelectorAll('#case1 output')].map(output => output.innerText)"
    before = desktop.run(labels)
    desktop.run("document.querySelector('#case1 svg').scrollIntoView({block: 'center'})")
    box = "document.querySelector('#case1 svg').getBoundingClientRect()"
    x, y = desktop.run(f"(b => [b.x + b.width / 4, b.y + b.height / 4])({box})")
    for kind in ("mousePressed", "mouseReleased"):
        desktop.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)
    after = desktop.run(labels)
    assert after[0] == before[0]
    assert after[1].startswith("coronal 5 of 20")  # 5 slices of 3 mm, each 1.5 mm from its centre
    assert after[2].startswith("sagittal 6 of 24")
    lines = "[...document.querySelectorAll('#case1 .plane:first-child .cross path')].map(p => p.getAttribute('d'))"
    assert desktop.run(lines) == [f"M{4 * 16.5:g} 0V240", f"M0 {4 * 13.5:g}H288"]


def test_a_window_changes_all_planes(desktop):
    filters = "[...new Set([...document.querySelectorAll('#case1 image')].map(i => i.getAttribute('filter')))]"
    assert desktop.run(filters) == ["url(#window-pelvis)"]
    desktop.run("document.querySelector('#case1 input[value=bone]').click()")
    assert desktop.run(filters) == ["url(#window-bone)"]


def test_other_cases_open_by_a_click(desktop):
    section = "#reference-and-prediction"
    assert desktop.run(f"document.querySelectorAll('{section} > .kept > .viewer').length") == 1
    assert desktop.run(f"document.querySelector('{section} h3').innerText") == "Median case, mean DSC 0.62: p2_f1"
    summaries = f"[...document.querySelectorAll('{section} > details > summary')].map(one => one.innerText)"
    assert desktop.run(summaries) == [
        "Best case, mean DSC 1.00: p1_f1",
        "Worst case, mean DSC 0.44: p3_f1",
        "All other cases (1)",
    ]
    viewers = f"[...document.querySelectorAll('{section} .viewer')].filter(one => one.checkVisibility()).length"
    assert desktop.run(viewers) == 1
    desktop.run(f"document.querySelector('{section} summary').click()")
    assert desktop.run(viewers) == 2


def test_structures_models_and_errors_are_switched(desktop):
    def seen(what: str) -> int:
        every = f"[...document.querySelectorAll('#case1 .plane:first-child svg {what}')]"
        return desktop.run(f"{every}.filter(one => one.getClientRects().length).length")

    def switch(kind: str, number: int) -> None:
        desktop.run(f"document.querySelector('#case1 input[data-{kind}=\"{number}\"]').click()")

    lines = "[data-line] use"
    assert (seen(lines), seen("[data-errors] use")) == (4, 0)
    switch("line", 1)
    switch("errors", 1)
    assert (seen(lines), seen("[data-errors] use")) == (2, 4)
    switch("structure", 0)
    assert (seen(lines), seen("[data-errors] use")) == (1, 2)


def test_over_and_under_segmentation_are_seen_in_two_colours(desktop, tmp_path):
    """Check the worst case: all contours moved by 9 mm to the patient's left, which is right in the picture."""
    desktop.run("for (const one of document.querySelectorAll('#typical-and-worst-slices details')) one.open = true")
    desktop.run("document.querySelector('#typical-and-worst-slices').scrollIntoView()")
    panel = "[...document.querySelectorAll('#typical-and-worst-slices .panels')][2].lastElementChild.firstElementChild"
    box = desktop.run(f"(b => [b.x, b.y, b.width, b.height])({panel}.getBoundingClientRect())")
    share = {
        kind: desktop.run(
            f"[...{panel}.querySelectorAll('[fill=\"url(#{kind})\"]')].map(one => document.querySelector("
            "one.getAttribute('href')).getBBox()).map(b => [b.x, b.width])"
        )
        for kind in ("over", "under")
    }
    (over_x, _), (under_x, _) = share["over"][0], share["under"][0]
    assert over_x - under_x == pytest.approx(9 * 4, abs=2)  # the prediction lies right of the truth
    picture = desktop.pixels(*box)
    blue, orange = (picture[:, :, 2] > picture[:, :, 0] + 60), (picture[:, :, 0] > picture[:, :, 2] + 60)
    # Left out at the left of both structures, drawn too much at their right.
    assert blue.sum() > 100
    assert orange.sum() > 100
    assert blue.nonzero()[1].mean() > orange.nonzero()[1].mean() + 0.1 * box[2]


@pytest.mark.parametrize("width", [320, 390])
def test_a_phone_needs_no_sideways_scrolling(chromium, page, width):
    chromium.open(page, width, 844)
    chromium.run("for (const one of document.querySelectorAll('details')) one.open = true")
    assert chromium.run("document.documentElement.scrollWidth") == width
    assert chromium.troubles() == []
    # A table that is wider says so.
    hints = "[...document.querySelectorAll('.wide')].map(w => [w.scrollWidth > w.clientWidth + 1, w.previousSibling])"
    shown = chromium.run(f"{hints}.map(([cut, hint]) => [cut, hint.classList.contains('shown')])")
    assert [True, True] in shown
    assert all(cut == hint for cut, hint in shown)
    # The slider can be hit by a finger: 24 CSS pixels, WCAG 2.2, 2.5.8.
    assert chromium.run("document.querySelector('input[type=range]').getBoundingClientRect().height") >= 24


def test_it_prints(desktop):
    desktop.run("document.querySelector('#case1 input[type=range]').focus()")
    desktop.press("End")
    printed = desktop.pdf()
    assert printed.startswith(b"%PDF")
    assert len(re.findall(rb"/Type\s*/Page\b", printed)) <= 6
    assert state(desktop)[0] == "axial 12 of 12, z = 54 mm"  # as it was, after printing
    wide = "[...document.querySelectorAll('table')].filter(t => t.getBoundingClientRect().right > innerWidth).length"
    desktop.call("Emulation.setEmulatedMedia", media="print")
    desktop.call("Emulation.setDeviceMetricsOverride", width=703, height=1000, deviceScaleFactor=1, mobile=False)
    assert desktop.run(wide) == 0  # the width of A4 without its margins
    # With a box in a head Chromium wouldn't print it again on a table's next page.
    assert desktop.run("getComputedStyle(document.querySelector('th button')).display") == "contents"
    desktop.call("Emulation.setEmulatedMedia", media="")


def test_the_middle_slices_are_there_without_scripts(chromium, page):
    chromium.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        chromium.open(page)
        shot = chromium.call("DOM.getDocument", depth=1)["root"]["nodeId"]
        pictures = chromium.call("DOM.querySelectorAll", nodeId=shot, selector="#case1 svg image")["nodeIds"]
        assert len(pictures) == 3
        controls = chromium.call("DOM.querySelectorAll", nodeId=shot, selector=".js")["nodeIds"]
        assert controls == []
    finally:
        chromium.call("Emulation.setScriptExecutionDisabled", value=False)


def test_text_can_be_read(desktop):
    """Contrast of every colour of text with the page behind it: 4.5, WCAG 2.1, 1.4.3."""
    colours = desktop.run("""
        [...new Set([...document.querySelectorAll("body *")].filter(e => !e.closest("svg") && e.innerText).map(e => {
          let behind = e;
          const colour = () => getComputedStyle(behind).backgroundColor;
          while (colour() === "rgba(0, 0, 0, 0)") behind = behind.parentElement;
          return getComputedStyle(e).color + "|" + colour();
        }))]
    """)
    assert len(colours) >= 4
    for pair in colours:
        (light, dark) = sorted((luminance(one) for one in pair.split("|")), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5, pair


def luminance(colour: str) -> float:
    """WCAG's relative luminance of rgb(…)."""
    parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
