"""Time until a scan of 512 × 512 × 120 voxels is open in the review page, and until a stroke shows.

    python benchmarks/review.py [--matrix 120 512 512] [--strokes 20] [--drawing canvas | niivue]

Needs Chromium. It runs without a graphics card, so that everything is rendered in software. The scan and its contours
are synthetic. "Server" is the time from the start of the command until the link is printed: the scan has been read by
then. "Open" is the time from following the link until all planes are drawn, with NiiVue until it draws them. The
browser's CPU time meanwhile comes next. A stroke is measured in the page from the pointer's move to the end of the
drawing, and until it is on the disk. NiiVue in software takes over a minute for so large a scan; try fewer slices.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
from playwright.sync_api import Page, sync_playwright

from gynbtnet.imaging import Geometry, Segmentation, Volume, write_ct_series, write_volume
from gynbtnet.runtime import sha256_of

STRUCTURES = ("hr_ctv", "bladder", "rectum", "sigmoid", "uterus")


def make_prediction(folder: Path, shape: tuple[int, int, int]) -> Path:
    """Write a synthetic scan with five ellipsoids, and a prediction of it."""
    geometry = Geometry(shape, (2.5, 0.8, 0.8))
    z, y, x = np.ogrid[: shape[0], : shape[1], : shape[2]]
    hu = np.random.default_rng(0).normal(40, 15, shape).astype(np.int16)
    air = ((y - shape[1] / 2) / (0.4 * shape[1])) ** 2 + ((x - shape[2] / 2) / (0.45 * shape[2])) ** 2 > 1
    hu[:, air[0]] = -1000
    labels = np.zeros(shape, np.uint8)
    for number in range(1, len(STRUCTURES) + 1):
        centre = (0.2 + 0.12 * number) * np.asarray(shape)
        radii = np.asarray(shape) / (9, 10, 10)
        inside = sum(((i - c) / r) ** 2 for i, c, r in zip((z, y, x), centre, radii, strict=True)) <= 1
        labels[inside] = number
    series = write_ct_series(
        Volume(hu, geometry),
        folder / "ct",
        patient_id="SYNTHETIC",
        study_description="SYNTHETIC",
        series_description="SYNTHETIC",
        seed=1,
    )
    out = folder / "prediction"
    segmentation = Segmentation(Volume(labels, geometry), STRUCTURES)
    write_volume(segmentation.labels, out / "labels.nii.gz")
    manifest = {
        "structures": STRUCTURES,
        "synthetic": True,
        "model": {"name": "none", "weights": "", "sha256": "0" * 64, "files": {}, "rules": ""},
        "input": {"kind": "DICOM", "series_uid": series.series_uid, "sha256": sha256_of(*series.files)},
        "settings": {},
        "flags": [],
        "predicted_dsc": {},
        "scan": {"path": str(folder / "ct"), "channels": [], "repairs": {}},
    }
    (out / "prediction.json").write_text(json.dumps(manifest))
    return out


def time_strokes(page: Page, strokes: int) -> tuple[list[float], list[float]]:
    """Return milliseconds of drawing per movement of the pointer, and until a stroke is stored."""
    page.keyboard.press("2")
    page.keyboard.press("g")
    page.keyboard.press("b")
    return page.evaluate(
        """async (strokes) => {
          const { page, views, settled } = gynbtnetReview;
          const view = views[0];
          const box = view.canvas.getBoundingClientRect();
          const send = (type, x, y) => view.canvas.dispatchEvent(
            new PointerEvent(type, { pointerId: 1, button: 0, clientX: x, clientY: y, bubbles: true }));
          const [shown, stored] = [[], []];
          for (let stroke = 0; stroke < strokes; stroke++) {
            const [x, y] = [box.left + box.width * (0.3 + 0.015 * stroke), box.top + box.height * 0.4];
            send("pointerdown", x, y);
            for (let i = 1; i <= 10; i++) {
              const began = performance.now();
              send("pointermove", x, y + 4 * i);
              view.context.getImageData(0, 0, 1, 1); // waits until everything is drawn
              shown.push(performance.now() - began);
            }
            const ended = performance.now();
            send("pointerup", x, y + 40);
            await settled();
            stored.push(performance.now() - ended);
          }
          return [shown, stored];
        }""",
        strokes,
    )


def browser_seconds() -> float:
    """Return the CPU time of all processes of the browser until now."""
    used = 0.0
    for process in psutil.Process().children(recursive=True):
        try:
            if "chrom" in process.name():
                used += sum(process.cpu_times()[:2])
        except psutil.NoSuchProcess:
            continue
    return used


def main() -> None:
    """Run the benchmark and print Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--matrix", type=int, nargs=3, default=(120, 512, 512))
    parser.add_argument("--strokes", type=int, default=20)
    parser.add_argument("--drawing", choices=("canvas", "niivue"), default="canvas")
    arguments = parser.parse_args()
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        raise SystemExit("Chromium was not found; install it.")
    with tempfile.TemporaryDirectory() as temporary, sync_playwright() as playwright:
        prediction = make_prediction(Path(temporary), tuple(arguments.matrix))
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1400, "height": 860})
        page.set_default_timeout(600_000)
        command = [sys.executable, "-m", "gynbtnet", "review", str(prediction), "--no-browser"]
        began = time.perf_counter()
        server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            assert server.stdout is not None
            link = server.stdout.readline().split()[-1]
            printed = time.perf_counter()
            page.context.request.get(link, max_redirects=0)
            used = browser_seconds()
            started = time.perf_counter()
            page.goto(f"{link.partition('open?')[0]}?drawing={arguments.drawing}")
            page.wait_for_selector(f"body[data-ready][data-drawing={arguments.drawing}]")
            opened = time.perf_counter()
            used = browser_seconds() - used
            shown, stored = time_strokes(page, arguments.strokes)
        finally:
            browser.close()
            server.terminate()
            server.communicate()
    load = f"{os.getloadavg()[0]:.1f}"
    size = " × ".join(map(str, arguments.matrix))
    print(f"\n{size} voxels (z, y, x), {arguments.drawing}, software rendering, load average {load}\n")
    print(
        "| server (s) | open (s) | browser's CPU (s) | movement shown, median (ms) | 95 % (ms) "
        "| stroke stored, median (ms) |"
    )
    print("|---:|---:|---:|---:|---:|---:|")
    shown.sort()
    print(
        f"| {printed - began:.1f} | {opened - started:.1f} | {used:.1f} | {statistics.median(shown):.0f} | "
        f"{shown[int(0.95 * len(shown))]:.0f} | {statistics.median(stored):.0f} |"
    )


if __name__ == "__main__":
    main()
