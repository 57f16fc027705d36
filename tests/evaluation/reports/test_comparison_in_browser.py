"""The page of a comparison in Chromium: what is open, at two widths, and printed."""

import importlib.util
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gynbtnet.datasets import Cohort
from gynbtnet.evaluation.comparison.compare import compare
from gynbtnet.evaluation.comparison.report import report_comparison
from gynbtnet.evaluation.comparison.settings import ComparisonSettings
from gynbtnet.evaluation.metrics.evaluation import evaluate
from gynbtnet.imaging import Volume, read_volume, write_volume

_spec = importlib.util.spec_from_file_location("browser", Path(__file__).with_name("browser.py"))
assert _spec and _spec.loader
browser = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(browser)

pytestmark = [
    pytest.mark.skipif(not browser.CHROMIUM, reason="there is no Chromium to look at the page with"),
    pytest.mark.slow,
]

STRUCTURES = ("hr_ctv", "bladder", "rectum", "sigmoid", "uterus")
MODELS = {"gynbtnet": 0, "gynbtnet-from-scratch": 1, "nnunet": 2, "swin-unetr": 3}
"""Names of the models, and how many voxels their contours are moved further to the left."""


def five_structures(labels: np.ndarray) -> np.ndarray:
    """Return the bladder and the rectum of a label map, cut into slabs along z: two and three structures."""
    cut = labels.copy()
    cut[labels == 1] = 2
    cut[labels == 2] = 3
    cut[:6][labels[:6] == 1] = 1
    cut[4:7][labels[4:7] == 2] = 4
    cut[7:][labels[7:] == 2] = 5
    return cut


@pytest.fixture(scope="module")
def page(scanned, predicted, tmp_path_factory) -> Path:
    """Return the page of four models, five structures and a test of non-inferiority."""
    folder = tmp_path_factory.mktemp("comparison")
    cases = []
    for case in scanned.cases:
        truth = read_volume(case.labels)
        labels = folder / "labels" / f"{case.id}.nii.gz"
        write_volume(Volume(five_structures(truth.array), truth.geometry), labels)
        cases.append(replace(case, labels=labels, volumes_cm3={}))
        for model, shift in MODELS.items():
            moved = np.roll(read_volume(predicted / case.id / "labels.nii.gz").array, shift, axis=2)
            write_volume(Volume(five_structures(moved), truth.geometry), folder / model / case.id / "labels.nii.gz")
    cohort = Cohort("five", STRUCTURES, tuple(cases), folder)
    evaluations = {model: folder / "evaluation" / model for model in MODELS}
    predictions = {model: folder / model for model in MODELS}
    for model, out in evaluations.items():
        evaluate(cohort, predictions[model], out)
    settings = ComparisonSettings(n_resamples=1000, margin=0.05)
    out = folder / "out"
    return report_comparison(compare(cohort, evaluations, out, predictions=predictions, settings=settings), out)


@pytest.fixture(scope="module")
def chromium(tmp_path_factory) -> Iterator[Any]:
    opened = browser.Browser(tmp_path_factory.mktemp("profile"))
    yield opened
    opened.close()


def visible(chromium: Any, selector: str) -> int:
    return chromium.run(f"[...document.querySelectorAll('{selector}')].filter(one => one.checkVisibility()).length")


def test_what_a_reader_needs_first_is_open(chromium, page):
    chromium.open(page, 1400)
    assert chromium.troubles() == []
    assert chromium.run("document.documentElement.scrollHeight") < 10_000
    heads = "[...document.querySelectorAll('#comparison h3')].map(one => one.innerText)"
    assert chromium.run(heads) == ["Models", "Pretraining", "Non-inferiority"]
    assert visible(chromium, ".summary .headline") == 1
    assert visible(chromium, "#reference-and-prediction .viewer") == 1
    assert visible(chromium, "#typical-and-worst-slices .panels") == 1
    assert visible(chromium, "#comparison img") == 0
    chromium.run("for (const one of document.querySelectorAll('details')) one.open = true")
    assert visible(chromium, "#comparison img") == 4
    assert visible(chromium, "#reference-and-prediction .viewer") == 4
    assert visible(chromium, "#typical-and-worst-slices .panels") == 4 + len(STRUCTURES)
    links = chromium.run("document.querySelectorAll('a[download]').length")
    assert visible(chromium, "a[download]") == links > 20


@pytest.mark.parametrize("width", [1400, 390])
@pytest.mark.parametrize("opened", ["false", "true"])
def test_nothing_is_cut_off(chromium, page, width, opened):
    chromium.open(page, width)
    chromium.run(f"for (const one of document.querySelectorAll('details')) one.open = {opened}")
    assert chromium.run("document.documentElement.scrollWidth") <= width
    cut = "[...document.querySelectorAll('.wide')].filter(one => one.scrollWidth > one.clientWidth + 1)"
    assert chromium.run(f"{cut}.every(one => one.previousSibling.classList.contains('shown'))")


def test_a_print_has_six_pages_at_most(chromium, page):
    chromium.open(page, 1400)
    assert len(re.findall(rb"/Type\s*/Page\b", chromium.pdf())) <= 6
    chromium.call("Emulation.setEmulatedMedia", media="print")
    try:
        height = "document.querySelector('#case2 svg').getBoundingClientRect().height"
        assert chromium.run(height) > 50  # the worst case is printed although it is closed
        assert visible(chromium, ".hint") == 0
        assert chromium.run("[...document.querySelectorAll('#comparison img')].every(one => one.offsetHeight > 50)")
    finally:
        chromium.call("Emulation.setEmulatedMedia", media="")
