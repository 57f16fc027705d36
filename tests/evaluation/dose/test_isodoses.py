"""Isodoses in the viewers of reports: the right levels around the right voxels, only for cases with a dose."""

import re
from pathlib import Path

import numpy as np
import pytest

from gynbtnet.evaluation.comparison.compare import compare
from gynbtnet.evaluation.comparison.report import report_comparison
from gynbtnet.evaluation.comparison.settings import ComparisonSettings
from gynbtnet.evaluation.contours.evaluate_contours import evaluate_contours
from gynbtnet.evaluation.dose.isodoses import isodoses_of_cases
from gynbtnet.evaluation.metrics.evaluation import evaluate
from gynbtnet.evaluation.reports.compared_case import read_compared_case
from gynbtnet.evaluation.reports.example_cases import CaseDrawer
from gynbtnet.imaging import Geometry, StructureNames, Volume, write_volume
from gynbtnet.runtime import BadInput

WITH_DOSE, WITHOUT = "p1_f1", "p3_f1"
LEVELS = ["2 Gy", "3.5 Gy", "5 Gy"]


@pytest.fixture(scope="module")
def doses(scanned, tmp_path_factory) -> Path:
    """Return a folder with the dose of one case: 6 Gy in a box, 3 Gy in the rest of the scan."""
    folder = tmp_path_factory.mktemp("doses")
    values = np.full(scanned.cases[0].geometry.shape, 3.0, np.float32)
    values[3:9, 6:12, 8:16] = 6.0
    write_volume(Volume(values, scanned.cases[0].geometry), folder / f"{WITH_DOSE}.nii.gz")
    return folder


def legends(page: str) -> list[list[str]]:
    lists = re.findall(r'<ul class="legend dark"><li>Isodoses:</li>(.*?)</ul>', page)
    return [re.findall(r"</span>(.*?)</li>", content) for content in lists]


def corners_mm(path: str) -> tuple[np.ndarray, np.ndarray]:
    """Return x and y in mm of the corners of one closed line: a point, and steps from each to the next."""
    steps = np.array(re.findall(r"-?\d+", path), float).reshape(-1, 2).cumsum(axis=0) / 4
    return steps[:, 0], steps[:, 1]


def test_lines_are_round_the_voxels_of_their_level(scanned, predicted, doses, tmp_path):
    models = {"model": evaluate(scanned, predicted, tmp_path / "out")}
    drawer = CaseDrawer(models, StructureNames.load(), isodoses_of_cases(scanned.cases, doses))
    case, other = (read_compared_case(scanned, name, {"model": predicted}) for name in (WITH_DOSE, WITHOUT))
    viewed = drawer.viewed_case(case, "")
    assert list(viewed.isodoses) == LEVELS
    assert viewed.caption.endswith("Isodoses: the dose as it is stored.")
    axial = viewed.stacks[0]
    x, y = corners_mm(axial.isodoses["5 Gy"][5])
    assert (x.min(), x.max()) == pytest.approx((24.0, 48.0), abs=1.5)  # mm from the picture's left, voxels 8 to 16
    assert (y.min(), y.max()) == pytest.approx((18.0, 36.0), abs=1.5)
    assert axial.isodoses["5 Gy"][10] == ""  # above the box
    assert axial.isodoses["2 Gy"][10]
    without = drawer.viewed_case(other, "")
    assert without.isodoses == ()
    assert "sodose" not in without.caption


def test_the_page_of_an_evaluation(scanned, predicted, doses, tmp_path):
    evaluate_contours(scanned, predicted, tmp_path / "out", doses=doses)
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert legends(page) == [LEVELS]
    viewers = re.findall(r'<div class="viewer" id="(\w+)" role="group" aria-label="[^"]*(p\d_f\d)', page)
    (shown,) = (key for key, case in viewers if case == WITH_DOSE)
    assert {key for key, _ in viewers if f'id="{key}-axial-dose-' in page} == {shown}
    assert len(viewers) == 4
    evaluate_contours(scanned, predicted, tmp_path / "none")  # images have no DICOM folder that could hold a dose
    assert legends((tmp_path / "none" / "report.html").read_text(encoding="utf-8")) == []


@pytest.mark.slow
def test_the_page_of_a_comparison(scanned, predicted, doses, tmp_path):
    models = {name: tmp_path / name for name in ("one", "two")}
    for folder in models.values():
        evaluate(scanned, predicted, folder)
    settings = ComparisonSettings(n_resamples=1000, metrics=("dsc",))
    comparison = compare(
        scanned, models, tmp_path / "out", predictions=dict.fromkeys(models, predicted), settings=settings
    )
    page = report_comparison(comparison, tmp_path / "out", isodoses=isodoses_of_cases(scanned.cases, doses))
    assert legends(page.read_text(encoding="utf-8")) == [LEVELS]


def test_a_dose_that_cannot_be_read_leaves_out_its_case_alone(scanned, tmp_path, capsys):
    folder = tmp_path / "doses"
    for case in (WITH_DOSE, WITHOUT):
        values = np.full(scanned.cases[0].geometry.shape, 4.0 if case == WITH_DOSE else -1.0, np.float32)
        write_volume(Volume(values, scanned.cases[0].geometry), folder / f"{case}.nii.gz")
    draw = isodoses_of_cases(scanned.cases, folder)
    image = Volume(np.zeros((2, 2, 2), np.int16), Geometry((2, 2, 2), (2.0, 2.0, 2.0), (-30.0, -24.0, 20.0)))
    assert {level: int(mask.sum()) for level, mask in draw(WITH_DOSE, image).masks.items()} == {"2 Gy": 8, "3.5 Gy": 8}
    damaged = draw(WITHOUT, image)
    assert (damaged.masks, damaged.note) == ({}, "No isodoses: the dose of this case cannot be used.")
    assert "has values below 0" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadInput, match="no dose of any of"):
        isodoses_of_cases(scanned.cases, tmp_path / "empty")
