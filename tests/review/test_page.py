"""The page in a real browser: drawn, erased, interpolated, undone, reloaded after a kill, accepted, written."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Page, Route

from gynbtnet.imaging import StructureNames, read_ct_series, read_rtstruct

from .conftest import GRIDS, STRUCTURES, ingest_scan, write_dose
from .served_page import Served, drag, go_to, mask, needs_chromium, ready, settled
from .test_reviewed_files import contour_bytes

pytestmark = needs_chromium


def written(folder: Path, number: str = "001") -> Path:
    return folder / "review" / number


def write(page: Page) -> None:
    page.keyboard.press("Control+s")
    page.wait_for_selector("dialog[open] table")
    page.keyboard.press("Enter")


@pytest.mark.parametrize("grid", ["oblique", pytest.param("flipped", marks=pytest.mark.slow)])
def test_a_review_from_the_first_stroke_to_the_written_file(
    make_prediction: Callable[..., Path], serve: Callable[..., Served], grid: str, tmp_path: Path
) -> None:
    folder = make_prediction(geometry=GRIDS[grid])
    served = serve(folder)
    page = served.page
    ready(page)
    before = [mask(page, i) for i in range(3)]
    page.keyboard.press("2")  # bladder
    page.keyboard.press("b")
    page.evaluate("gynbtnetReview.page.size = 4")
    for z in (1, 5):
        go_to(page, [z, 20, 18])
        drag(page, "axial", [z, 24, 8], [z, 28, 14])
    after_strokes = mask(page, 1)
    assert (after_strokes & ~before[1]).any(axis=(1, 2)).tolist() == [z in (1, 5) for z in range(12)]
    assert after_strokes[1, 24, 8] and after_strokes[1, 26, 11] and after_strokes[1, 28, 14]
    # Interpolate between the two.
    go_to(page, [3, 20, 18])
    page.keyboard.press("i")
    settled(page)
    between = mask(page, 1)
    assert np.array_equal(between[[0, 1, 5, 6]], after_strokes[[0, 1, 5, 6]])
    assert between[2:5, 26, 11].all()
    # Erase in a sagittal plane; undo and redo it.
    page.keyboard.press("e")
    go_to(page, [5, 26, 11])
    drag(page, "sagittal", [3, 26, 11], [3, 26, 11])
    erased = mask(page, 1)
    assert not erased[3, 26, 11] and (erased != between).any()
    changed = np.argwhere(erased != between)
    assert set(changed[:, 2]) == {11}, "only this sagittal plane"
    page.keyboard.press("Control+z")
    settled(page)
    assert np.array_equal(mask(page, 1), between)
    page.keyboard.press("Control+y")
    settled(page)
    assert np.array_equal(mask(page, 1), erased)
    # The server is killed; everything is there again.
    served.kill()
    served.start()
    page = served.page
    ready(page)
    assert np.array_equal(mask(page, 1), erased)
    page.keyboard.press("2")
    page.keyboard.press("a")  # few of its slices were viewed: it asks once
    page.wait_for_selector("dialog[open]")
    assert re.search(r"Only \d\d % of the slices of Bladder were viewed", page.inner_text("dialog"))
    page.keyboard.press("Enter")
    settled(page)
    assert page.evaluate("gynbtnetReview.page.case.state.structures[1].accepted")
    write(page)
    ct = read_ct_series(tmp_path / "scans" / "case-1")
    read, _ = read_rtstruct(written(folder) / "RS.dcm", ct, STRUCTURES, StructureNames.load())
    turned = read.labels.geometry
    for i, name in enumerate(STRUCTURES):
        expected = mask(page, i)
        array = read.mask(name)
        if grid == "flipped":
            array = array[:, ::-1, ::-1]
        assert np.array_equal(array, expected), turned
    record = json.loads((written(folder) / "review.json").read_text())["structures"]
    assert [record[name]["algorithm"] for name in STRUCTURES] == ["AUTOMATIC", "SEMIAUTOMATIC", "AUTOMATIC"]


@pytest.mark.slow
def test_another_tab_reads_and_names_are_text(
    make_prediction: Callable[..., Path], serve: Callable[..., Served], tmp_path: Path
) -> None:
    """A second tab reads only and follows; names are text; an unedited structure is written to the byte."""
    evil = "<script>alert(1)</script>"
    folder = make_prediction(structures=("hr_ctv", "bladder", evil), flags=((evil, "fragmented"),))
    make_prediction("other", flags=())
    served = serve(folder.parent, "--seg")
    page = served.page
    page.wait_for_selector("#cases tr")
    names = [row.split()[0] for row in page.locator("#cases tr").all_inner_texts()]
    assert names == ["case-1", "other"], "what has flags comes first"
    page.keyboard.press("Enter")
    ready(page)
    assert evil in page.inner_text("#structures")
    assert page.locator("#structures script").count() == 0
    # The flag jumps to the part that it speaks of, with the keyboard alone.
    page.keyboard.press("n")
    assert page.evaluate("gynbtnetReview.page.cursor") == [10, 31, 5]
    second = page.context.new_page()
    second.goto(served.link.split("/open")[0] + "/#case=0")
    second.wait_for_selector("body[data-state=read-only]")
    assert "only be read" in second.inner_text("#banner")
    assert second.locator("#write").is_disabled()
    page.bring_to_front()
    page.keyboard.press("2")
    page.keyboard.press("p")
    corners = [[10, 4, 4], [10, 4, 9], [10, 9, 9], [10, 9, 4]]
    for voxel in corners:
        page.mouse.click(*page.evaluate("voxel => gynbtnetReview.pixelOf('axial', voxel)", voxel))
    page.keyboard.press("Enter")
    settled(page)
    square = mask(page, 1)[10, 3:11, 3:11]
    assert square.sum() in (25, 30, 36) and square[2:6, 2:6].all(), "corners are on voxel centres"
    # A hole in the middle is filled again; a region that is open to the edge of the plane isn't.
    drawn = mask(page, 1)
    page.keyboard.press("e")
    page.evaluate("gynbtnetReview.page.size = 2")
    drag(page, "axial", [10, 6, 6])
    assert not mask(page, 1)[10, 6, 6]
    page.keyboard.press("f")
    drag(page, "axial", [10, 6, 6])
    assert np.array_equal(mask(page, 1), drawn)
    drag(page, "axial", [10, 15, 15])
    assert np.array_equal(mask(page, 1), drawn) and "open towards the edge" in page.inner_text("#banner")
    page.keyboard.press("Control+s")
    page.wait_for_selector("dialog[open] table")
    assert "Not approved" in page.inner_text("dialog")
    page.keyboard.press("Enter")
    assert {"RS.dcm", "SEG.dcm", "review.json"} <= {path.name for path in written(folder).iterdir()}
    for roi in ("CTV_High", evil):
        assert contour_bytes(written(folder) / "RS.dcm", roi) == contour_bytes(folder / "RS.dcm", roi)
    assert np.array_equal(wait_for_mask(second, 1, mask(page, 1)), mask(page, 1)), "the second tab follows"
    page.close()  # the first tab is gone: the second one may edit
    second.wait_for_selector("body[data-state=saved]")


@pytest.mark.slow
def test_reference_dose_and_approval(
    make_prediction: Callable[..., Path], serve: Callable[..., Served], tmp_path: Path
) -> None:
    """The reference is shown, dose metrics follow an edit, and only accepted contours are approved."""
    folder = make_prediction("patient-001_f1", dicom=False, flags=(), low=None)
    cohort, case = ingest_scan(tmp_path / "scans" / "patient-001_f1.nii.gz", folder / "labels.nii.gz", tmp_path)
    folder = folder.rename(folder.with_name(case))
    dose = write_dose(tmp_path / "dose.nii.gz")
    served = serve(folder, "--dose", str(dose), "--reference", str(cohort), "--approve", "Doe^Jane", "--seg")
    page = served.page
    ready(page)
    assert "approved by Doe^Jane" in page.inner_text("#approval")
    page.keyboard.press("r")
    page.keyboard.press("2")
    page.keyboard.press("d")
    page.wait_for_selector("#dose-metrics td")
    expected = {"D2cc", "D1cc", "D0.1cc"}
    assert {row.split()[0] for row in page.locator("#dose-metrics tbody tr").all_inner_texts()} == expected
    references = "[...gynbtnetReview.page.case.references[1]].reduce((a, b) => a + b)"
    assert page.evaluate(references) == mask(page, 1).sum()
    wash = page.evaluate("gynbtnetReview.views[0].isodoseLines.length")
    assert wash == len(page.evaluate("gynbtnetReview.page.isodoses")) == page.locator("#isodose-legend li").count()
    assert page.evaluate("gynbtnetReview.page.case.dose.reduce((a, b) => Math.max(a, b))") == pytest.approx(20, abs=0.2)
    # A hotter slice is added by copying: the metrics follow.
    go_to(page, [9, 9, 18])
    before = page.inner_text("#dose-metrics tbody")
    go_to(page, [11, 9, 18])
    for _ in range(2):
        page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("c")
    settled(page)
    page.keyboard.press("ArrowUp")
    page.keyboard.press("c")
    settled(page)
    for _ in range(100):
        if page.inner_text("#dose-metrics tbody") != before:
            break
        page.wait_for_timeout(100)
    assert "+" in page.inner_text("#dose-metrics tbody")
    # Without acceptance nothing is approved; then it is.
    page.keyboard.press("Control+s")
    page.wait_for_selector("#banner:not([hidden])")
    assert "accept HR-CTV, Bladder, Rectum first" in page.inner_text("#banner")
    for number in "123":
        page.keyboard.press(number)
        page.keyboard.press("a")
        page.wait_for_selector("dialog[open]")
        page.keyboard.press("Enter")
        settled(page)
    page.keyboard.press("Control+s")
    page.wait_for_selector("dialog[open] table")
    assert "Approved by Doe^Jane" in page.inner_text("dialog")
    record = json.loads((written(folder) / "review.json").read_text())
    assert record["approved_by"] == "Doe^Jane" and record["files"] == ["labels.nii.gz", "review.json"]
    change = {metric["metric"]: metric for metric in record["structures"]["bladder"]["correction"]["dose"]}["D0.1cc"]
    assert change["difference_gy"] > 0.5


def server_mask(page: Page, structure: int) -> np.ndarray:
    """Return a mask of the server in display orientation."""
    voxels = page.evaluate(
        "async i => { const on = []; (await gynbtnetReview.page.case.fetchMask(i, 'current'))"
        ".forEach((v, at) => v && on.push(at)); return on; }",
        structure,
    )
    array = np.zeros(page.evaluate("gynbtnetReview.page.case.shape"), bool)
    array.ravel()[voxels] = True
    return array


def begin_stroke(page: Page, voxel: list[int]) -> None:
    page.mouse.move(*page.evaluate("voxel => gynbtnetReview.pixelOf('axial', voxel)", voxel))
    page.mouse.down()


def continue_stroke(page: Page, voxel: list[int]) -> None:
    page.mouse.move(*page.evaluate("voxel => gynbtnetReview.pixelOf('axial', voxel)", voxel))


@pytest.mark.parametrize("erases", [False, True])
@pytest.mark.parametrize("on_same_slice", [True, False])
def test_an_undo_during_a_stroke(
    make_prediction: Callable[..., Path], serve: Callable[..., Served], erases: bool, on_same_slice: bool
) -> None:
    """The stroke is put on the contour as it is at its end, and what is stored is what is shown."""
    page = serve(make_prediction()).page
    ready(page)
    page.keyboard.press("2")
    page.keyboard.press("b" if erases else "e")  # the undone stroke is of the other kind
    page.evaluate("gynbtnetReview.page.size = 3")
    first = 6 if on_same_slice else 7
    row, left, right = (20, 5, 9) if erases else (9, 16, 20)  # outside and inside the bladder
    go_to(page, [first, row, left])
    before = mask(page, 1)
    drag(page, "axial", [first, row, left], [first, row, right])
    assert (mask(page, 1) != before).any()
    held: list[Route] = []
    page.route("**/undo", lambda route: held.append(route))
    go_to(page, [6, row, left])
    page.keyboard.press("e" if erases else "b")
    page.keyboard.press("Control+z")
    begin_stroke(page, [6, row, left])
    page.wait_for_timeout(200)
    held[0].continue_()
    settled(page)
    continue_stroke(page, [6, row, right])
    page.mouse.up()
    settled(page)
    shown = mask(page, 1)
    assert np.array_equal(server_mask(page, 1), shown)
    assert np.array_equal(shown[7], before[7]) and not page.is_visible("#banner")
    painted = [shown[6, row, column] for column in (left, right)]
    if on_same_slice:
        assert painted == [not erases] * 2
    else:  # the undo has shown its own slice, which has ended the stroke
        assert page.evaluate("gynbtnetReview.page.cursor[0]") == 7 and painted[0] == (not erases)


def test_a_case_that_is_loaded_again_ends_a_stroke(
    make_prediction: Callable[..., Path], serve: Callable[..., Served]
) -> None:
    page = serve(make_prediction()).page
    ready(page)
    page.keyboard.press("b")
    go_to(page, [10, 20, 18])
    before = mask(page, 0)
    begin_stroke(page, [10, 20, 5])
    page.evaluate("gynbtnetReview.page.case.reload()")
    continue_stroke(page, [10, 20, 9])
    page.mouse.up()
    settled(page)
    assert "loaded again; repeat it" in page.inner_text("#banner")
    assert np.array_equal(mask(page, 0), before) and np.array_equal(server_mask(page, 0), before)


def test_a_slow_case_does_not_replace_a_later_one(
    make_prediction: Callable[..., Path], serve: Callable[..., Served]
) -> None:
    make_prediction("a", flags=())
    served = serve(make_prediction("b", flags=()).parent)
    page = served.page
    page.wait_for_selector("#cases tr")
    held: list[Route] = []
    page.route("**/case/0/image", lambda route: held.append(route))
    for later in ("b", None):
        page.locator("#cases button").nth(0).click()
        page.wait_for_timeout(300)
        page.go_back()
        page.wait_for_selector("#worklist:not([hidden])")
        if later:
            page.locator("#cases button").nth(1).click()
            page.wait_for_selector("body[data-ready='1']")
        held.pop().continue_()
        page.wait_for_timeout(700)
        assert page.is_visible("#case") == bool(later) and page.is_visible("#worklist") != bool(later)
        if later:
            assert (page.inner_text("#title"), page.evaluate("location.hash")) == (later, "#case=1")
            page.evaluate("location.hash = ''")
            page.wait_for_selector("#worklist:not([hidden])")


def wait_for_mask(page: Page, structure: int, expected: np.ndarray) -> np.ndarray:
    for _ in range(100):
        if np.array_equal(mask(page, structure), expected):
            break
        page.wait_for_timeout(200)
    return mask(page, structure)
