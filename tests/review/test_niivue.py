"""The scan drawn by NiiVue: the same pixels as on the 2D canvas and as in the scan."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Page

from gynbtnet.imaging import read_ct_series
from gynbtnet.review.web import server

from .conftest import GRIDS
from .served_page import Served, needs_chromium

pytestmark = needs_chromium
needs_niivue = pytest.mark.skipif(not server.NIIVUE.is_file(), reason="NiiVue is absent; make install brings it by npm")

DRAW = """
async ([cursor, zoom, pan]) => {
  const { page, views, moveTo } = gynbtnetReview;
  const { canvasImage } = await import("/drawing.js");
  const niivue = page.image;
  page.zoom = zoom;
  moveTo(cursor);
  const greys = (image) => views.map((view) => {
    Object.assign(page, { image });
    view.pan = pan;
    view.draw();
    const { width, height } = view.scan.canvas;
    const { data } = view.scan.getImageData(0, 0, width, height);
    return { width, grey: Array.from({ length: width * height }, (_, i) => data[4 * i]) };
  });
  const drawn = [greys(niivue), greys(canvasImage)];
  Object.assign(page, { image: niivue });
  const planes = views.map((view) => ({ ...view.layout, ...view.plane }));
  return { names: [niivue.name, canvasImage.name], drawn, planes };
}
"""
"""Grey values of the three planes by NiiVue and by the 2D canvas, and the layout of their voxels."""


def draw(page: Page, cursor: list[int], zoom: float, pan: list[int]) -> list[tuple[Any, ...]]:
    """Return for each plane the picture by NiiVue, the one by the 2D canvas, and its layout."""
    answer = page.evaluate(DRAW, [cursor, zoom, pan])
    assert answer["names"] == ["niivue", "canvas"]
    pictures = [
        [np.array(plane["grey"], float).reshape(-1, plane["width"]) for plane in planes] for planes in answer["drawn"]
    ]
    return list(zip(*pictures, answer["planes"], strict=True))


def inside(plane: dict[str, Any]) -> tuple[slice, slice]:
    """Return the pixels in the scan, without those that its border may cover in part."""
    sides = (("top", "rows", "height"), ("left", "columns", "width"))
    spans = [(plane[start], plane[start] + plane[count] * plane[size]) for start, count, size in sides]
    rows, columns = (slice(max(0, math.ceil(first) + 1), math.floor(last) - 1) for first, last in spans)
    return rows, columns


def at_voxels(picture: np.ndarray, plane: dict[str, Any]) -> tuple[np.ndarray, tuple[np.ndarray, ...]]:
    """Return the grey values at the centres of the visible voxels, and the indices of these voxels."""
    x = np.floor(plane["left"] + (np.arange(plane["columns"]) + 0.5) * plane["width"]).astype(int)
    up = (np.arange(plane["rows"]) + 0.5) * plane["height"]
    down = plane["rows"] * plane["height"] - up if plane["upwards"] else up
    y = np.floor(plane["top"] + down).astype(int)
    columns = np.flatnonzero((x >= 0) & (x < picture.shape[1]))
    rows = np.flatnonzero((y >= 0) & (y < picture.shape[0]))
    return picture[np.ix_(y[rows], x[columns])], np.ix_(rows, columns)


@needs_niivue
@pytest.mark.slow
def test_niivue_draws_the_pixels_of_the_canvas(
    make_prediction: Callable[..., Path], serve: Callable[..., Served], tmp_path: Path
) -> None:
    """In axis-aligned, flipped and oblique scans, in all planes, zoomed and moved."""
    names = ["axial", "flipped", "oblique"]
    for name in names:
        folder = make_prediction(name, GRIDS[name], flags=())
    served = serve(folder.parent)
    page = served.page
    page.set_viewport_size({"width": 700, "height": 520})
    for number, name in enumerate(names):
        page.goto(f"{served.address}?drawing=niivue#case={number}")
        page.wait_for_selector(f"body[data-ready='{number}'][data-drawing=niivue]")
        assert page.inner_text("#title") == name
        assert page.inner_text("#drawing") == "NiiVue draws the scan."
        scan = read_ct_series(tmp_path / "scans" / name).volume.array.astype(float)
        if name == "flipped":
            scan = scan[:, ::-1, ::-1]
        expected = np.clip((scan - (40 - 400 / 2)) * 255 / 400, 0, 255)
        for cursor, zoom, pan in ([4, 11, 25], 1, [0, 0]), ([9, 30, 7], 2.5, [6, -9]):
            for by_niivue, by_canvas, plane in draw(page, cursor, zoom, pan):
                difference = np.abs(by_niivue - by_canvas)[inside(plane)]
                assert difference.mean() < 3 and difference.max() <= 16, (name, plane)
                grey, voxels = at_voxels(by_niivue, plane)
                axis, index = plane["axis"], cursor[plane["axis"]]
                assert grey.size > 50
                assert np.abs(grey - np.take(expected, index, axis)[voxels]).mean() < 4, (name, plane)
                for other in np.take(expected, index + 1, axis), np.roll(np.take(expected, index, axis), 1, 1):
                    assert np.abs(grey - other[voxels]).mean() > 7, "the next slice or column is told from this one"
