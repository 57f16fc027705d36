"""The page of a patient: what to review, doses against aims with signs, planes with isodoses, on one sheet."""

import re
from dataclasses import replace

import numpy as np
import pytest

from gynbtnet.imaging import Geometry, Segmentation, Volume
from gynbtnet.pages.html_elements import Badge, csv_text, table
from gynbtnet.pages.patient_page import DoseTable, PatientPage, StructureRow, render_patient_page
from gynbtnet.pages.slice_drawing import WINDOWS, StructureStyle
from gynbtnet.pages.slice_stack import WIDE_GREY, WIDE_HU, slice_stack
from gynbtnet.pages.slice_viewer import ViewedCase, viewer
from gynbtnet.pictures import PLANES

GRID = Geometry((10, 12, 14), (3.0, 2.0, 2.0))
NASTY = '</script><iframe onload="alert(1)">'


def viewed(has_reference: bool = False) -> ViewedCase:
    labels = np.zeros(GRID.shape, np.uint8)
    labels[3:7, 3:9, 4:10] = 1
    segmentation = Segmentation(Volume(labels, GRID), ("bladder",))
    image = Volume(np.zeros(GRID.shape, np.int16), GRID)
    sources = {"reference": segmentation, "prediction": segmentation} if has_reference else {"prediction": segmentation}
    isodoses = {"5 Gy": labels > 0, "7 Gy": labels > 1}
    stacks = tuple(slice_stack(image, sources, plane, 5, is_wide=True, isodoses=isodoses) for plane in PLANES)
    styles = {"bladder": StructureStyle("Bladder", "#ffff00")}
    return ViewedCase("Fraction 1", "A caption.", stacks, ("prediction",), styles, has_reference)


@pytest.fixture
def page() -> PatientPage:
    rows = (
        StructureRow("Bladder", "#ffff00", ("81.0",), "0.82 (0.71–0.90)", Badge("no flag", "good", "no flag")),
        StructureRow("Sigmoid", "#00ff00", ("3.1",), "", Badge("review", "bad", "review first"), ("It is too small.",)),
    )
    doses = DoseTable(
        ("structure", "metric", "total EQD2 (Gy)", "aim"),
        (("Bladder", "D2cc", Badge("91.2", "bad", "limit missed"), "< 80"),),
        slice(2, 3),
        "EMBRACE II.",
    )
    return PatientPage(
        title="Contours of case 7",
        summary="Check first: Sigmoid.",
        facts=(("model", "demo"),),
        synthetic=False,
        warnings=("The model was trained on synthetic data.",),
        scans=("",),
        structures=rows,
        doses=doses,
        case=viewed(),
        notes=("A slice was interpolated.",),
    )


def test_all_parts_are_on_the_page(page: PatientPage) -> None:
    html = render_patient_page(page)
    for words in (
        "Contours of case 7",
        "Check first: Sigmoid.",
        "The model was trained on synthetic data.",
        "volume (cm³)",
        "0.82 (0.71–0.90)",
        "It is too small.",
        "EMBRACE II.",
        "A slice was interpolated.",
        "Isodoses:",
    ):
        assert words in html, words
    assert html.count("research use only") == 1
    assert "Synthetic data. No patient" not in html
    assert '<body class="sheet">' in html
    assert "<nav>" not in html
    assert render_patient_page(page) == html


def test_a_verdict_can_be_read_without_colours(page: PatientPage) -> None:
    html = render_patient_page(page)
    assert '<span class="badge bad" title="limit missed">91.2 <span aria-hidden="true">✗</span>' in html
    assert '<span class="spoken"> limit missed</span>' in html


def test_without_calibration_the_page_warns(page: PatientPage) -> None:
    rows = tuple(replace(row, predicted_dsc="") for row in page.structures)
    assert "not calibrated" in render_patient_page(replace(page, structures=rows))
    assert "not calibrated" not in render_patient_page(page)
    unpredicted = tuple(replace(row, status=None) for row in rows)
    assert "check</th>" not in render_patient_page(replace(page, structures=unpredicted))


def test_every_text_is_escaped(page: PatientPage) -> None:
    rows = (replace(page.structures[0], name=NASTY, remarks=(NASTY,), status=Badge(NASTY, "bad", NASTY)),)
    styles = {"bladder": StructureStyle(NASTY, "#fff")}
    case = replace(viewed(), title=NASTY, caption=NASTY, styles=styles)
    doses = DoseTable((NASTY,), ((NASTY,),), slice(1, None), NASTY)
    html = render_patient_page(
        PatientPage(NASTY, NASTY, ((NASTY, NASTY),), True, (NASTY,), (NASTY,), rows, doses, case, (case,), (NASTY,))
    )
    assert "<iframe" not in html


def test_a_viewer_without_reference_has_no_errors_to_show() -> None:
    alone, compared = viewer(viewed(), "a"), viewer(viewed(has_reference=True), "b")
    assert "Errors" not in alone
    assert "Errors" in compared
    assert 'data-of="reference"' not in alone
    assert alone.count('type="radio"') == len(WINDOWS)
    assert "data-dose" in alone


def test_planes_cross_at_the_first_slices() -> None:
    """The axial plane is crossed by the sagittal slice 5 at 11 mm and the coronal slice 5 at 11 mm, in quarters."""
    axial = viewer(viewed(), "a").split('<figure class="plane">')[1]
    cross = re.search(r'data-cross="0"><path d="M(\d+) 0V(\d+)"/><path d="M0 (\d+)H(\d+)"/>', axial)
    assert cross is not None
    assert tuple(map(int, cross.groups())) == (44, 96, 44, 112)


def test_windows_are_made_from_wide_grey_values() -> None:
    """A soft tissue of 40 HU is in the middle of the pelvic window, whose ends are black and white."""
    hu = np.array([-160.0, 40.0, 240.0, 2500.0])
    grey = np.interp(hu, WIDE_HU, WIDE_GREY).astype(np.uint8)
    back = np.interp(grey, WIDE_GREY, WIDE_HU)
    assert np.abs(back - hu)[:3].max() < 3
    _, level, width = WINDOWS["pelvis"]
    shades = np.clip((back - level) / width + 0.5, 0, 1)
    assert shades == pytest.approx([0, 0.5, 1, 1], abs=0.01)


def test_cells_of_several_lines() -> None:
    cells = ("line 1\nline 2", (Badge("1.0", "good", "aim met"), "–"))
    html = table(["a", "b"], [cells], emphasised="line 1\nline 2")
    assert "line 1<br>line 2" in html
    assert html.count('class="stacked"') == 2
    assert 'class="whole"' in html
    assert csv_text(["a", "b"], [cells]) == "a,b\nline 1; line 2,1.0 (aim met); –\n"
