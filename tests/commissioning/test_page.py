"""The page of a kit in Chromium: opened at two widths, and printed."""

import importlib.util
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gynbtnet.commissioning.import_form import ImportForm, compare_form
from gynbtnet.commissioning.limits import Limits
from gynbtnet.commissioning.page import commissioning_page
from gynbtnet.commissioning.record import PAGE, CommissioningRecord
from gynbtnet.imaging import StructureNames

_spec = importlib.util.spec_from_file_location(
    "browser", Path(__file__).parents[1] / "evaluation" / "reports" / "browser.py"
)
assert _spec and _spec.loader
browser = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(browser)

pytestmark = pytest.mark.slow  # the kit of the fixture takes some 20 CPU seconds


def test_what_is_typed_is_shown_as_text(kit: tuple[Path, CommissioningRecord]) -> None:
    page = (kit[0] / PAGE).read_text(encoding="utf-8")
    assert "Boxes &lt;in&gt; a body &amp; nothing else." in page and "<in>" not in page
    for words in (
        "no approval",
        "Sign-off",
        "When to commission again",
        "Synthetic data",
        "10.1016/j.radonc.2020.09.008",
    ):
        assert words in page


def test_a_filled_form_is_judged_on_the_page(kit: tuple[Path, CommissioningRecord], limits: Limits) -> None:
    folder, record = kit
    assert record.results is not None
    form = ImportForm.model_validate({"planning_system": "TPS 3", "rois": {"IMPORT_C": {"volume_cm3": 43.2}}})
    check = replace(record.results.import_check, planning_system="TPS 3", rows=compare_form(form))
    read = replace(record, intended_use="", results=replace(record.results, import_check=check))
    page = commissioning_page(read, limits, StructureNames.load(), folder / "planted")
    assert "Form to fill in" in page, "not everything is read"
    assert "1 of 14 values read, 1 outside tolerance" in page and "TPS 3" in page
    assert "-1.12 cm³ (-2.5%) from the nearer one" in page
    assert "The intended use is not typed yet." in page


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    if not browser.CHROMIUM:
        pytest.skip("there is no Chromium to look at the page with")
    opened = browser.Browser(tmp_path_factory.mktemp("profile"))
    yield opened
    opened.close()


@pytest.mark.parametrize("width", [390, 1400])
def test_it_opens_at_any_width(chromium: Any, kit: tuple[Path, CommissioningRecord], width: int) -> None:
    page = kit[0] / PAGE
    chromium.open(page, width=width)
    assert chromium.troubles() == [] and chromium.asked_for() == [page.as_uri()]
    assert chromium.run("document.documentElement.scrollWidth") <= width
    assert chromium.run("[...document.images].every(image => image.complete && image.naturalWidth > 0)")
    assert chromium.run("document.images.length") >= 4
    lowest = chromium.run("Math.min(...[...document.querySelectorAll('.form td')].map(cell => cell.offsetHeight))")
    assert lowest >= 36, "a form has room to write"


def test_it_prints_to_pdf(chromium: Any, kit: tuple[Path, CommissioningRecord], tmp_path: Path) -> None:
    chromium.open(kit[0] / PAGE, width=390)
    (tmp_path / "kit.pdf").write_bytes(chromium.pdf())
    assert (tmp_path / "kit.pdf").read_bytes().startswith(b"%PDF")
    if not shutil.which("pdftotext"):
        pytest.skip("there is no pdftotext to read the PDF with")
    text = subprocess.run(
        ["pdftotext", "-layout", tmp_path / "kit.pdf", "-"], capture_output=True, text=True, check=True
    ).stdout
    words = " ".join(text.split())
    for expected in (
        "Sign-off",
        "Radiation oncologist",
        "IMPORT_INNER",
        "can't decide",
        "A male pelvis",
        "Form to fill in",
    ):
        assert expected in words
    assert "scrolls sideways" not in words, "a hint of the narrow window"
    assert words.rindex("Sign-off") > words.rindex("Vandewinckele"), "the signatures are last"
